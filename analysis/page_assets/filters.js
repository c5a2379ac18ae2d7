// One control per swept axis and per objective. A filter is a test on a row.

const FEW_VALUES = 8;
const passes = new Map(); // name -> (row) => boolean; only what restricts something

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function rowsThatPass() {
  const tests = [...passes.values()];
  const rows = [];
  for (let row = 0; row < POINTS; row++) {
    if (tests.every((accepts) => accepts(row))) rows.push(row);
  }
  return rows;
}

// A checkbox for each value; with all of them ticked the axis does not restrict.
function checkboxFilter(axis, column, changed) {
  const places = sortedPlaces(column);
  if (column.index?.includes(-1)) places.push(-1);
  const boxes = places.map((at) => element("input", { type: "checkbox", checked: true, value: at }));
  const labels = boxes.map((box, i) => element("label", {}, box, yamlText(column, places[i])));
  const update = () => {
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => Number(box.value)));
    if (wanted.size === boxes.length) passes.delete(axis);
    else passes.set(axis, (row) => wanted.has(place(column, row)));
    changed();
  };
  boxes.forEach((box) => box.addEventListener("change", update));
  const reset = () => boxes.forEach((box) => { box.checked = true; });
  return { body: element("div", { className: "choices" }, ...labels), reset };
}

// Lowest and highest accepted number; an empty field does not restrict.
function rangeFilter(name, hints, valueAt, changed) {
  const field = (end, hint) => {
    const input = element("input", { type: "number", step: "any", placeholder: hint });
    input.setAttribute("aria-label", `${name}, ${end}`);
    return input;
  };
  const [from, to] = [field("lowest", hints[0]), field("highest", hints[1])];
  const update = () => {
    const least = from.value === "" ? -Infinity : Number(from.value);
    const most = to.value === "" ? Infinity : Number(to.value);
    if (from.value === "" && to.value === "") passes.delete(name);
    else passes.set(name, (row) => valueAt(row) >= least && valueAt(row) <= most);
    changed();
  };
  [from, to].forEach((input) => input.addEventListener("change", update));
  const reset = () => { from.value = to.value = ""; };
  return { body: element("div", { className: "range" }, from, " to ", to), reset };
}

function axisFilter(axis, changed) {
  const column = axisColumn(axis);
  const numeric = column.values.every(Number.isFinite);
  if (!numeric || column.values.length <= FEW_VALUES) return checkboxFilter(axis, column, changed);
  const valueAt = (row) => column.values[place(column, row)];
  return rangeFilter(axis, extent(column.values, Number.isFinite), valueAt, changed);
}

// In the objective's own unit, without prefix: seconds, joules.
function objectiveFilter(key, changed) {
  const [label, unit] = DATA.metricLabels[key];
  const values = DATA.metrics[key];
  const found = extent(values, () => true);
  const short = (v) => (v === 0 || (Math.abs(v) >= 1e-3 && Math.abs(v) < 1e5) ? v.toPrecision(3) : v.toExponential(2));
  const hints = found ? found.map(short) : ["", ""];
  const made = rangeFilter(label, hints, (row) => values[row], changed);
  return { ...made, name: key, title: unit ? `${label} [${unit}]` : label };
}

function buildFilters(container, resetButton, changed) {
  const groups = [
    ...DATA.axes.map((axis) => ({ ...axisFilter(axis, changed), name: axis, title: axis })),
    ...DATA.objectives.map(({ key }) => objectiveFilter(key, changed)),
  ];
  for (const { body, name, title } of groups) {
    const group = element("fieldset", {}, element("legend", {}, title), body);
    group.dataset.axis = name;
    container.append(group);
  }
  resetButton.addEventListener("click", () => {
    groups.forEach(({ reset }) => reset());
    passes.clear();
    changed();
  });
}
