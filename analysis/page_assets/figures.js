// The plots: figures made in Python, filled with the chosen points' values.

const NARROW_PX = 600;
const SVG_POINTS = 5000; // without WebGL every point is an SVG element: draw that many at most
const MANY_POINTS = 20000; // more are drawn as a density at first
const FEW_BARS = 40; // more error bars than that are drawn faint
const DARK = window.matchMedia("(prefers-color-scheme: dark)");
const COARSE = window.matchMedia("(pointer: coarse)");
const WEBGL = Boolean(document.createElement("canvas").getContext("webgl"));
const CONFIG = {
  displaylogo: false,
  responsive: true,
  plotlyServerURL: "",
  showSendToCloud: false,
  displayModeBar: COARSE.matches ? false : "hover", // it would always cover the legend
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

// Numbers and legend of a scale: an objective (log10 where all are positive) or an axis' ranks.
function colouring(key) {
  const values = DATA.metrics[key];
  if (values) {
    const [label, unit] = DATA.metricLabels[key];
    const log = (extent(values, () => true)?.[0] ?? 1) > 0;
    const numbers = Array.from(values, (v) => (Number.isFinite(v) ? (log ? Math.log10(v) : v) : null));
    const [low, high] = extent(numbers, () => true) ?? [0, 0];
    const ticks = low < high ? [low, (low + high) / 2, high] : [low];
    return { label, numbers, ticks, texts: ticks.map((t) => quantity(log ? 10 ** t : t, unit)) };
  }
  const column = axisColumn(key);
  const order = sortedPlaces(column);
  const rank = new Array(order.length);
  order.forEach((at, position) => { rank[at] = position; });
  const step = Math.ceil(order.length / 8);
  const ticks = order.map((_, position) => position).filter((position) => position % step === 0);
  const numbers = Array.from(DATA.ids, (_, row) => rank[place(column, row)] ?? null);
  return { label: key, numbers, ticks, texts: ticks.map((t) => yamlText(column, order[t])) };
}

function dress(colorbar, label, tickvals, ticktext, narrow) {
  const title = { text: narrow ? label : `${label}<br>&nbsp;`, side: "top" }; // room above the top tick
  const across = { orientation: "h", y: -0.2, yanchor: "top", len: 0.9, xpad: 24 };
  Object.assign(colorbar, { title, tickvals, ticktext }, narrow ? across : {});
}

function paint(marker, key, rows, narrow) {
  const { label, numbers, ticks, texts } = colouring(key);
  marker.color = rows.map((row) => numbers[row]);
  [marker.cmin, marker.cmax] = extent(numbers, Number.isFinite) ?? [0, 1];
  dress(marker.colorbar, label, ticks, texts, narrow);
}

// Range of an objective's axis. It holds all points and the bars of the front, so that filters do
// not move the picture.
function rangeOf(key, log) {
  const usable = (v) => drawable(v, log);
  const bars = DATA.front.flatMap((row) => boundsOf(key, row) ?? []);
  const ends = [DATA.metrics[key], bars].map((values) => extent(values, usable)).flat();
  const found = extent(ends.filter((v) => v !== undefined), () => true) ?? [1, 10];
  const [low, high] = log ? found.map(Math.log10) : found;
  const room = 0.04 * (high - low) || (log ? 0.1 : 0.1 * Math.abs(high) || 1);
  return [low - room, high + room];
}

function objectiveAxis(axis, key, log, narrow) {
  Object.assign(axis, DATA.objectives.find((objective) => objective.key === key).axis);
  if (narrow && extent(DATA.metrics[key], () => true)?.[1] >= 1e4) axis.tickformat = "~s"; // 50k, not 50,000
  Object.assign(axis, { type: log ? "log" : "linear", range: rangeOf(key, log) });
}

// The ring around the selected point, a line from low to high where it has bounds, and B's ring.
function marks(shape, { x: keyX, y: keyY, log, selected, held, errors }, look) {
  const [x, y] = [DATA.metrics[keyX], DATA.metrics[keyY]];
  const seen = (row) => row !== null && drawable(x[row], log) && drawable(y[row], log);
  const shapes = [];
  if (seen(held)) {
    const line = { ...shape.line, dash: "dot" };
    shapes.push({ ...shape, line, name: "B", xanchor: x[held], yanchor: y[held] });
  }
  if (!seen(selected)) return shapes;
  shapes.push({ ...shape, name: "selected", xanchor: x[selected], yanchor: y[selected] });
  for (const [side, key] of errors ? [["x", keyX], ["y", keyY]] : []) {
    const ends = boundsOf(key, selected);
    if (!ends || !ends.every((v) => drawable(v, log))) continue;
    const at = { x0: x[selected], x1: x[selected], y0: y[selected], y1: y[selected] };
    Object.assign(at, { [`${side}0`]: ends[0], [`${side}1`]: ends[1] });
    shapes.push({ type: "line", name: `low to high ${key}`, ...at, line: { color: look, width: 2 } });
  }
  return shapes;
}

// Error bars of one side for rows of the front, in the style that Python gave them.
function errorBars(style, key, rows) {
  const values = DATA.metrics[key];
  const ends = rows.map((row) => boundsOf(key, row) ?? [values[row], values[row]]);
  const crowded = rows.length > FEW_BARS ? { width: 0, thickness: 1, color: `${style.color}66` } : {};
  return {
    ...style,
    ...crowded,
    array: ends.map(([, high], at) => high - values[rows[at]]),
    arrayminus: ends.map(([low], at) => values[rows[at]] - low),
  };
}

// The counts of cells as a heat map under the front.
function densityTrace(points, view, narrow) {
  const [x, y] = [DATA.metrics[view.x], DATA.metrics[view.y]];
  const grid = density(view.rows, x, y, rangeOf(view.x, view.log), rangeOf(view.y, view.log), view.log);
  const decades = Array.from({ length: 6 }, (_, at) => at);
  const colorbar = { ...points.marker.colorbar };
  dress(colorbar, "Points", decades, decades.map((at) => quantity(10 ** at, "")), narrow);
  return {
    type: "heatmap", name: "density", x: grid.x, y: grid.y, z: grid.z, customdata: grid.counts,
    colorscale: points.marker.colorscale, colorbar, zmin: 0, showlegend: false,
    hovertemplate: "%{customdata:,} points<extra></extra>",
  };
}

// `view`: {x, y, color, log, shown, errors, rows, selected, held}; rows pass the filters.
function drawScatter(element, view) {
  const { data, layout } = figure("scatter", element);
  const [x, y] = [DATA.metrics[view.x], DATA.metrics[view.y]];
  const narrow = element.clientWidth < NARROW_PX;
  const dense = view.shown === "density";
  const rows = dense ? [] : thinned(view.rows, WEBGL ? Infinity : SVG_POINTS);
  const held = [rows, planeFront(view.x, view.y), view.rows.filter((row) => ON_FRONT.has(row))];
  data.forEach((trace, at) => {
    trace.x = held[at].map((row) => x[row]);
    trace.y = held[at].map((row) => y[row]);
    if (trace.type === "scattergl") {
      Object.assign(trace, { customdata: held[at], hoverinfo: "none", hovertext: null });
      if (!WEBGL) trace.type = "scatter";
    }
  });
  const style = data[2].error_y ?? data[2].error_x;
  for (const [side, key] of [["error_x", view.x], ["error_y", view.y]]) {
    delete data[2][side];
    if (view.errors && DATA.bounds[key]) data[2][side] = errorBars(style, key, held[2]);
  }
  data[0].marker.size = POINTS > MANY_POINTS ? 3 : POINTS > 3000 ? 4 : 6;
  paint(data[0].marker, view.color, rows, narrow);
  if (dense) {
    data.push(densityTrace(data[0], view, narrow));
    data[0].marker.showscale = false;
  }
  objectiveAxis(layout.xaxis, view.x, view.log, narrow);
  objectiveAxis(layout.yaxis, view.y, view.log, narrow);
  layout.shapes = marks(layout.shapes[0], view, layout.font.color);
  layout.uirevision = `${view.x} ${view.y} ${view.log}`;
  layout.dragmode = view.drag === "zoom" ? layout.dragmode : view.drag;
  if (narrow) layout.margin.b = 120;
  return draw(element, { data, layout });
}

// Only the rings move: a selection among 100 000 points need not draw them again.
function moveRing(element, view) {
  const { layout } = figure("scatter", element);
  return Plotly.relayout(element, { shapes: marks(layout.shapes[0], view, layout.font.color) });
}

function drawBars(element, name, layers) {
  const { data, layout } = figure(name, element);
  const narrow = element.clientWidth < NARROW_PX; // names have no room: the layers' numbers
  const present = data.filter(({ meta: { field, part } }) =>
    (field === "bounds" ? layers.bounds : layers[field][part]));
  for (const trace of present) {
    const { field, part, scale } = trace.meta;
    if (field === "bounds") spreadOfLayers(trace, layers, scale);
    else trace.y = layers[field][part].map((count) => count * scale);
    if (narrow) trace.x = trace.y.map((_, number) => String(number));
  }
  if (narrow) Object.assign(layout.xaxis, { title: { text: "Layer" }, tickangle: 0 });
  return draw(element, { data: present, layout });
}

function layerEnergy(layers) {
  return layers.cycles.compute.map((_, at) =>
    Object.values(layers.energy).reduce((sum, part) => sum + part[at], 0));
}

// Error bars on the stacks, from the price at its low bound to that at its high one.
function spreadOfLayers(trace, layers, scale) {
  const total = layerEnergy(layers);
  const [low, high] = layers.bounds;
  trace.y = total.map((value) => value * scale);
  trace.error_y.array = total.map((value, at) => (high[at] - value) * scale);
  trace.error_y.arrayminus = total.map((value, at) => (value - low[at]) * scale);
  trace.customdata = total.map((_, at) =>
    `${DATA.layerTitles[at]}<br>${quantity(low[at] * scale, "J")} to ${quantity(high[at] * scale, "J")}`);
}

function drawRoofline(element, layers) {
  const { data, layout } = figure("roofline", element);
  layers.roofline.forEach(({ name, x, y, layer }, at) => {
    const customdata = layer.map((number) => DATA.layerTitles[number]);
    Object.assign(data[at], { name, x, y, customdata, showlegend: x.length > 0 });
  });
  return draw(element, { data, layout });
}
