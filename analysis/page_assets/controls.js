// Controls of the page, its tooltip and the clipboard.

const $ = (id) => document.getElementById(id);

function buildPlaneControls() {
  const option = (key, label) => element("option", { value: key }, label);
  const objectives = () => DATA.objectives.map(({ key }) => option(key, DATA.metricLabels[key][0]));
  $("x-objective").append(...objectives());
  $("y-objective").append(...objectives());
  $("color-by").append(...objectives(), ...DATA.axes.map((axis) => option(axis, axis)));
  $("shown").value = view.shown;
  const planes = ["x", "y", "log"]; // a region of one plane means nothing in another
  const change = (id, role, value, after) => $(id).addEventListener("change", () => {
    view[role] = value($(id));
    if (planes.includes(role)) clearBrush();
    after();
  });
  for (const [id, role] of [["x-objective", "x"], ["y-objective", "y"], ["color-by", "color"]]) {
    $(id).value = view[role];
    change(id, role, (control) => control.value, role === "color" ? refreshAll : refreshPlane);
  }
  change("shown", "shown", (control) => control.value, refreshPlane);
  change("drag", "drag", (control) => control.value, refreshPlane);
  change("log-axes", "log", (control) => control.checked, refreshPlane);
  change("error-bars", "errors", (control) => control.checked, refreshPlane);
  $("error-bars").closest("label").hidden = Object.keys(DATA.bounds).length === 0;
  $("clear-brush").addEventListener("click", () => { clearBrush(); refreshAll(); });
  $("every-point").addEventListener("change", () => { view.every = $("every-point").checked; refreshTable(); });
  document.forms["plane-controls"].addEventListener("submit", (event) => event.preventDefault());
}

function stepOnFront(by) {
  if (DATA.front.length) select(neighbourOnFront(view.selected, by));
}

function buildPanelControls() {
  $("previous-front").addEventListener("click", () => stepOnFront(-1));
  $("next-front").addEventListener("click", () => stepOnFront(1));
  $("point-id").addEventListener("change", () => selectId(Number($("point-id").value)));
  $("hold").addEventListener("click", () => hold(view.selected));
  $("swap").addEventListener("click", () => {
    const [selected, held] = [view.selected, view.held];
    view.held = selected;
    select(held);
  });
  $("release").addEventListener("click", () => hold(null));
  document.forms["point-chooser"].addEventListener("submit", (event) => event.preventDefault());
  $("copy-yaml").addEventListener("click", async () => {
    const copied = await copyText($("config-yaml"));
    $("copy-yaml").textContent = copied ? "Copied" : "Press Ctrl+C";
  });
}

// Arrow keys go along the front, Home and End to its ends, B holds the selected point.
function buildKeys() {
  const keys = {
    ArrowRight: () => stepOnFront(1),
    ArrowDown: () => stepOnFront(1),
    ArrowLeft: () => stepOnFront(-1),
    ArrowUp: () => stepOnFront(-1),
    Home: () => DATA.front.length && select(frontOrder()[0]),
    End: () => DATA.front.length && select(frontOrder().at(-1)),
    b: () => hold(view.selected),
    Escape: () => { clearBrush(); refreshAll(); },
  };
  $("scatter").addEventListener("keydown", (event) => {
    const act = keys[event.key];
    if (!act || event.target !== $("scatter") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
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

function showTooltip({ points: [{ data, customdata: row }], event }) {
  if (data.type === "heatmap" || !event) return; // a cell of the density says its count itself
  const lines = (pairs) => pairs.flatMap(([key, ...texts]) =>
    [element("dt", {}, key), element("dd", {}, texts.filter(Boolean).join(", "))]);
  const tooltip = $("tooltip");
  tooltip.replaceChildren(
    element("strong", {}, `Point ${DATA.ids[row]}, ${machineOf(row)}`),
    element("dl", {}, ...lines(metricsOf(row))),
    element("dl", {}, ...lines(configOf(row).filter(([path]) => !/(^|\.)source$/.test(path)))),
  );
  tooltip.hidden = false;
  const { width, height } = tooltip.getBoundingClientRect();
  const [right, down] = [event.clientX + 16, event.clientY + 16];
  const left = right + width > window.innerWidth - 8 ? event.clientX - width - 16 : right;
  tooltip.style.left = `${Math.max(8, left)}px`;
  tooltip.style.top = `${Math.max(8, Math.min(down, window.innerHeight - height - 8))}px`;
}

function hideTooltip() {
  $("tooltip").hidden = true;
}
