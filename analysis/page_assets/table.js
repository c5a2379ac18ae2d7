// The sortable table of the points on the front in all objectives, or of all that are not filtered out.

const TABLE_ROWS = 200;
const MACHINE = DATA.axes.includes("name") ? [] : [["machine", machineOf, machineOf]]; // an axis of machines says it
const order = { column: 1 + MACHINE.length + DATA.axes.length, descending: DATA.objectives[0].sense === "max" }; // the first objective, best first

function valueOf(axis, row) {
  const column = axisColumn(axis);
  return column.values[place(column, row)];
}

// Columns: heading, sort key of a row, text of a row.
const COLUMNS = [
  ["point", (row) => DATA.ids[row], (row) => String(DATA.ids[row])],
  ...MACHINE,
  ...DATA.axes.map((axis) => [axis, (row) => valueOf(axis, row),
    (row) => yamlText(axisColumn(axis), place(axisColumn(axis), row))]),
  ...DATA.objectives.map(({ key }) => [DATA.metricLabels[key][0],
    (row) => DATA.metrics[key][row],
    (row) => quantity(DATA.metrics[key][row], DATA.metricLabels[key][1])]),
];

function buildFrontTable(table, view, choose) {
  const headings = COLUMNS.map(([name], at) => {
    const button = element("button", { type: "button" }, name);
    button.addEventListener("click", () => {
      order.descending = order.column === at && !order.descending;
      order.column = at;
      fillFrontTable(table, view);
    });
    return element("th", { scope: "col" }, button);
  });
  table.append(element("thead", {}, element("tr", {}, ...headings)), element("tbody"));
  table.tBodies[0].addEventListener("click", (event) => {
    const line = event.target.closest("tr");
    if (line) choose(Number(line.dataset.row), event.shiftKey);
  });
}

// Columns of numbers stand to the right; the point's own number leads the line and does not.
function isNumber(at) {
  const key = COLUMNS[at][1];
  return at > 0 && DATA.front.some((row) => typeof key(row) === "number");
}

function frontLine(row) {
  const id = element("button", { type: "button" }, String(DATA.ids[row]));
  id.setAttribute("aria-label", `Select point ${DATA.ids[row]}`);
  const cells = COLUMNS.slice(1).map(([, , text], at) =>
    element("td", { className: isNumber(at + 1) ? "number" : "" }, text(row)));
  const line = element("tr", {}, element("th", { scope: "row" }, id), ...cells);
  line.dataset.row = row;
  return line;
}

function fillFrontTable(table, view) {
  const sortKey = COLUMNS[order.column][1];
  const sign = order.descending ? -1 : 1;
  const rows = brushed(view).filter((row) => view.every || ON_FRONT.has(row))
    .sort((a, b) => sign * compareValues(sortKey(a), sortKey(b)) || a - b);
  table.tBodies[0].replaceChildren(...rows.slice(0, TABLE_ROWS).map(frontLine));
  [...table.tHead.rows[0].cells].forEach((cell, at) => {
    const direction = order.descending ? "descending" : "ascending";
    cell.classList.toggle("number", isNumber(at));
    cell.setAttribute("aria-sort", at === order.column ? direction : "none");
  });
  markInTable(table, view.selected);
  const held = view.rows.length < POINTS ? " that pass the filters" : "";
  const within = view.brush ? (held ? " and lie in the selected region" : " that lie in the selected region") : "";
  const cut = rows.length > TABLE_ROWS ? `; the first ${TABLE_ROWS} in this order are shown` : "";
  return `${rows.length.toLocaleString("en")} points${held}${within}${cut}.`;
}

function markInTable(table, selected) {
  for (const line of table.tBodies[0].rows) {
    line.classList.toggle("selected", Number(line.dataset.row) === selected);
  }
}
