"""What a table of results does not hold, made anew by `estimate`: nests, bounds, memory plans.

Only for a bounded number of points: a mapping search takes milliseconds to seconds a design.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import hwconfigs
import workloads
from analysis.copied import copied_yaml
from analysis.gantt import spans_of
from analysis.page import Buffer, Layers, Mapped, Point
from simulator.cost import Estimate, estimate, price
from simulator.designs import Ints, work_rows
from simulator.errors import BitlaneError
from simulator.graph import Graph
from simulator.layered import counted
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.machines.systolic import Systolic, mapping
from simulator.memory import Placement, plan_arena
from simulator.technology.costs import Bound
from workloads.source import fingerprint

DETAILED_POINTS: Final = 32
"""Points of the front that are estimated again; a spatial machine's take up to a second each."""


@dataclass(frozen=True)
class Detail:
    """One point's texts by layer, bounds of its totals and, by layer, of its energy, its arena."""

    texts: tuple[str, ...]
    bounds: Mapping[str, tuple[float, float]]
    layers: Layers | None
    low: tuple[int, ...]
    high: tuple[int, ...]
    arena: tuple[Buffer, ...]

    def shown(self, stored: Layers | None) -> Layers | None:
        """The stored layers, or where none are kept those of the estimate, with their bounds."""
        layers = stored or self.layers
        if layers is None:
            return None
        if self.layers is not None:
            # The table keeps when layers run; copies and dispatches are the estimate's.
            layers = replace(layers, spans=self.layers.spans)
        if not self.low:
            return layers
        return replace(layers, energy_fj_low=self.low, energy_fj_high=self.high)


