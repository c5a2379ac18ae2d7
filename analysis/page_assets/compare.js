// Two points side by side: A is the selected one, B the one that is held.

function ratioText(a, b) {
  return Number.isFinite(a) && Number.isFinite(b) && a !== 0 ? (b / a).toPrecision(4) : "n/a";
}

function rowOf(head, cells) {
  return element("tr", {}, element("th", { scope: "row" }, head),
    ...cells.map((text) => element("td", { className: "number" }, text)));
}

function headOf(cells) {
  return element("thead", {}, element("tr", {}, ...cells.map((text) => element("th", { scope: "col" }, text))));
}

function fillComparedMetrics(table, a, b) {
  const [ofA, ofB] = [metricsOf(a), metricsOf(b)];
  const body = Object.entries(DATA.metrics).map(([, values], at) => {
    const [label, textA, spreadA] = ofA[at];
    const [, textB, spreadB] = ofB[at];
    const both = [[textA, spreadA], [textB, spreadB]].map(([text, spread]) => (spread ? `${text} (${spread})` : text));
    return rowOf(label, [...both, ratioText(values[a], values[b])]);
  });
  table.replaceChildren(
    headOf(["", `A: point ${DATA.ids[a]}`, `B: point ${DATA.ids[b]}`, "B / A"]),
    element("tbody", {}, ...body),
  );
}

// The fields of the two machines that differ.
function fillComparedConfig(table, a, b) {
  const [ofA, ofB] = [new Map(configOf(a)), new Map(configOf(b))];
  const paths = [...new Set([...ofA.keys(), ...ofB.keys()])]
    .filter((path) => ofA.get(path) !== ofB.get(path));
  const body = paths.map((path) => rowOf(path, [ofA, ofB].map((side) => side.get(path) ?? "none")));
  table.replaceChildren(
    headOf(["field", "A", "B"]),
    element("tbody", {}, ...(body.length ? body : [rowOf("every field is the same", [])])),
  );
}

function drawCompared(element, a, b, title) {
  const { data, layout } = figure("compared", element);
  const narrow = element.clientWidth < NARROW_PX;
  data[0].name = `A: point ${DATA.ids[view.selected]}`;
  data[1].name = `B: point ${DATA.ids[view.held]}`;
  [a, b].forEach((values, at) => {
    data[at].y = values;
    data[at].x = narrow ? values.map((_, number) => String(number)) : LAYER_LABELS;
  });
  layout.yaxis.title = { ...layout.yaxis.title, text: title };
  if (narrow) Object.assign(layout.xaxis, { title: { text: "Layer" }, tickangle: 0 });
  return draw(element, { data, layout });
}

// The layers' short labels, as the bars of one point have them.
const LAYER_LABELS = DATA.figures.light.cycles.data[0].x;

function layerCycles({ cycles: { compute, stall, overhead } }) {
  return compute.map((count, at) => count + stall[at] + overhead[at]);
}

function showComparison() {
  const [a, b] = [view.selected, view.held];
  const some = a !== null && b !== null;
  $("compare").hidden = !some;
  $("hold").setAttribute("aria-pressed", String(some && a === b));
  if (!some) return;
  $("compare-title").textContent = `Point ${DATA.ids[a]} (A) beside point ${DATA.ids[b]} (B)`;
  fillComparedMetrics($("compare-metrics"), a, b);
  fillComparedConfig($("compare-config"), a, b);
  const layers = [DATA.layers[a], DATA.layers[b]];
  const known = layers.every((side) => side !== undefined);
  $("compare-plots").hidden = !known;
  $("compare-none").hidden = known;
  if (!known) return;
  const joules = layers.map((side) => layerEnergy(side).map((femto) => femto * 1e-15));
  whenSeen($("compare-cycles"), () => drawCompared($("compare-cycles"), ...layers.map(layerCycles), "Cycles"));
  const priced = layers.every((side) => Object.keys(side.energy).length > 0);
  $("compare-energy").hidden = !priced;
  if (priced) whenSeen($("compare-energy"), () => drawCompared($("compare-energy"), ...joules, "Energy [J]"));
}
