"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const { rows, cols, lanes, cycles, trace } = data;
const width = 2 * lanes + 3;
const phases = ["load", "stream", "drain"];
const slider = document.getElementById("cycle");
const grid = document.getElementById("grid");
const cells = [];

function element(cycle, index) {
  const values = trace[cycle].slice(index * width, (index + 1) * width);
  return {
    weights: values.slice(0, lanes),
    activations: values.slice(lanes, 2 * lanes),
    sum: values[2 * lanes],
    vector: values[2 * lanes + 1],
    phase: values[2 * lanes + 2],
  };
}

function busy(cycle) {
  let count = 0;
  for (let index = 0; index < rows * cols; index += 1) {
    if (trace[cycle][index * width + 2 * lanes + 1] >= 0) count += 1;
  }
  return count;
}

function build() {
  const head = grid.insertRow();
  head.append(document.createElement("th"));
  for (let j = 0; j < cols; j += 1) {
    const th = document.createElement("th");
    th.textContent = `column ${j}`;
    head.append(th);
  }
  for (let i = 0; i < rows; i += 1) {
    const line = grid.insertRow();
    const th = document.createElement("th");
    th.textContent = `row ${i}`;
    line.append(th);
    for (let j = 0; j < cols; j += 1) {
      const cell = line.insertCell();
      for (const name of ["w", "a", "acc"]) {
        const row = document.createElement("div");
        row.dataset.name = name;
        cell.append(row);
      }
      cells.push(cell);
    }
  }
}

function drawActivity() {
  const svg = document.getElementById("activity");
  svg.setAttribute("viewBox", `0 0 ${Math.max(cycles, 1)} ${rows * cols}`);
  const points = trace.map((_, cycle) => `${cycle + 0.5},${rows * cols - busy(cycle)}`);
  svg.querySelector("polyline").setAttribute("points", points.join(" "));
}

function show() {
  const cycle = Number(slider.value) - 1;
  let phase = 0;
  cells.forEach((cell, index) => {
    const found = element(cycle, index);
    phase = found.phase;
    const [w, a, acc] = cell.children;
    w.textContent = `w ${found.weights.join(" ")}`;
    a.textContent = `a ${found.activations.join(" ")}`;
    acc.textContent = `acc ${found.sum}`;
    cell.className = found.vector >= 0 ? "busy" : "";
    cell.title = found.vector >= 0 ? `vector ${found.vector} of this fold` : "idle";
  });
  document.getElementById("status").textContent =
    `cycle ${cycle + 1} of ${cycles}: ${phases[phase]}, ${busy(cycle)} of ${rows * cols} elements multiply`;
  const mark = document.querySelector("#activity line");
  for (const end of ["x1", "x2"]) mark.setAttribute(end, cycle + 0.5);
  mark.setAttribute("y1", 0);
  mark.setAttribute("y2", rows * cols);
}

function move(by) {
  slider.value = Number(slider.value) + by;
  show();
}

let timer = null;
function stop() {
  clearInterval(timer);
  timer = null;
  document.getElementById("play").textContent = "Play";
}

document.getElementById("play").addEventListener("click", () => {
  if (timer !== null) {
    stop();
    return;
  }
  if (Number(slider.value) === cycles) slider.value = 1;
  document.getElementById("play").textContent = "Pause";
  timer = setInterval(() => {
    if (Number(slider.value) >= cycles) stop();
    else move(1);
  }, 200);
});
document.getElementById("back").addEventListener("click", () => move(-1));
document.getElementById("forward").addEventListener("click", () => move(1));
document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
slider.addEventListener("input", show);
slider.max = cycles;
build();
drawActivity();
show();
