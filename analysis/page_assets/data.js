// The embedded columns and what is computed from them. Nothing is drawn here.

const DATA = JSON.parse(document.getElementById("report-data").textContent);
const POINTS = DATA.ids.length;
const ROW_OF_ID = new Map(DATA.ids.map((id, row) => [id, row]));
const ON_FRONT = new Set(DATA.front);

// Where in `column.values` the value of a row is; -1: its machine has no such field.
function place(column, row) {
  return column.index ? column.index[row] : 0;
}

// The text a YAML file holds: as Python wrote it, or JSON where both notations agree.
function yamlText(column, at) {
  return at < 0 ? "none" : (column.yaml[at] ?? JSON.stringify(column.values[at]));
}

function machineOf(row) {
  return DATA.machine.values[place(DATA.machine, row)];
}

// [[dotted path, YAML text], ...] of one point, the swept axes first.
function configOf(row) {
  const fields = [];
  for (const [path, column] of Object.entries(DATA.config)) {
    const at = place(column, row);
    if (at >= 0) fields.push([path, yamlText(column, at)]);
  }
  return fields;
}

function yamlOf(row) {
  return configOf(row).map(([path, text]) => `${DATA.yamlKeys[path] ?? path}: ${text}\n`).join("");
}

// [[label, text], ...] of one point, the objectives first.
function metricsOf(row) {
  return Object.entries(DATA.metrics).map(([key, values]) => {
    const [label, unit] = DATA.metricLabels[key];
    return [label, quantity(values[row], unit)];
  });
}

// Four significant digits, with an SI prefix where the unit takes one: `plots.quantity`.
function quantity(value, unit) {
  if (value === null || !Number.isFinite(value)) return "n/a";
  const digits = (v) => v.toLocaleString("en", { maximumSignificantDigits: 4 });
  if (!DATA.siUnits.includes(unit) || value === 0) {
    const text = Math.abs(value) >= 1e4 ? Math.round(value).toLocaleString("en") : digits(value);
    return `${text} ${unit}`.trim();
  }
  const thousands = Math.floor(Math.log10(Math.abs(value)) / 3);
  const at = Math.min(Math.max(thousands, -5), 5);
  return `${digits(value / 10 ** (3 * at))} ${DATA.siPrefixes[at + 5]}${unit}`;
}

// Rows that no other row beats in both columns, both minimised, ordered by x: `plots.plane_front`.
function planeFront(x, y) {
  const rows = [];
  for (let row = 0; row < x.length; row++) {
    if (x[row] !== null && y[row] !== null) rows.push(row);
  }
  rows.sort((a, b) => x[a] - x[b] || y[a] - y[b] || a - b);
  const front = [];
  for (const row of rows) {
    const last = front.at(-1);
    if (last === undefined || y[row] < y[last] || (x[row] === x[last] && y[row] === y[last])) {
      front.push(row);
    }
  }
  return front;
}

// [smallest, largest] of the values that `usable` accepts; undefined where there are none.
function extent(values, usable) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value === null || !usable(value)) continue;
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

// The front point after `row` in the order of the first objective (step 1), or before it (-1).
function neighbourOnFront(row, step) {
  const x = DATA.metrics[DATA.objectives[0].key];
  const order = [...DATA.front].sort((a, b) => x[a] - x[b] || a - b);
  const at = order.indexOf(row);
  const start = step > 0 ? -1 : order.length;
  return order[Math.min(Math.max((at < 0 ? start : at) + step, 0), order.length - 1)];
}
