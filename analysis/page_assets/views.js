// More views: the volume, parallel coordinates, sensitivity, timeline, memory. Some wait to be seen.

const DRAWN_LINES = 4000; // `space_plots.DRAWN_LINES`
const waiting = new Map(); // element -> what draws it, kept until it comes into the window
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting || !waiting.has(target)) continue;
    const paintNow = waiting.get(target);
    waiting.delete(target);
    paintNow();
  }
}, { rootMargin: "50px" });

// Draw now where the element is near the window, else when it comes there.
function whenSeen(element, paintNow) {
  waiting.set(element, paintNow);
  watcher.unobserve(element);
  watcher.observe(element);
}

// The first three objectives in a volume. `rows` pass filters and brush.
function drawSpace(element, rows, view) {
  const { data, layout } = figure("space", element);
  const chosen = view.held === null ? [view.selected] : [view.selected, view.held];
  const held = [thinned(rows, DRAWN_LINES), rows.filter((row) => ON_FRONT.has(row))];
  held.push(chosen.filter((row) => row !== null));
  data.push({ ...structuredClone(data[1]), name: "selected" });
  Object.assign(data[2].marker, { size: 9, symbol: "circle-open", color: layout.font.color });
  data.forEach((trace, at) => {
    ["x", "y", "z"].forEach((side, number) => {
      const values = DATA.metrics[DATA.objectives[number].key];
      trace[side] = held[at].map((row) => values[row]);
    });
    Object.assign(trace, { customdata: held[at], hoverinfo: "none", hovertext: null });
  });
  layout.dragmode = "orbit";
  if (element.clientWidth < NARROW_PX) {
    const { eye } = layout.scene.camera;
    for (const side of ["x", "y", "z"]) eye[side] *= 1.15; // all of the volume in a narrow window
    layout.height = 420;
  }
  layout.uirevision = "space";
  return draw(element, { data, layout });
}

// A line a point over all axes and objectives; the colour is that of the plane.
function drawParallel(element, rows, color) {
  const { data, layout } = figure("parallel", element);
  const lines = thinned(rows, DRAWN_LINES);
  const keys = [...DATA.axes, ...DATA.objectives.map(({ key }) => key)];
  data[0].dimensions = keys.map((key) => {
    const { label, numbers, ticks, texts } = colouring(key);
    const [low, high] = extent(numbers, () => true) ?? [0, 1];
    const none = low - 0.1 * (high - low || 1); // where the lines go that have no value here
    const lacks = lines.some((row) => numbers[row] === null);
    return {
      label: label.split(".").slice(-2).join("."),
      values: lines.map((row) => numbers[row] ?? none),
      tickvals: lacks ? [none, ...ticks] : ticks,
      ticktext: lacks ? ["none", ...texts] : texts,
      range: [lacks ? none : low < high ? low : low - 1, low < high ? high : low + 1],
    };
  });
  // Names on the left axis begin within the plot.
  const longest = Math.max(...data[0].dimensions[0].ticktext.map((text) => text.length));
  layout.margin.l = Math.max(layout.margin.l, Math.min(180, 16 + 6.5 * longest));
  const { numbers } = colouring(color);
  const [low, high] = extent(numbers, () => true) ?? [0, 1];
  Object.assign(data[0].line, { color: lines.map((row) => numbers[row]), cmin: low, cmax: high });
  const widest = Math.max(...data[0].dimensions.map((dimension) => dimension.label.length));
  const room = Math.min(150, Math.max(96, 12 + 6.2 * widest)); // a name beside the next one
  element.style.minWidth = `${Math.max(320, room * keys.length)}px`;
  return draw(element, { data, layout }).then(() => lines.length);
}

function drawSensitivity(element) {
  const { data, layout } = figure("sensitivity", element);
  layout.dragmode = false;
  element.style.minHeight = `${layout.height}px`;
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
    trace.marker.opacity = ours.map((at) => trace.meta.shades[layer[at] % 2]);
    trace.showlegend = ours.length > 0;
  });
  layout.yaxis.categoryarray = rows;
  const [frame, row] = DATA.ganttPixels;
  layout.height = frame + row * rows.length;
  element.style.minHeight = `${layout.height}px`;
  return draw(element, { data, layout });
}

// The arena: a box a tensor, as long as it lives, at its addresses.
function drawMemory(element, buffers) {
  const { data, layout } = figure("memory", element);
  const { colors } = data[0].meta;
  data[0].x = buffers.map(([, , , first, last]) => (first + last) / 2);
  data[0].width = buffers.map(([, , , first, last]) => last - first + 1);
  data[0].base = buffers.map(([, offset]) => offset);
  data[0].y = buffers.map(([, , bytes]) => bytes);
  data[0].customdata = buffers.map(([name]) => name.replace(/&/g, "&amp;").replace(/</g, "&lt;"));
  data[0].marker.color = buffers.map((_, at) => colors[at % colors.length]);
  return draw(element, { data, layout });
}
