"""`bitlane demo`: the embedded digits network, from bits to a design-space page, without a file."""

import shutil
import time
from pathlib import Path

import numpy as np

import hwconfigs
import workloads
from analysis.estimate import to_csv
from analysis.files import write_text
from analysis.report import report_command
from analysis.store import open_store
from analysis.sweeps import Sweep, run, summary
from analysis.text import si, table
from simulator.cost import estimate
from simulator.errors import RunFolderBusy
from simulator.execute import run as run_graph
from simulator.graph import Graph
from workloads.zoo import digits


def demo(out: Path) -> None:
    """Execute the held-back digits bit-exactly, estimate three machines, sweep, write the page.

    `out` is made; a former demo in it is replaced, any other content is refused.
    """
    started = time.perf_counter()
    _prepare(out)
    graph = workloads.load("zoo:digits")
    right, total = accuracy(graph)
    print(
        f"bits    {right} of {total} held-back digits right ({right / total:.2%}), executed in "
        f"integers as {graph.nodes[0].op.reference.split(',')[0]} does"
    )
    found = [estimate(graph, hwconfigs.load(name)) for name in hwconfigs.names()]
    rows = [
        (e.name, e.totals.cycles, si(e.totals.latency_s, "s"), si(e.totals.energy_j, "J"))
        for e in found
    ]
    print("\n" + table(("machine", "cycles", "latency", "energy"), rows) + "\n")
    write_text(out / "layers.csv", to_csv(found))
    spec = hwconfigs.sweep_path("demo")
    sweep = Sweep(spec)
    for _ in run(sweep, out / "sweep", resume=False):
        pass
    print(summary(open_store(out / "sweep"), sweep.spec) + "\n")
    report_command(out / "sweep", out / "report.html")
    print(f"layers of the three machines: {out / 'layers.csv'}")
    print(f"done in {time.perf_counter() - started:.1f} s; open {out / 'report.html'}")


def accuracy(graph: Graph) -> tuple[int, int]:
    """(right, total) of the digits network on its held-back images, executed bit-exactly."""
    images, labels = digits.heldout()
    (name,) = graph.inputs
    grid = graph.tensors[name].quant
    assert grid is not None
    values = digits.quantize_input(images, grid.scale[0], grid.zero_point[0])
    right = 0
    for i, label in enumerate(labels):
        outputs, _ = run_graph(graph, {name: values[i : i + 1]})
        right += int(np.argmax(outputs[graph.outputs[0]]) == label)
    return right, len(labels)


def _prepare(out: Path) -> None:
    """Make the folder; remove the files of a former demo, refuse to touch any other."""
    ours = {"sweep", "report.html", "layers.csv"}
    out.mkdir(parents=True, exist_ok=True)
    foreign = sorted(p.name for p in out.iterdir() if p.name not in ours)
    if foreign:
        raise RunFolderBusy(
            f"{out}: holds '{foreign[0]}', which is not of a demo; choose another --out"
        )
    if (out / "sweep").exists():
        shutil.rmtree(out / "sweep")
