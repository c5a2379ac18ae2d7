"""Count exactly, price late: a graph's integer actions on a machine, and what they cost.

`estimate` is a sweep of one: it calls `simulator.designs.evaluate_designs` with one machine and
puts names and units to the arrays. Read `Estimate` first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from simulator.depth_first import Chain, ChainCost, chain_cost
from simulator.designs import (
    Evaluation,
    Ints,
    batched,
    batched_works,
    evaluate_designs,
    evaluate_rows,
    largest_count,
)
from simulator.errors import Unsupported
from simulator.graph import Graph
from simulator.layered import counted, notes_on_layers, widest
from simulator.machines.actions import (
    ACTIONS,
    BOUND,
    COMPONENT_NAMES,
    COMPONENTS,
    COMPUTE_CYCLES,
    LEVEL_0,
    MACS,
    MULTIPLIER_CYCLES,
    OVERHEAD_CYCLES,
    STALL_CYCLES,
    TOO_MUCH_ENERGY,
    TOTAL_CYCLES,
    TOTAL_ENERGY_FJ,
    TOTAL_MACS,
    TOTAL_MULTIPLIER_CYCLES,
    TOTAL_REFUSAL,
    TOTAL_REFUSED_LAYER,
    UNIT,
    price_layer,
)
from simulator.machines.base import Machine
from simulator.machines.hierarchy import NOTHING_FITS
from simulator.machines.platform import Platform
from simulator.machines.spatial import NEST, Spatial
from simulator.mapped import nests_of, no_room
from simulator.mapping.loopnest import LoopNest
from simulator.memory import constant_bytes, peak_memory_bytes
from simulator.networks import evaluate_chained
from simulator.notes import notes_of, unpriced_notes, why_refused
from simulator.residency import notes_on, retention_of, works_on
from simulator.spread import energy_at
from simulator.technology.model import Bound, Technology
from simulator.totals import Totals, component_names, totals_of

__all__ = [
    "Estimate",
    "Evaluation",
    "LayerCost",
    "Totals",
    "count",
    "estimate",
    "evaluate_designs",
    "evaluate_rows",
    "price",
]


@dataclass(frozen=True)
class Cycles:
    """Clock cycles of one layer: the work, waiting for memory, and starting up."""

    compute: int
    stall: int
    overhead: int

    @property
    def total(self) -> int:
        """All of them; nothing overlaps another layer."""
        return self.compute + self.stall + self.overhead


@dataclass(frozen=True)
class Traffic:
    """Bytes read from and written to one memory level."""

    read: int
    write: int


@dataclass(frozen=True)
class LayerCost:
    """What one node does on one machine, in exact integers. Not priced.

    `actions` is the row that prices are applied to, indexed as in `simulator.machines.actions`;
    `utilization` is the multiply-accumulates done per one that could have been in its cycles, at
    the rate that the datapath's composition has for its operands.
    """

    name: str
    op: str
    unit: str
    macs: int
    cycles: Cycles
    bound_by: str
    utilization: float
    bytes: Mapping[str, Traffic]
    actions: tuple[int, ...]
    start: int | None = None
    """On a platform the cycle of the host's clock at which it starts."""


@dataclass(frozen=True)
class Event:
    """A span of a platform's timeline, in host cycles: a node runs, is dispatched, or a copy."""

    unit: str
    what: str
    layer: str
    tensor: str | None
    start: int
    cycles: int


@dataclass(frozen=True)
class Estimate:
    """A graph on a machine: totals, layers in order, their energies, and what to know of them.

    `energy_fj[i]` maps component to integer femtojoules of layer i; `notes` are sentences.
    """

    name: str
    totals: Totals
    layers: tuple[LayerCost, ...]
    energy_fj: tuple[Mapping[str, int], ...]
    notes: tuple[str, ...]
    timeline: tuple[Event, ...] | None = None
    chains: tuple[ChainCost, ...] | None = None
    """What runs depth first, on a machine that may."""
    nests: tuple[LoopNest | None, ...] | None = None
    """On a `spatial` machine the loop nest that each layer was costed in; None without MACs."""

    def to_json_dict(self) -> dict[str, Any]:
        """One entry of `machines` in the document `bitlane.estimate/1`."""
        layers = [
            _layer_json(layer, energy, self.totals.cost is None)
            for layer, energy in zip(self.layers, self.energy_fj, strict=True)
        ]
        totals = self.totals.to_json_dict()
        made = {"name": self.name, "totals": totals, "layers": layers, "notes": list(self.notes)}
        if self.timeline is not None:
            made["timeline"] = [asdict(event) for event in self.timeline]
        if self.chains is not None:
            made["chains"] = [asdict(chain) for chain in self.chains]
        return made