def machine_of(point: Point) -> Machine:
    """The machine that a point's copied YAML describes; raises as `hwconfigs.load`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"point-{point.id}.yaml")
        path.write_text(copied_yaml(point.config), encoding="utf-8")
        return hwconfigs.load(path)


def detail_of(graph: Graph, machine: Machine, found: Estimate, batch: int) -> Detail:
    """The details of a machine that is estimated already."""
    layers = layers_of(found, machine) if found.totals.cost is None else None
    if not isinstance(machine, Platform):
        # Layers of widths of their own are a graph of those widths on the widest machine.
        graph, machine = counted(graph, machine)
    low, high = _bounds(machine, found, "low"), _bounds(machine, found, "high")
    return Detail(
        texts=_texts(graph, machine, found, batch),
        bounds=bounds_of(found),
        layers=layers,
        low=low,
        high=high,
        arena=_arena(graph, machine, found, batch),
    )


def _outermost(row: Mapping[str, Any], machine: Machine) -> str:
    """The name of the outermost memory level of the unit that a layer runs on."""
    if isinstance(machine, Platform):
        return f"{row['unit']}.{machine.machines[row['unit']].levels[-1]}"
    return machine.levels[-1]


def layers_of(found: Estimate, machine: Machine) -> Layers:
    """The layers of an estimate as the page shows them, without bounds."""
    document = found.to_json_dict()
    layers = document["layers"]
    components = list(layers[0]["energy_fj"])
    return Layers(
        compute=tuple(row["cycles"]["compute"] for row in layers),
        stall=tuple(row["cycles"]["stall"] for row in layers),
        overhead=tuple(row["cycles"]["overhead"] for row in layers),
        macs=tuple(row["macs"] for row in layers),
        dram_bytes=tuple(sum(row["bytes"][_outermost(row, machine)].values()) for row in layers),
        energy_fj={c: tuple(row["energy_fj"][c] for row in layers) for c in components},
        peak_macs_per_cycle=float(machine.peak_macs_per_cycle),
        dram_bytes_per_cycle=float(machine.outer_bytes_per_cycle),
        spans=spans_of(document),
    )


def bounds_of(found: Estimate) -> dict[str, tuple[float, float]]:
    """Low and high of the totals that have them; energies in joules."""
    totals = found.totals
    bounds = {"area_mm2": (totals.area_mm2_low, totals.area_mm2_high)}
    if totals.energy_j is not None:
        bounds["energy_j"] = (1e-15 * totals.energy_fj_low, 1e-15 * totals.energy_fj_high)
    return bounds


def details(graph: Graph, points: Sequence[Point], batch: int) -> dict[int, Detail]:
    """By id, the details of the given points; one that can no longer be built is left out."""
    made = {}
    for point in points:
        try:
            machine = machine_of(point)
            made[point.id] = detail_of(graph, machine, estimate(graph, machine, batch), batch)
        except BitlaneError:
            continue
    return made


def chosen(front: Sequence[Point], first: int | None) -> list[Point]:
    """An even sample of at most `DETAILED_POINTS` of the front, the point `first` among them."""
    step = max(1, -(-len(front) // DETAILED_POINTS))
    taken = [p for i, p in enumerate(front) if p.id == first or i % step == 0]
    return taken[:DETAILED_POINTS]


def with_details(
    points: Sequence[Point], found: dict[int, Detail]
) -> tuple[tuple[Point, ...], tuple[tuple[Buffer, ...], ...]]:
    """The points with their details, and the different arenas that they refer to."""
    arenas: list[tuple[Buffer, ...]] = []
    made = []
    for point in points:
        detail = found.get(point.id)
        if detail is None:
            made.append(point)
            continue
        if detail.arena and detail.arena not in arenas:
            arenas.append(detail.arena)
        place = arenas.index(detail.arena) if detail.arena else None
        mapped = Mapped(detail.texts, place)
        bounds = {**detail.bounds, **point.bounds}
        layers = detail.shown(point.layers)
        made.append(replace(point, mapped=mapped, layers=layers, bounds=bounds))
    return tuple(made), tuple(arenas)


def network_of(workload: object, sha256: object, folder: Path) -> Graph | None:
    """The network that a run names, found by the same name or beside the run; None if another."""
    if not isinstance(workload, str):
        return None
    for place in (workload, str(folder / workload), str(folder.parent / workload)):
        try:
            if fingerprint(place) == sha256:
                return workloads.load(place)
        except (BitlaneError, OSError):
            continue
    return None


def _texts(graph: Graph, machine: Machine, found: Estimate, batch: int) -> tuple[str, ...]:
    """By layer the loop nest of a spatial machine, the folds of a systolic one, else nothing."""
    if found.nests is not None:
        return tuple("" if nest is None else nest.to_text() for nest in found.nests)
    if not isinstance(machine, Systolic) or found.chains:
        return ("",) * len(graph.nodes)
    rows = work_rows(graph.work, batch)
    return tuple(
        _folds(machine, row) if layer.macs else ""
        for row, layer in zip(rows, found.layers, strict=True)
    )


def _folds(machine: Systolic, row: Ints) -> str:
    """The plan of `simulator.machines.residency.plan` in words."""
    row_folds, col_folds, tiles, tiled_again, columns_again = mapping(row, machine.row())
    dataflow = machine.array.dataflow
    columns, tiled = ("filters", "inputs")
    operands = ("weights", "inputs")
    if dataflow == "input_stationary":
        columns, tiled, operands = "pixels", "filters", ("inputs", "weights")
    return (
        f"{dataflow} on {machine.array.rows} x {machine.array.cols}\n"
        f"{col_folds} column folds ({columns} on the columns)\n"
        f"{tiles} tiles (of the {tiled})\n"
        f"{row_folds} row folds (taps), innermost\n"
        f"from DRAM: {operands[1]} {tiled_again} x, {operands[0]} {columns_again} x"
    )


def _bounds(machine: Machine, found: Estimate, end: Bound) -> tuple[int, ...]:
    """Femtojoules of each layer at one bound of every price; a platform's are known in total."""
    if isinstance(machine, Platform) or found.totals.cost is not None:
        return ()
    return tuple(sum(parts.values()) for parts in price(found.layers, machine, bound=end))


def _arena(graph: Graph, machine: Machine, found: Estimate, batch: int) -> tuple[Placement, ...]:
    """The plan that the peak memory is of; none where layers run depth first, in tiles."""
    if found.chains:
        return ()
    narrowed = not isinstance(machine, Platform) and machine.datapath.narrow
    bits = machine.datapath.activation_bits if narrowed else None
    return plan_arena(graph, batch, bits).placements
