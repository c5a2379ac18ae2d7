"""`bitlane exec --stepper`: one layer through the array, register by register, as text and page."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any, Final

import numpy as np

from analysis.arrays import one_sample
from analysis.files import write_text
from analysis.text import grouped, table
from simulator.cost import LayerCost, count
from simulator.errors import Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator
from simulator.machines.base import Machine
from simulator.machines.systolic import Systolic
from simulator.stepper.step import Stepped, step

MOST_ELEMENTS: Final = 1024
"""The largest array that a page shows."""
MOST_SHOWN: Final = 200_000
"""Elements times cycles that a page holds: a few megabytes."""


@dataclass(frozen=True)
class Outcome:
    """A layer stepped through, beside what the engine and the analytic model say of it."""

    node: Node
    machine: Systolic
    stepped: Stepped
    layer: LayerCost
    differing: int

    @property
    def equal(self) -> bool:
        """Same bits and same cycles."""
        return not self.differing and self.stepped.cycles == self.layer.cycles.compute


def stepper_command(
    graph: Graph, machine: Machine, inputs: Path, layer: str | None, page: Path | None
) -> bool:
    """Step, print, and write the page where one is asked for; True where all is equal."""
    outcome = step_layer(graph, machine, inputs, layer, traced=page is not None)
    print(to_text(outcome))
    if page is not None:
        write_text(page, render(graph.name, outcome))
        print(f"written to {page}")
    return outcome.equal


def step_layer(
    graph: Graph, machine: Machine, inputs: Path, layer: str | None, *, traced: bool
) -> Outcome:
    """Run the graph up to `layer` on the machine's datapath and step through that layer.

    Raises Unsupported where there is no such layer, or none that the array multiplies, and where
    a page (`traced`) would be too large.
    """
    index, op = _find(graph, layer)
    node, datapath = graph.nodes[index], machine.datapath.datapath()
    if not isinstance(machine, Systolic):
        raise Unsupported(
            f"{machine.name}: only model: systolic has an array to step through; "
            f"found model: {machine.model}"
        )
    found: list[Sequence[Array | None]] = []

    def keep(ran: Node, operands: Sequence[Array | None], _: Sequence[Array]) -> None:
        if ran.name == node.name:
            found.append(list(operands))

    cost = count(graph, machine)[index]
    cycles = _traced_cycles(machine, cost) if traced else 0
    run(graph, one_sample(graph, inputs), datapath=datapath, tap=keep)
    stepped = step(op, found[0], machine, graph.work[index], cycles)
    expected = op.accumulate(found[0], datapath)
    differing = int(np.count_nonzero(stepped.accumulators != expected))
    return Outcome(node, machine, stepped, cost, differing)


def _find(graph: Graph, layer: str | None) -> tuple[int, MacOperator]:
    layers = {
        node.name: (index, node.op)
        for index, node in enumerate(graph.nodes)
        if isinstance(node.op, MacOperator)
    }
    if layer is None or layer not in layers:
        what = "--stepper: needs --layer" if layer is None else f"--layer {layer}: no such layer"
        known = ", ".join(layers) or "none"
        raise Unsupported(f"{what}; of {graph.name} the array multiplies in: {known}")
    return layers[layer]


def _traced_cycles(machine: Systolic, cost: LayerCost) -> int:
    rows, cols, cycles = machine.array.rows, machine.array.cols, cost.cycles.compute
    if rows * cols > MOST_ELEMENTS or rows * cols * cycles > MOST_SHOWN:
        raise Unsupported(
            f"--html: {rows} x {cols} elements over {cycles} cycles are too many to show; at most "
            f"{MOST_ELEMENTS} elements and {MOST_SHOWN} of them times cycles: take a smaller layer "
            "or --set array.rows and array.cols"
        )
    return cycles


def to_text(outcome: Outcome) -> str:
    """Cycles, utilization and bits, then what the registers did."""
    stepped, machine = outcome.stepped, outcome.machine
    count_ = grouped(stepped.accumulators.size)
    bits = f"equal: {count_} accumulators as the engine computes them"
    if outcome.differing:
        bits = f"{outcome.differing} of {count_} accumulators DIFFER from the engine's"
    analytic = outcome.layer.cycles.compute
    same = "as the analytic model counts" if stepped.cycles == analytic else f"NOT {analytic}"
    rows = [(k, stepped.writes[k], stepped.toggles[k]) for k in stepped.toggles]
    return "\n".join(
        [
            f"{outcome.node.name} on {machine.name}: {_array(machine)}",
            f"cycles       {grouped(stepped.cycles)}, {same}",
            f"utilization  {stepped.utilization:.1%}",
            f"bits         {bits}",
            "",
            table(("register", "writes", "bits toggled"), rows),
        ]
    )


def _array(machine: Systolic) -> str:
    array = machine.array
    flow = array.dataflow.replace("_", " ")
    return f"{array.rows} x {array.cols}, {flow}, timing {machine.timing}"


def render(model: str, outcome: Outcome) -> str:
    """One HTML file that shows every register at any cycle; it opens without a network."""
    stepped, machine = outcome.stepped, outcome.machine
    data: dict[str, Any] = {
        "rows": machine.array.rows,
        "cols": machine.array.cols,
        "lanes": machine.datapath.dot_width,
        "cycles": stepped.cycles,
        "trace": [cycle.ravel().tolist() for cycle in stepped.trace],
    }
    title = f"{outcome.node.name} of {model} on {machine.name}"
    subtitle = (
        f"{_array(machine)}: {stepped.cycles} cycles, "
        f"{stepped.utilization:.1%} of the elements' cycles multiply"
    )
    folder = resources.files("analysis").joinpath("page_assets")
    return Template(folder.joinpath("stepper.html").read_text(encoding="utf-8")).substitute(
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        data=json.dumps(data, separators=(",", ":")),
        script=folder.joinpath("stepper.js").read_text(encoding="utf-8"),
    )
