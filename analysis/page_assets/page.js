// The page: what is shown, the selected point's panel, and the hooks for scripts (`window.bitlane`).

const view = {
  x: DATA.objectives[0].key,
  y: DATA.objectives[1].key,
  color: (DATA.objectives[2] ?? DATA.objectives[0]).key,
  log: true,
  shown: POINTS > MANY_POINTS ? "density" : "points",
  drag: "zoom",
  errors: true,
  every: false, // the table holds every point, not only the front
  rows: rowsThatPass(),
  brush: null, // a test on the plane's two values
  selected: null,
  held: null,
};

// Rows that pass the filters and lie in the selected region.
function brushed({ rows, brush, x, y }) {
  if (!brush) return rows;
  const [across, up] = [DATA.metrics[x], DATA.metrics[y]];
  return rows.filter((row) => brush(across[row], up[row]));
}

function describePlane() {
  const text = (value) => value.toLocaleString("en");
  $("count").value = `${text(view.rows.length)} of ${text(POINTS)} points`
    + (view.brush ? `, ${text(brushed(view).length)} selected` : "");
  $("clear-brush").hidden = !view.brush;
  const [x, y] = [DATA.metrics[view.x], DATA.metrics[view.y]];
  const off = (v) => !drawable(v, view.log);
  const lost = view.rows.filter((row) => off(x[row]) || off(y[row])).length;
  $("scatter-note").textContent = [
    lost ? `${text(lost)} points have no value that these axes can show.` : "",
    view.shown === "density" ? "A click selects the nearest point." : "",
    WEBGL || view.rows.length <= SVG_POINTS || view.shown === "density" ? ""
      : `This browser has no WebGL: about ${text(SVG_POINTS)} of the points are drawn.`,
  ].join(" ").trim();
}

function refreshPlane() {
  describePlane();
  return drawScatter($("scatter"), view);
}

function refreshTable() {
  $("front-note").textContent = fillFrontTable($("front-table"), view);
}

// The volume and the parallel coordinates hold what the filters and the brush leave.
function refreshViews() {
  const rows = brushed(view);
  if (!WEBGL || !POINTS) return;
  if (DATA.objectives.length > 2) {
    whenSeen($("space"), async () => {
      const fresh = !$("space").on;
      await drawSpace($("space"), rows, view);
      if (fresh) watchPoints($("space"));
    });
  }
  whenSeen($("parallel"), async () => {
    const drawn = await drawParallel($("parallel"), rows, view.color);
    $("parallel-note").textContent = drawn < rows.length
      ? `${drawn.toLocaleString("en")} of ${rows.length.toLocaleString("en")} lines are drawn: the front and an even sample.`
      : "";
  });
}

function refreshAll() {
  refreshTable();
  refreshViews();
  return refreshPlane();
}

function applyFilters() {
  view.rows = rowsThatPass();
  return refreshAll();
}

function clearBrush() {
  if (!view.brush) return;
  view.brush = null;
  Plotly.update($("scatter"), { selectedpoints: null }, { selections: [] });
}

function applyBrush(event) {
  view.brush = regionOf(event);
  describePlane();
  refreshTable();
  refreshViews();
}

function fillTable(table, lines) {
  const body = lines.map(([key, text, spread]) => {
    const head = element("th", { scope: "row" }, key);
    head.classList.toggle("axis", DATA.axes.includes(key));
    const cell = element("td", {}, text);
    if (spread) cell.append(element("span", { className: "spread" }, spread));
    return element("tr", {}, head, cell);
  });
  table.replaceChildren(element("tbody", {}, ...body));
}

// The Gantt chart's spans in words, in the order in which they begin.
function fillTimeline(table, { rows, unit, what, layer, start, cycles }) {
  const text = (value) => value.toLocaleString("en");
  const cells = (tag, values) => element("tr", {}, ...values.map((v) => element(tag, {}, v)));
  const body = unit.map((_, at) => cells("td", [
    text(start[at]), text(start[at] + cycles[at]), rows[unit[at]],
    DATA.spanKinds[what[at]], DATA.layerNames[layer[at]],
  ]));
  table.replaceChildren(
    element("thead", {}, cells("th", ["from cycle", "to cycle", "unit", "what", "layer"])),
    element("tbody", {}, ...body),
  );
}

function drawLayers() {
  const layers = DATA.layers[view.selected];
  $("no-layers").hidden = view.selected === null || layers !== undefined;
  $("layer-plots").hidden = layers === undefined;
  if (layers === undefined) return;
  drawBars($("layer-cycles"), "cycles", layers);
  const priced = Object.keys(layers.energy).length > 0;
  $("layer-energy").hidden = !priced;
  if (priced) drawBars($("layer-energy"), "energy", layers);
  drawRoofline($("roofline"), layers);
  $("energy-note").textContent = !priced ? "Costs of a model are no joules; those of each layer are in the folder's table."
    : layers.bounds || !DATA.bounds.energy_j ? ""
    : "Bounds are told of the total energy; those of the area and of each layer travel with some points of the front only.";
  $("timeline").hidden = layers.spans === undefined;
  if (layers.spans !== undefined) {
    drawGantt($("gantt"), layers.spans);
    fillTimeline($("timeline-table"), layers.spans);
  }
  const drawn = layers.roofline.reduce((sum, { layer }) => sum + layer.length, 0);
  const rest = layers.cycles.compute.length - drawn;
  $("roofline-note").textContent = rest ? `${rest} layers without MACs are not drawn.` : "";
}

