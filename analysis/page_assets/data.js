// The embedded columns and what is read from them. Nothing is drawn here.

// A text of base64, decompressed by the browser itself: `analysis.page_payload` has the layout.
async function unpack(text) {
  if (!window.DecompressionStream) {
    const say = "This page needs a browser of 2023 or later (DecompressionStream).";
    document.getElementById("status").textContent = say;
    throw new Error(say);
  }
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

const BUFFER = await unpack(document.getElementById("report-data").textContent);
const TEXT_BYTES = new DataView(BUFFER).getInt32(0, true);
const DATA = JSON.parse(new TextDecoder().decode(new Uint8Array(BUFFER, 4, TEXT_BYTES)));
const KINDS = { f8: Float64Array, f4: Float32Array, i1: Int8Array, i2: Int16Array, i4: Int32Array };

// The array that the text refers to.
function array({ at, count, kind }) {
  const start = Math.ceil((4 + TEXT_BYTES) / 8) * 8 + at;
  return new KINDS[kind](BUFFER, start, count);
}

DATA.ids = array(DATA.ids);
for (const column of [DATA.machine, ...Object.values(DATA.config), ...Object.values(DATA.choices)]) {
  if (column.index) column.index = array(column.index);
}
for (const key of Object.keys(DATA.metrics)) DATA.metrics[key] = array(DATA.metrics[key]);
for (const key of Object.keys(DATA.bounds)) DATA.bounds[key] = DATA.bounds[key].map(array);

const POINTS = DATA.ids.length;
const ROW_OF_ID = new Map(Array.from(DATA.ids, (id, row) => [id, row]));
const ON_FRONT = new Set(DATA.front);
const SENSE = Object.fromEntries(DATA.objectives.map(({ key, sense }) => [key, sense]));

// Where in `column.values` the value of a row is; -1: its machine has no such field.
function place(column, row) {
  return column.index ? column.index[row] : 0;
}

// The column of an axis: of a field of the machine, or of what lies inside one.
function axisColumn(axis) {
  return DATA.choices[axis] ?? DATA.config[axis];
}

// The text a YAML file holds: as Python wrote it, or JSON where both notations agree.
function yamlText(column, at) {
  return at < 0 ? "none" : (column.yaml[at] ?? JSON.stringify(column.values[at]));
}

function machineOf(row) {
  return DATA.machine.values[place(DATA.machine, row)];
}

// [[dotted path, YAML text], ...] of the columns that apply to a point.
function fieldsOf(columns, row) {
  const fields = [];
  for (const [path, column] of Object.entries(columns)) {
    const at = place(column, row);
    if (at >= 0) fields.push([path, yamlText(column, at)]);
  }
  return fields;
}

// What is told of a point's machine, the swept axes first.
function configOf(row) {
  return [...fieldsOf(DATA.choices, row), ...fieldsOf(DATA.config, row)];
}

// The machine as a file for `--hw`: dotted paths as mappings in mappings, as `analysis.copied`.
function yamlOf(row) {
  const root = new Map();
  for (const [path, text] of fieldsOf(DATA.config, row)) {
    const keys = path.split(".");
    const last = keys.pop();
    let below = root;
    for (const key of keys) {
      if (!(below.get(key) instanceof Map)) below.set(key, new Map());
      below = below.get(key);
    }
    below.set(last, text);
  }
  const lines = (tree, indent) => [...tree].flatMap(([key, value]) => {
    const head = `${indent}${DATA.yamlKeys[key] ?? key}:`;
    return value instanceof Map ? [head, ...lines(value, `${indent}  `)] : [`${head} ${value}`];
  });
  return lines(root, "").map((line) => `${line}\n`).join("");
}

// [low, high] of a metric; undefined where it has no bounds.
function boundsOf(key, row) {
  const [low, high] = (DATA.bounds[key] ?? []).map((ends) => ends[row]);
  return Number.isFinite(low) && Number.isFinite(high) ? [low, high] : undefined;
}

// [[label, text, "low to high" or ""], ...] of one point, the objectives first.
function metricsOf(row) {
  return Object.entries(DATA.metrics).map(([key, values]) => {
    const [label, unit] = DATA.metricLabels[key];
    const ends = boundsOf(key, row);
    const spread = ends ? `${quantity(ends[0], unit)} to ${quantity(ends[1], unit)}` : "";
    return [label, quantity(values[row], unit), spread];
  });
}

// Four significant digits, with an SI prefix where the unit takes one: `plots.quantity`.
function quantity(value, unit) {
  if (!Number.isFinite(value)) return "n/a";
  const digits = (v) => v.toLocaleString("en", { maximumSignificantDigits: 4 });
  if (!DATA.siUnits.includes(unit) || value === 0) {
    const size = Math.abs(value);
    const plain = size >= 1e4 ? Math.round(value).toLocaleString("en") : digits(value);
    const text = size > 0 && size < 1e-4 ? value.toExponential(3) : plain;
    return `${text} ${unit}`.trim();
  }
  const thousands = Math.floor(Math.log10(Math.abs(value)) / 3);
  const at = Math.min(Math.max(thousands, -5), 5);
  return `${digits(value / 10 ** (3 * at))} ${DATA.siPrefixes[at + 5]}${unit}`;
}

// [smallest, largest] of the values that `usable` accepts; undefined where there are none.
function extent(values, usable) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value) || !usable(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : undefined;
}

// Order of two configuration values: numbers by size and before everything else, the rest as text.
function compareValues(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return -1;
  if (typeof b === "number") return 1;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

// Places of a column's values in that order.
function sortedPlaces(column) {
  return column.values.map((_, at) => at)
    .sort((a, b) => compareValues(column.values[a], column.values[b]));
}

// Front points in the order of the first objective, the best first.
function frontOrder() {
  const { key, sense } = DATA.objectives[0];
  const sign = sense === "max" ? -1 : 1;
  const x = DATA.metrics[key];
  return [...DATA.front].sort((a, b) => sign * (x[a] - x[b]) || a - b);
}

// The front point after `row` in that order (step 1), or before it (-1).
function neighbourOnFront(row, step) {
  const order = frontOrder();
  const at = order.indexOf(row);
  const start = step > 0 ? -1 : order.length;
  return order[Math.min(Math.max((at < 0 ? start : at) + step, 0), order.length - 1)];
}

// About `most` rows, spread evenly and in step with no axis of a grid, with every row of the front
// among them: `space_plots.sampled`.
function thinned(rows, most) {
  if (rows.length <= most) return rows;
  const bound = most / rows.length * 2 ** 32;
  return rows.filter((row) => (Math.imul(row, 2654435761) >>> 0) < bound || ON_FRONT.has(row));
}
