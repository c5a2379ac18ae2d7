// The plots: figures made in Python (`analysis.plots`), filled with the chosen points' values.

const NARROW_PX = 600;
const SVG_POINTS = 5000; // without WebGL every point is an SVG element: draw that many at most
const DARK = window.matchMedia("(prefers-color-scheme: dark)");
const COARSE = window.matchMedia("(pointer: coarse)");
const WEBGL = Boolean(document.createElement("canvas").getContext("webgl"));
const CONFIG = {
  displaylogo: false,
  responsive: true,
  plotlyServerURL: "",
  showSendToCloud: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};

// A fresh copy of one figure in the reader's theme, its margins fit for the width at hand.
function figure(name, element) {
  const copy = structuredClone(DATA.figures[DARK.matches ? "dark" : "light"][name]);
  if (element.clientWidth < NARROW_PX) {
    copy.layout.margin = { ...copy.layout.margin, l: 48, r: 4 };
    copy.layout.font.size = 11;
  }
  copy.layout.dragmode = COARSE.matches ? false : "zoom"; // a finger scrolls the page
  return copy;
}

function draw(element, { data, layout }) {
  return Plotly.react(element, data, layout, CONFIG);
}

// Numbers and legend of the colour scale: log10 of an objective, or the rank of an axis' value.
function colouring(key) {
  const values = DATA.metrics[key];
  if (values) {
    const [label, unit] = DATA.metricLabels[key];
    const numbers = values.map((v) => (v > 0 ? Math.log10(v) : null));
    const [low, high] = extent(numbers, Number.isFinite) ?? [0, 0];
    const ticks = low < high ? [low, (low + high) / 2, high] : [low];
    return { label, numbers, ticks, texts: ticks.map((t) => quantity(10 ** t, unit)) };
  }
  const column = DATA.config[key];
  const order = sortedPlaces(column);
  const rank = new Array(order.length);
  order.forEach((at, position) => { rank[at] = position; });
  const step = Math.ceil(order.length / 8);
  const ticks = order.map((_, position) => position).filter((position) => position % step === 0);
  const numbers = DATA.ids.map((_, row) => rank[place(column, row)] ?? null);
  return { label: key, numbers, ticks, texts: ticks.map((t) => yamlText(column, order[t])) };
}

function paint(marker, key, rows, narrow) {
  const { label, numbers, ticks, texts } = colouring(key);
  marker.color = rows.map((row) => numbers[row]);
  [marker.cmin, marker.cmax] = extent(numbers, Number.isFinite) ?? [0, 1];
  const title = { text: narrow ? label : `${label}<br>&nbsp;`, side: "top" }; // room above the top tick
  const across = { orientation: "h", y: -0.2, yanchor: "top", len: 0.9, xpad: 24 };
  Object.assign(marker.colorbar, { title, tickvals: ticks, ticktext: texts }, narrow ? across : {});
}

// Axis of an objective; its range holds all points, so that filters do not move the picture.
function objectiveAxis(axis, key, log) {
  Object.assign(axis, DATA.objectives.find((objective) => objective.key === key).axis);
  const found = extent(DATA.metrics[key], (v) => !log || v > 0) ?? [1, 10];
  const [low, high] = log ? found.map(Math.log10) : found;
  const room = 0.04 * (high - low) || (log ? 0.1 : 0.1 * Math.abs(high) || 1);
  Object.assign(axis, { type: log ? "log" : "linear", range: [low - room, high + room] });
}

function ring(shape, row, x, y, log) {
  const drawable = row !== null && [x[row], y[row]].every((v) => v !== null && (!log || v > 0));
  return drawable ? [{ ...shape, xanchor: x[row], yanchor: y[row] }] : [];
}

// `view`: {x, y, color, log, rows, selected}; rows are those that pass the filters.
function drawScatter(element, view) {
  const { data, layout } = figure("scatter", element);
  const [x, y] = [DATA.metrics[view.x], DATA.metrics[view.y]];
  const narrow = element.clientWidth < NARROW_PX;
  const thin = WEBGL ? 1 : Math.ceil(view.rows.length / SVG_POINTS);
  const rows = view.rows.filter((row, at) => at % thin === 0 || row === view.selected);
  const held = [rows, planeFront(x, y), view.rows.filter((row) => ON_FRONT.has(row))];
  data.forEach((trace, at) => {
    trace.x = held[at].map((row) => x[row]);
    trace.y = held[at].map((row) => y[row]);
    if (trace.type === "scattergl") {
      Object.assign(trace, { customdata: held[at], hoverinfo: "none", hovertext: null });
      if (!WEBGL) trace.type = "scatter";
    }
  });
  data[0].marker.size = POINTS > 20000 ? 3 : POINTS > 3000 ? 4 : 6;
  paint(data[0].marker, view.color, rows, narrow);
  objectiveAxis(layout.xaxis, view.x, view.log);
  objectiveAxis(layout.yaxis, view.y, view.log);
  layout.shapes = ring(layout.shapes[0], view.selected, x, y, view.log);
  layout.uirevision = `${view.x} ${view.y} ${view.log}`;
  if (narrow) layout.margin.b = 120;
  return draw(element, { data, layout });
}

// Only the ring moves: a selection among 100 000 points need not draw them again.
function moveRing(element, view) {
  const { layout } = figure("scatter", element);
  const [x, y] = [DATA.metrics[view.x], DATA.metrics[view.y]];
  return Plotly.relayout(element, { shapes: ring(layout.shapes[0], view.selected, x, y, view.log) });
}

function drawBars(element, name, layers) {
  const { data, layout } = figure(name, element);
  const narrow = element.clientWidth < NARROW_PX; // names have no room: the layers' numbers
  const present = data.filter((trace) => layers[trace.meta.field][trace.meta.part]);
  for (const trace of present) {
    const { field, part, scale } = trace.meta;
    trace.y = layers[field][part].map((count) => count * scale);
    if (narrow) trace.x = trace.y.map((_, number) => String(number));
  }
  if (narrow) Object.assign(layout.xaxis, { title: { text: "Layer" }, tickangle: 0 });
  return draw(element, { data: present, layout });
}

function drawRoofline(element, layers) {
  const { data, layout } = figure("roofline", element);
  layers.roofline.forEach(({ name, x, y, layer }, at) => {
    const customdata = layer.map((number) => DATA.layerTitles[number]);
    Object.assign(data[at], { name, x, y, customdata, showlegend: x.length > 0 });
  });
  return draw(element, { data, layout });
}

// Horizontal bars from start to end, a row a unit, a trace for each kind of span.
function drawGantt(element, { rows, unit, what, layer, start, cycles }) {
  const { data, layout } = figure("gantt", element);
  data.forEach((trace, kind) => {
    const ours = unit.map((_, at) => at).filter((at) => what[at] === kind);
    trace.y = ours.map((at) => rows[unit[at]]);
    trace.x = ours.map((at) => cycles[at]);
    trace.base = ours.map((at) => start[at]);
    trace.customdata = ours.map((at) => DATA.layerTitles[layer[at]]);
    trace.showlegend = ours.length > 0;
  });
  layout.yaxis.categoryarray = rows;
  const [frame, row] = DATA.ganttPixels;
  layout.height = frame + row * rows.length;
  element.style.minHeight = `${layout.height}px`;
  return draw(element, { data, layout });
}