def estimate(graph: Graph, machine: Machine, batch: int = 1) -> Estimate:
    """Cycles, traffic, energy and area of `batch` inferences of a graph on a machine.

    Raises Unsupported, naming the layer, where the machine cannot run the graph.
    """
    if isinstance(machine, Platform):
        # Built of this module's values, so that it can be imported only once they are there.
        from simulator.platform_estimate import estimate_platform

        _check(graph)
        return estimate_platform(graph, machine, batch)
    widths = notes_on_layers(machine)
    graph, machine = counted(graph, machine)
    result, chains, nests = _evaluate(graph, machine, batch)
    layers = _layers(graph, machine, result)
    energies = tuple(_components(machine, row) for row in result.energy_fj[0])
    bits = machine.datapath.activation_bits if machine.datapath.narrow else None
    chained = {chain.nodes: chain.peak_bytes for chain in chains}
    peak = peak_memory_bytes(graph, batch, bits, chained)
    totals = _totals(machine, result, batch, peak, layers)
    notes = notes_of(graph.work, machine, peak, constant_bytes(graph))
    names = [node.name for node in graph.nodes]
    notes += tuple(unpriced_notes(names, graph.work, machine))
    notes += (*notes_on(graph, retention_of(machine), batch, chains), *widths)
    ran = None
    if machine.depth_first.tile_rows:
        macs = [layer.macs for layer in layers]
        ran = tuple(chain_cost(graph, chain, macs, batch) for chain in chains)
    return Estimate(machine.name, totals, layers, energies, notes, chains=ran, nests=nests)


def count(graph: Graph, machine: Machine, batch: int = 1) -> tuple[LayerCost, ...]:
    """The integer actions of every node, in order; raises as `estimate`."""
    if isinstance(machine, Platform):
        return estimate(graph, machine, batch).layers
    graph, machine = counted(graph, machine)
    return _layers(graph, machine, _evaluate(graph, machine, batch)[0])


def price(
    layers: Sequence[LayerCost],
    machine: Machine,
    technology: Technology | None = None,
    bound: Bound = "value",
) -> tuple[Mapping[str, int], ...]:
    """Femtojoules by component of counted layers, in the machine's technology or another.

    Maps nothing again: the same actions at other prices, or at the bounds of these.
    """
    if isinstance(machine, Platform):
        raise Unsupported(
            f"{machine.name}: a platform's units have technologies of their own; "
            "set them and estimate again"
        )
    machine = widest(machine)
    row = (technology or machine.technology).row(bound)
    prices = np.zeros(ACTIONS)
    machine.design_prices(machine.row(), row, prices)
    energy = np.zeros(COMPONENTS, np.int64)
    priced = []
    for layer in layers:
        if price_layer(np.array(layer.actions, np.int64), prices, energy) < 0:
            reason = machine.refusals[TOO_MUCH_ENERGY]
            raise Unsupported(f"{layer.name} ({layer.op}) on {machine.name}: {reason}")
        priced.append(_components(machine, energy, technology))
    return tuple(priced)


def _check(graph: Graph) -> None:
    if not graph.nodes:
        raise Unsupported(f"{graph.name}: has no operators; there is nothing to cost")


def _evaluate(
    graph: Graph, machine: Machine, batch: int
) -> tuple[Evaluation, tuple[Chain, ...], tuple[LoopNest | None, ...] | None]:
    _check(graph)
    chains: tuple[Chain, ...] = ()
    nests = None
    if isinstance(machine, Spatial):
        # Its kind keeps nothing between layers, so that no layers run in chains.
        works = works_on(graph, retention_of(machine), batch)
        rows = np.full((1, len(works), NEST), -1, np.int64)
        result = evaluate_designs(works, [machine], batch, True, rows)
        nests = nests_of(batched_works(works, batch), machine, rows[0])
    else:
        result, (chains,) = evaluate_chained(graph, [machine], batch, per_layer=True)
    code = int(result.totals[0, TOTAL_REFUSAL])
    if code:
        refuse(graph, machine, code, int(result.totals[0, TOTAL_REFUSED_LAYER]), batch)
    return result, chains, nests


