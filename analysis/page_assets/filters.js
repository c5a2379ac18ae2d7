// One control per swept axis. A filter is a test on the place of a value in its column.

const FEW_VALUES = 8;
const passes = new Map(); // axis -> (place) => boolean; only the axes that restrict something

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function rowsThatPass() {
  const tests = [...passes].map(([axis, accepts]) => [DATA.config[axis], accepts]);
  const rows = [];
  for (let row = 0; row < POINTS; row++) {
    if (tests.every(([column, accepts]) => accepts(place(column, row)))) rows.push(row);
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
    else passes.set(axis, (at) => wanted.has(at));
    changed();
  };
  boxes.forEach((box) => box.addEventListener("change", update));
  const reset = () => boxes.forEach((box) => { box.checked = true; });
  return { body: element("div", { className: "choices" }, ...labels), reset };
}

// Lowest and highest accepted number; an empty field does not restrict.
function rangeFilter(axis, column, changed) {
  const [low, high] = extent(column.values, Number.isFinite);
  const field = (name, hint) => {
    const input = element("input", { type: "number", step: "any", placeholder: hint });
    input.setAttribute("aria-label", `${axis}, ${name}`);
    return input;
  };
  const [from, to] = [field("lowest", low), field("highest", high)];
  const update = () => {
    const least = from.value === "" ? -Infinity : Number(from.value);
    const most = to.value === "" ? Infinity : Number(to.value);
    const within = (at) => at >= 0 && column.values[at] >= least && column.values[at] <= most;
    if (from.value === "" && to.value === "") passes.delete(axis);
    else passes.set(axis, within);
    changed();
  };
  [from, to].forEach((input) => input.addEventListener("change", update));
  const reset = () => { from.value = to.value = ""; };
  return { body: element("div", { className: "range" }, from, " to ", to), reset };
}

function buildFilters(container, resetButton, changed) {
  const resets = DATA.axes.map((axis) => {
    const column = DATA.config[axis];
    const numeric = column.values.every(Number.isFinite);
    const make = numeric && column.values.length > FEW_VALUES ? rangeFilter : checkboxFilter;
    const { body, reset } = make(axis, column, changed);
    const group = element("fieldset", {}, element("legend", {}, axis), body);
    group.dataset.axis = axis;
    container.append(group);
    return reset;
  });
  resetButton.addEventListener("click", () => {
    resets.forEach((reset) => reset());
    passes.clear();
    changed();
  });
}
