// Of two columns: their front, their density, and what a box or a lasso holds. Nothing is drawn.

const GRID = [96, 64]; // cells of the density across and up

function drawable(value, log) {
  return Number.isFinite(value) && (!log || value > 0);
}

// Rows that no other row beats in both objectives, ordered by x: `space_plots.plane_front`.
function planeFront(keyX, keyY) {
  const [x, y] = [keyX, keyY].map((key) => DATA.metrics[key]);
  const [signX, signY] = [keyX, keyY].map((key) => (SENSE[key] === "max" ? -1 : 1));
  const rows = [];
  for (let row = 0; row < POINTS; row++) {
    if (Number.isFinite(x[row]) && Number.isFinite(y[row])) rows.push(row);
  }
  rows.sort((a, b) => signX * (x[a] - x[b]) || signY * (y[a] - y[b]) || a - b);
  const front = [];
  for (const row of rows) {
    const last = front.at(-1);
    if (last === undefined || signY * y[row] < signY * y[last]
      || (x[row] === x[last] && y[row] === y[last])) {
      front.push(row);
    }
  }
  return front;
}

// Edges of `cells` equal cells between the ends of an axis' range, in the objective's own unit.
function edges([low, high], cells, log) {
  return Array.from({ length: cells + 1 }, (_, at) => {
    const value = low + (high - low) * at / cells;
    return log ? 10 ** value : value;
  });
}

// How many of `rows` lie in each cell: edges of x and y, and log10 of the counts (null: none).
function density(rows, x, y, rangeX, rangeY, log) {
  const [across, up] = GRID;
  const counts = Array.from({ length: up }, () => new Array(across).fill(0));
  const cell = (value, [low, high], cells) =>
    Math.min(cells - 1, Math.floor(((log ? Math.log10(value) : value) - low) / (high - low) * cells));
  for (const row of rows) {
    if (!drawable(x[row], log) || !drawable(y[row], log)) continue;
    counts[cell(y[row], rangeY, up)][cell(x[row], rangeX, across)] += 1;
  }
  const z = counts.map((line) => line.map((count) => (count ? Math.log10(count) : null)));
  return { x: edges(rangeX, across, log), y: edges(rangeY, up, log), z, counts };
}

// A test on (x, y) from a finished selection; null where nothing was selected.
function regionOf(event) {
  if (event?.range) {
    const [[left, right], [bottom, top]] = [event.range.x, event.range.y]
      .map((ends) => [...ends].sort((a, b) => a - b));
    return (x, y) => x >= left && x <= right && y >= bottom && y <= top;
  }
  if (event?.lassoPoints) return inside(event.lassoPoints.x, event.lassoPoints.y);
  return null;
}

// Even-odd rule; a lasso is drawn on the screen, so that its edges are straight in log axes too.
function inside(xs, ys) {
  const [left, right] = extent(xs, () => true);
  const [bottom, top] = extent(ys, () => true);
  const logs = left > 0 && bottom > 0 && view.log;
  const scale = logs ? Math.log : (value) => value;
  const [px, py] = [xs.map(scale), ys.map(scale)];
  return (x, y) => {
    if (x < left || x > right || y < bottom || y > top) return false;
    const [u, v] = [scale(x), scale(y)];
    let within = false;
    for (let at = 0, before = px.length - 1; at < px.length; before = at++) {
      const crosses = py[at] > v !== py[before] > v;
      if (crosses && u < (px[before] - px[at]) * (v - py[at]) / (py[before] - py[at]) + px[at]) {
        within = !within;
      }
    }
    return within;
  };
}

// The row nearest to a place on the screen among those that are drawn; null for none.
function nearestRow(rows, x, y, log, toPixel, [left, top]) {
  let best = null;
  let least = Infinity;
  for (const row of rows) {
    if (!drawable(x[row], log) || !drawable(y[row], log)) continue;
    const [across, down] = toPixel(x[row], y[row]);
    const distance = (across - left) ** 2 + (down - top) ** 2;
    if (distance < least) [best, least] = [row, distance];
  }
  return best;
}
