// The page: controls, the selected point's panel, and the hooks for scripts (`window.bitlane`).

const $ = (id) => document.getElementById(id);
const view = {
  x: DATA.objectives[0].key,
  y: DATA.objectives[1].key,
  color: (DATA.objectives[2] ?? DATA.objectives[0]).key,
  log: true,
  rows: rowsThatPass(),
  selected: null,
};

function describePlane() {
  const text = (value) => value.toLocaleString("en");
  $("count").value = `${text(view.rows.length)} of ${text(POINTS)} points`;
  const [x, y] = [DATA.metrics[view.x], DATA.metrics[view.y]];
  const off = (v) => v === null || (view.log && v <= 0);
  const lost = view.rows.filter((row) => off(x[row]) || off(y[row])).length;
  $("scatter-note").textContent = [
    lost ? `${text(lost)} points have no value that these axes can show.` : "",
    WEBGL || view.rows.length <= SVG_POINTS ? ""
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

function applyFilters() {
  view.rows = rowsThatPass();
  refreshTable();
  return refreshPlane();
}

function fillTable(table, pairs) {
  const body = pairs.map(([key, text]) => {
    const head = element("th", { scope: "row" }, key);
    head.classList.toggle("axis", DATA.axes.includes(key));
    return element("tr", {}, head, element("td", {}, text));
  });
  table.replaceChildren(element("tbody", {}, ...body));
}

// The Gantt chart's spans in words, in the order in which they begin.
function fillTimeline(table, { rows, unit, what, layer, start, cycles }) {
  const text = (value) => value.toLocaleString("en");
  const cells = (tag, values) => element("tr", {}, ...values.map((v) => element(tag, {}, v)));
  const body = unit.map((_, at) => cells("td", [
    text(start[at]), text(start[at] + cycles[at]), rows[unit[at]],
    DATA.spanKinds[what[at]], DATA.layerTitles[layer[at]],
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
  drawBars($("layer-energy"), "energy", layers);
  drawRoofline($("roofline"), layers);
  $("timeline").hidden = layers.spans === undefined;
  if (layers.spans !== undefined) {
    drawGantt($("gantt"), layers.spans);
    fillTimeline($("timeline-table"), layers.spans);
  }
  const drawn = layers.roofline.reduce((sum, { layer }) => sum + layer.length, 0);
  const rest = layers.cycles.compute.length - drawn;
  $("roofline-note").textContent = rest ? `${rest} layers without MACs are not drawn.` : "";
}

function select(row) {
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
  drawLayers();
  markInTable($("front-table"), row);
  return moveRing($("scatter"), view);
}

function selectId(id) {
  const row = ROW_OF_ID.get(id);
  if (row === undefined) $("status").textContent = `There is no point ${id}.`;
  else select(row);
  return row !== undefined;
}

function buildPlaneControls() {
  const option = (key, label) => element("option", { value: key }, label);
  const objectives = () => DATA.objectives.map(({ key }) => option(key, DATA.metricLabels[key][0]));
  $("x-objective").append(...objectives());
  $("y-objective").append(...objectives());
  $("color-by").append(...objectives(), ...DATA.axes.map((axis) => option(axis, axis)));
  for (const [id, role] of [["x-objective", "x"], ["y-objective", "y"], ["color-by", "color"]]) {
    $(id).value = view[role];
    $(id).addEventListener("change", () => { view[role] = $(id).value; refreshPlane(); });
  }
  $("log-axes").addEventListener("change", () => { view.log = $("log-axes").checked; refreshPlane(); });
  document.forms["plane-controls"].addEventListener("submit", (event) => event.preventDefault());
}

function buildPanelControls() {
  const step = (by) => () => { if (DATA.front.length) select(neighbourOnFront(view.selected, by)); };
  $("previous-front").addEventListener("click", step(-1));
  $("next-front").addEventListener("click", step(1));
  $("point-id").addEventListener("change", () => selectId(Number($("point-id").value)));
  document.forms["point-chooser"].addEventListener("submit", (event) => event.preventDefault());
  $("copy-yaml").addEventListener("click", async () => {
    const copied = await copyText($("config-yaml"));
    $("copy-yaml").textContent = copied ? "Copied" : "Press Ctrl+C";
  });
}

// Through the clipboard interface where the browser grants it, else as a selection and a command.
async function copyText(pre) {
  try {
    await navigator.clipboard.writeText(pre.textContent);
    return true;
  } catch {
    window.getSelection().selectAllChildren(pre);
    return document.execCommand("copy");
  }
}

function showTooltip({ points: [{ customdata: row }], event }) {
  const lines = (pairs) => pairs.flatMap(([key, text]) => [element("dt", {}, key), element("dd", {}, text)]);
  const tooltip = $("tooltip");
  tooltip.replaceChildren(
    element("strong", {}, `Point ${DATA.ids[row]}, ${machineOf(row)}`),
    element("dl", {}, ...lines(metricsOf(row))),
    element("dl", {}, ...lines(configOf(row))),
  );
  tooltip.hidden = false;
  const { width, height } = tooltip.getBoundingClientRect();
  const [right, down] = [event.clientX + 16, event.clientY + 16];
  const left = right + width > window.innerWidth - 8 ? event.clientX - width - 16 : right;
  tooltip.style.left = `${Math.max(8, left)}px`;
  tooltip.style.top = `${Math.max(8, Math.min(down, window.innerHeight - height - 8))}px`;
}

async function start() {
  buildPlaneControls();
  buildPanelControls();
  buildFilters($("filters"), $("reset-filters"), applyFilters);
  buildFrontTable($("front-table"), view, select);
  refreshTable();
  await refreshPlane();
  $("scatter").on("plotly_click", ({ points: [{ customdata: row }] }) => select(row));
  $("scatter").on("plotly_hover", showTooltip);
  $("scatter").on("plotly_unhover", () => { $("tooltip").hidden = true; });
  if (DATA.selected !== null) await select(ROW_OF_ID.get(DATA.selected));
  DARK.addEventListener("change", () => { refreshPlane(); drawLayers(); });
  window.bitlane = {
    select: selectId,
    selected: () => (view.selected === null ? null : DATA.ids[view.selected]),
    visibleCount: () => view.rows.length,
    readyAfterMs: performance.now(),
    frontIds: () => planeFront(DATA.metrics[view.x], DATA.metrics[view.y]).map((row) => DATA.ids[row]),
  };
}

start();