def refuse(
    graph: Graph, machine: Machine, code: int, layer: int, batch: int, where: str = ""
) -> NoReturn:
    """Raise Unsupported with the reason that a refusal's code stands for, and the layer.

    `where` names the machine; its own name if empty.
    """
    work, datapath = batched(graph.work[layer], batch), machine.datapath
    count, most, what = largest_count(work, machine)
    reason = why_refused(machine, code, work).format(
        weight_bits=work.weight_bits,
        activation_bits=work.activation_bits,
        machine_weight_bits=datapath.weight_bits,
        machine_activation_bits=datapath.activation_bits,
        too_many=f"{count} {what}",
        most=most,
    )
    if isinstance(machine, Spatial) and code == NOTHING_FITS:
        reason = no_room(work, machine)
    node = graph.nodes[layer]
    raise Unsupported(
        f"{graph.name}, {node.name} ({node.op.kind}) on {where or machine.name}: {reason}"
    )


def _layers(graph: Graph, machine: Machine, result: Evaluation) -> tuple[LayerCost, ...]:
    layers = []
    for node, row in zip(graph.nodes, result.actions[0], strict=True):
        cycles = Cycles(*(int(row[i]) for i in (COMPUTE_CYCLES, STALL_CYCLES, OVERHEAD_CYCLES)))
        macs, busy = int(row[MACS]), int(row[MULTIPLIER_CYCLES])
        traffic = {
            level: Traffic(int(row[LEVEL_0 + 2 * k]), int(row[LEVEL_0 + 2 * k + 1]))
            for k, level in enumerate(machine.levels)
        }
        layers.append(
            LayerCost(
                name=node.name,
                op=node.op.kind,
                unit=machine.units[row[UNIT]],
                macs=macs,
                cycles=cycles,
                bound_by=machine.bounds[row[BOUND]],
                utilization=busy / (cycles.total * machine.peak_macs_per_cycle),
                bytes=MappingProxyType(traffic),
                actions=tuple(row.tolist()),
            )
        )
    return tuple(layers)


def _components(
    machine: Machine, energy: Ints, technology: Technology | None = None
) -> Mapping[str, int]:
    """Femtojoules by name: those that a technology has, then those of the memory levels."""
    names = component_names(technology or machine.technology)
    found = dict(zip((*COMPONENT_NAMES, *machine.levels), energy.tolist(), strict=False))
    return MappingProxyType({name: found[name] for name in (*names, *machine.levels)})


def _totals(
    machine: Machine, result: Evaluation, batch: int, peak: int, layers: Sequence[LayerCost]
) -> Totals:
    row = result.totals[0]
    cycles, busy = int(row[TOTAL_CYCLES]), int(row[TOTAL_MULTIPLIER_CYCLES])
    rows = [layer.actions for layer in layers]
    low, high = energy_at(machine, rows, "low"), energy_at(machine, rows, "high")
    return totals_of(
        machine,
        cycles=cycles,
        latency_s=float(result.latency_s[0]),
        batch=batch,
        energies=(int(row[TOTAL_ENERGY_FJ]), low, high),
        macs=int(row[TOTAL_MACS]),
        utilization=busy / (cycles * machine.peak_macs_per_cycle),
        area_mm2=float(result.area_mm2[0]),
        peak_memory_bytes=peak,
    )


def _layer_json(layer: LayerCost, energy: Mapping[str, int], joules: bool) -> dict[str, Any]:
    costs = {name: value / 1000 for name, value in energy.items()}
    return {
        "name": layer.name,
        "op": layer.op,
        "unit": layer.unit,
        "macs": layer.macs,
        "cycles": {**asdict(layer.cycles), "total": layer.cycles.total},
        "bound_by": layer.bound_by,
        "utilization": layer.utilization,
        "bytes": {level: asdict(traffic) for level, traffic in layer.bytes.items()},
        **({"energy_fj": dict(energy)} if joules else {"cost": costs}),
        **({} if layer.start is None else {"start": layer.start}),
    }