// Loop nests or folds, and the plan of the activations, of the points that carry them.
function showMapping() {
  const mapped = DATA.mapped[view.selected];
  $("mapping").hidden = mapped === undefined;
  $("no-mapping").hidden = mapped !== undefined || view.selected === null;
  if (mapped === undefined) return;
  const parts = DATA.layerNames.map((name, at) => `${name}\n${mapped.texts[at] || "no products, no nest"}\n`);
  $("nests").textContent = parts.join("\n");
  $("memory-part").hidden = mapped.arena === null;
  if (mapped.arena !== null) whenSeen($("memory"), () => drawMemory($("memory"), DATA.arenas[mapped.arena]));
}

function select(row, asB = false) {
  if (asB && view.selected !== null) return hold(row);
  view.selected = row;
  const front = ON_FRONT.has(row) ? "on the front in all objectives" : "not on the front";
  $("point-title").textContent = `Point ${DATA.ids[row]}`;
  $("status").textContent = `${machineOf(row)}, ${front}`;
  $("point-id").value = DATA.ids[row];
  fillTable($("point-metrics"), metricsOf(row));
  fillTable($("point-config"), configOf(row));
  $("config-yaml").textContent = yamlOf(row);
  $("copy-yaml").textContent = "Copy YAML";
  $("point-details").hidden = false;
  $("hold").disabled = false;
  drawLayers();
  showMapping();
  showComparison();
  markInTable($("front-table"), row);
  return moveRing($("scatter"), view);
}

// Keep a row as B, beside which the selected one stands; null: none.
function hold(row) {
  view.held = row;
  showComparison();
  if (row !== null) $("status").textContent = `Point ${DATA.ids[row]} is held as B; select another to compare.`;
  return moveRing($("scatter"), view);
}

function selectId(id) {
  const row = ROW_OF_ID.get(id);
  if (row === undefined) $("status").textContent = `There is no point ${id}.`;
  else select(row);
  return row !== undefined;
}

// The row of a click: of a point its own, of a cell of the density the nearest to its middle.
function clickedRow({ points: [{ data, customdata, x, y }] }) {
  if (data.type !== "heatmap") return customdata;
  const [columnX, columnY] = [DATA.metrics[view.x], DATA.metrics[view.y]];
  const scale = ([low, high]) => (value) => ((view.log ? Math.log10(value) : value) - low) / (high - low);
  const [across, up] = [scale(rangeOf(view.x, view.log)), scale(rangeOf(view.y, view.log))];
  return nearestRow(view.rows, columnX, columnY, view.log, (u, v) => [across(u), up(v)], [across(x), up(y)]);
}

function watchPoints(plot) {
  plot.on("plotly_click", (event) => {
    const row = clickedRow(event);
    if (row !== null) select(row, Boolean(event.event?.shiftKey));
  });
  plot.on("plotly_hover", showTooltip);
  plot.on("plotly_unhover", hideTooltip);
}

function watchScatter() {
  watchPoints($("scatter"));
  $("scatter").on("plotly_selected", (event) => { if (event) applyBrush(event); });
  $("scatter").on("plotly_deselect", () => { view.brush = null; refreshAll(); });
}

// What does not depend on the selection: drawn once, and again when the colours change.
function showOnce() {
  $("sensitivity-part").hidden = DATA.sensitivity === null;
  if (DATA.sensitivity !== null) {
    $("sensitivity-note").textContent = DATA.sensitivity;
    whenSeen($("sensitivity"), () => drawSensitivity($("sensitivity")));
  }
  $("space-part").hidden = DATA.objectives.length < 3 || POINTS === 0;
  $("parallel-part").hidden = POINTS === 0;
  for (const id of ["space", "parallel"]) $(id).hidden = !WEBGL;
  for (const id of ["space-none", "parallel-none"]) $(id).hidden = WEBGL;
}

async function start() {
  buildPlaneControls();
  buildPanelControls();
  buildFilters($("filters"), $("reset-filters"), applyFilters);
  buildFrontTable($("front-table"), view, select);
  showOnce();
  await refreshAll();
  watchScatter();
  buildKeys();
  if (DATA.selected !== null) await select(ROW_OF_ID.get(DATA.selected));
  DARK.addEventListener("change", () => { refreshAll(); drawLayers(); showMapping(); showComparison(); showOnce(); });
  window.bitlane = {
    select: selectId,
    hold: (id) => hold(ROW_OF_ID.get(id) ?? null),
    selected: () => (view.selected === null ? null : DATA.ids[view.selected]),
    held: () => (view.held === null ? null : DATA.ids[view.held]),
    visibleCount: () => view.rows.length,
    brushedIds: () => brushed(view).map((row) => DATA.ids[row]),
    readyAfterMs: performance.now(),
    frontIds: () => planeFront(view.x, view.y).map((row) => DATA.ids[row]),
  };
}

start();
