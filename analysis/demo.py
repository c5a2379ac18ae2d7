"""`bitlane demo`: the embedded digits network, from bits to a design-space page, without a file."""

import shutil
import time
from pathlib import Path

import numpy as np

import hwconfigs
import workloads
from analysis.estimate import to_csv
from analysis.files import make_folder, write_text
from analysis.report import report_command
from analysis.store import LOCK, MANIFEST, locked, open_store
from analysis.summary import summary
from analysis.sweeps import Sweep, run
from analysis.text import si, table
from simulator.cost import estimate
from simulator.errors import BadFile, RunFolderBusy
from simulator.execute import run as run_graph
from simulator.graph import Graph
from workloads.zoo import digits

MACHINES = ("systolic_16x16", "hvx_1024", "cortex_a73", "cortex_m4")
"""An array, a signal processor, an application core and a microcontroller: three kinds, whose
cost functions compile in the first run."""


def demo(out: Path) -> None:
    """Execute the held-back digits bit-exactly, estimate four machines, sweep, write a page.

    `out` is made; a former demo in it is replaced, any other content is refused.
    """
    started = time.perf_counter()
    sweep = Sweep(hwconfigs.sweep_path("demo"))
    _prepare(out, sweep.spec.name)
    graph = workloads.load("zoo:digits")
    right, total = accuracy(graph)
    print(
        f"bits    {right} of {total} held-back digits right ({right / total:.2%}), executed in "
        f"integers as {graph.nodes[0].op.reference.split(',')[0]} does"
    )
    found = [estimate(graph, hwconfigs.load(name)) for name in MACHINES]
    rows = [
        (e.name, e.totals.cycles, si(e.totals.latency_s, "s"), si(e.totals.energy_fj * 1e-15, "J"))
        for e in found
    ]
    print("\n" + table(("machine", "cycles", "latency", "energy"), rows) + "\n")
    for _ in run(sweep, out / "sweep", resume=False):
        pass
    print(summary(open_store(out / "sweep"), sweep.spec) + "\n")
    write_text(out / "layers.csv", to_csv(found))
    report_command(out / "sweep", out / "report.html")
    print(f"layers of the {len(found)} machines: {out / 'layers.csv'}")
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


def _prepare(out: Path, name: str) -> None:
    """Make the folder; remove the sweep called `name` of a former demo, refuse all else."""
    make_folder(out)
    run = out / "sweep"
    found = sorted(out.iterdir())
    ours = ("sweep", "report.html", "layers.csv")
    foreign = [p for p in found if p.name not in ours and not p.match(".*.tmp")]
    if not foreign and found and not _is_run_of(name, run):
        foreign = found
    if foreign:
        raise RunFolderBusy(
            f"{out}: holds '{foreign[0].name}', which is not of a demo; choose another --out"
        )
    if run.exists():
        with locked(run):
            shutil.rmtree(run)


def _is_run_of(name: str, run: Path) -> bool:
    """True where a folder holds a run of the sweep `name`, or one that had not begun."""
    if not run.is_dir():
        return False
    if not (run / MANIFEST).exists():
        return not any(p.is_file() and p.name != LOCK for p in run.rglob("*"))
    try:
        return bool(open_store(run).manifest["spec"].get("name") == name)
    except BadFile:
        return False
