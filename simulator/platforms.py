"""Whole graphs on platforms: each node costed by its machine's own kind, then laid on a timeline.

The cost of a node is that of `simulator.designs.evaluate_rows`, the one cost model; what is added
here is where it runs, what is copied, what starting it takes, and when.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator import layers
from simulator.designs import (
    Evaluation,
    Ints,
    counted,
    evaluate_rows,
    work_rows,
)
from simulator.flow import flow_of
from simulator.graph import Graph
from simulator.machine_set import MachineSet, Mapped, machine_set
from simulator.machines.actions import (
    ACTIONS,
    COMPONENTS,
    INSTRUCTIONS,
    REFUSAL,
    TOO_MANY,
    TOTAL_CYCLES,
    TOTAL_REFUSAL,
    TOTALS,
)
from simulator.machines.base import (
    CLOCK_HZ,
    INFERENCE_CYCLES,
    INFERENCE_INSTRUCTIONS,
    Machine,
)
from simulator.machines.platform import Platform
from simulator.machines.timeline import EVENT_COLUMNS
from simulator.numeric.datapath import Datapath
from simulator.platform_cost import run_platforms
from simulator.residency import retention_of, works_on
from simulator.work import Work

EXTRA_COMPONENTS: Final = ("link", "dispatch")
"""Energy components of a platform beside those of its machines."""
_CHUNK: Final = 256
MOST_BITS: Final = 2**48
"""Of a copy: no machine takes an operator of a larger tensor, see `largest_count`."""


@dataclass(frozen=True)
class Timelines:
    """P platforms with M machines each on L nodes; the host is machine 0.

    evaluation : totals, areas and latencies [P]; `actions` and `energy_fj` [P, L, ...] are those of
        the machine that each node runs on, in its own clock.
    places : int64 [P, L], the machine of each node.
    starts : int64 [P, L], in cycles of the host.
    parts : int64 [P, L, 3], compute, stall and overhead in cycles of the host.
    moved : int64 [P, L, M, 2], bytes copied into and out of each unit for a node.
    extra_fj : int64 [P, L, 2], femtojoules of its copies and of its dispatch.
    events : the timeline of each platform where asked for, int64 [events, EVENT_COLUMNS].
    """

    evaluation: Evaluation
    places: Ints
    starts: Ints
    parts: Ints
    moved: Ints
    extra_fj: Ints
    events: tuple[Ints, ...]


def evaluate_platforms(
    graph: Graph,
    platforms: Sequence[Platform] | MachineSet,
    batch: int = 1,
    events: bool = False,
) -> Timelines:
    """Cost a graph on platforms that differ in values, not in the names of their units."""
    every = machine_set(platforms)
    places = np.arange(len(every))
    chunks = (places[first : first + _CHUNK] for first in range(0, len(every), _CHUNK))
    parts = [_evaluate(graph, every.take(chunk), batch, events) for chunk in chunks]
    if len(parts) == 1:
        return parts[0]
    names = ("totals", "area_mm2", "latency_s", "actions", "energy_fj")
    joined = Evaluation(
        *(np.concatenate([getattr(part.evaluation, name) for part in parts]) for name in names)
    )
    return Timelines(
        evaluation=joined,
        places=np.concatenate([part.places for part in parts]),
        starts=np.concatenate([part.starts for part in parts]),
        parts=np.concatenate([part.parts for part in parts]),
        moved=np.concatenate([part.moved for part in parts]),
        extra_fj=np.concatenate([part.extra_fj for part in parts]),
        events=tuple(e for part in parts for e in part.events),
    )


def _evaluate(graph: Graph, platforms: MachineSet, batch: int, keep: bool) -> Timelines:
    works, flow = graph.work, flow_of(graph)
    designs, layers = len(platforms), len(works)
    names = machine_names(platforms.machine(0))
    rows = work_rows(works, batch)
    units = [Mapped(platforms, unit_of, name) for name in names]
    costs = [_Costs(works, rows, unit, batch) for unit in units]
    nodes = tuple(
        (kind, w.macs > 0, w.depthwise != 0) for kind, w in zip(flow.kinds, works, strict=True)
    )
    takes = np.stack([platforms.stacked(_takes, name, nodes) for name in names], axis=1)
    places = np.zeros((designs, layers), np.int64)
    for place in reversed(range(1, len(names))):
        fits = takes[:, place] & (costs[place].actions[:, :, REFUSAL] == 0)
        places = np.where(fits, place, places)
    for place, cost in enumerate(costs):
        for here, kept_rows in _kept_rows(graph, places == place, units[place], batch):
            cost.replace(rows, kept_rows, here)
            cost.start_inference(kept_rows, (places == place) & here[:, None])
    chosen = (np.arange(designs)[:, None], np.arange(layers)[None, :])
    every_action = np.stack([cost.actions for cost in costs])
    every_energy = np.stack([cost.energy for cost in costs])
    actions = every_action[places, *chosen]
    energy = every_energy[places, *chosen]
    clocks = np.ascontiguousarray(platforms.stacked(_clocks))
    attached = np.ascontiguousarray(platforms.stacked(_attachments))
    prices = np.ascontiguousarray(platforms.stacked(_prices))
    prices[:, :, 1] *= costs[0].instruction_fj[:, None]
    totals = np.zeros((designs, TOTALS), np.int64)
    starts = np.zeros((designs, layers), np.int64)
    parts = np.zeros((designs, layers, 3), np.int64)
    moved = np.zeros((designs, layers, len(names), 2), np.int64)
    extra = np.zeros((designs, layers, 2), np.int64)
    room = 1 + 2 * layers + 2 * len(names) * len(flow.bits) if keep else 0
    events = np.zeros((designs, room, EVENT_COLUMNS), np.int64)
    run_platforms(
        places, actions, energy, clocks, attached, prices,
        np.minimum(flow.bits, MOST_BITS // batch) * batch,
        flow.producers, flow.kept, flow.reads_from, flow.reads,
        totals, starts, parts, moved, extra, events,
    )  # fmt: skip
    refused = totals[:, TOTAL_REFUSAL] != 0
    hertz = costs[0].machines[:, CLOCK_HZ]
    latency = np.where(refused, np.nan, totals[:, TOTAL_CYCLES] / hertz)
    area = np.sum([cost.area_mm2 for cost in costs], axis=0)
    evaluation = Evaluation(totals, area, latency, actions, energy)
    kept = tuple(e[1 : 1 + e[0, 0]].copy() for e in events) if keep else ()
    return Timelines(evaluation, places, starts, parts, moved, extra, kept)


class _Costs:
    """Every node on one machine of each platform, as `evaluate_rows` gives it, node by node."""

    def __init__(
        self, works: tuple[Work, ...], rows: Ints, machines: MachineSet, batch: int
    ) -> None:
        (family,) = machines.families()
        self.kind, self.machines = family.kind, family.rows
        self.technologies, self.technology_of = family.technologies, family.technology_of
        designs, layers = len(machines), len(works)
        self.actions = np.zeros((designs, layers, ACTIONS), np.int64)
        self.energy = np.zeros((designs, layers, COMPONENTS), np.int64)
        # A node costs the same wherever it stands, but for what starts an inference.
        plain = self.machines.copy()
        plain[:, [INFERENCE_CYCLES, INFERENCE_INSTRUCTIONS]] = 0
        self.area_mm2 = self._cost(rows[:0], plain, slice(None)).area_mm2
        fits = machines.stacked(counted, works, batch).reshape(designs, layers)
        for layer in range(layers):
            found = self._cost(rows[layer : layer + 1], plain, slice(None))
            self.actions[:, layer] = found.actions[:, 0]
            self.energy[:, layer] = found.energy_fj[:, 0]
            self.actions[~fits[:, layer], layer, REFUSAL] = TOO_MANY
        self.instruction_fj = np.zeros(designs)
        prices = np.zeros(ACTIONS)
        for i, of in enumerate(self.technology_of.tolist()):
            self.kind.design_prices(self.machines[i], self.technologies[of], prices)
            self.instruction_fj[i] = prices[INSTRUCTIONS]

    def replace(self, plain: Ints, rows: Ints, here: NDArray[np.bool_]) -> None:
        """Cost again the nodes that keep something on chip, for the designs in `here` [P]."""
        machines = self.machines.copy()
        machines[:, [INFERENCE_CYCLES, INFERENCE_INSTRUCTIONS]] = 0
        designs = np.flatnonzero(here)
        for layer in np.flatnonzero((plain != rows).any(axis=1)).tolist():
            found = self._cost(rows[layer : layer + 1], machines, designs)
            self.actions[designs, layer] = found.actions[:, 0]
            self.energy[designs, layer] = found.energy_fj[:, 0]

    def start_inference(self, rows: Ints, here: NDArray[np.bool_]) -> None:
        """Charge the first node that runs on this machine, where `here` [P, L] says so."""
        if not self.machines[:, [INFERENCE_CYCLES, INFERENCE_INSTRUCTIONS]].any():
            return
        first = np.where(here.any(axis=1), here.argmax(axis=1), -1)
        for layer in sorted(set(first.tolist()) - {-1}):
            designs = np.flatnonzero(first == layer)
            found = self._cost(rows[layer : layer + 1], self.machines, designs)
            self.actions[designs, layer] = found.actions[:, 0]
            self.energy[designs, layer] = found.energy_fj[:, 0]

    def _cost(self, rows: Ints, machines: Ints, which: "slice | Ints") -> Evaluation:
        of = self.technology_of[which]
        return evaluate_rows(self.kind, rows, machines[which], self.technologies, of, True)


def _kept_rows(
    graph: Graph, here: NDArray[np.bool_], machines: MachineSet, batch: int
) -> Iterator[tuple[NDArray[np.bool_], Ints]]:
    """Designs [P] that run the same nodes on a machine, and the works [L, W] it then has.

    Tensors stay on its chip between nodes that both run on it: `here` is bool [P, L].
    """
    for keeps, places in machines.groups(retention_of):
        sets, which = np.unique(here[places], axis=0, return_inverse=True)
        for index, on in enumerate(sets):
            same = np.zeros(len(here), bool)
            same[places[which.reshape(-1) == index]] = True
            nodes = frozenset(np.flatnonzero(on).tolist())
            yield same, work_rows(works_on(graph, keeps, batch, nodes), batch)


def machine_names(machine: Machine) -> tuple[str, ...]:
    """The names of a platform's machines, the host first."""
    assert isinstance(machine, Platform)
    return tuple(machine.machines)


def unit_of(platform: Platform, name: str) -> Machine:
    """The host or a unit of a platform."""
    return platform.machines[name]


def _takes(
    platform: Platform, name: str, nodes: tuple[tuple[str, bool, bool], ...]
) -> tuple[bool, ...]:
    """Which nodes a machine is given, whether it can run them or not."""
    return tuple(platform.takes(name, *node) for node in nodes)


def _clocks(platform: Platform) -> tuple[tuple[int, int], ...]:
    return tuple(platform.clocks(machine) for machine in platform.machines.values())


def _attachments(platform: Platform) -> Ints:
    return platform.attachments()


def _prices(platform: Platform) -> tuple[tuple[float, float], ...]:
    """Femtojoules of a copied byte and instructions of a dispatch, of each machine."""
    found = [(0.0, 0.0)]
    for name in platform.units:
        instructions = float(platform.attach[name].dispatch.instructions)
        found.append((platform.link_byte_fj(name), instructions))
    return tuple(found)


def datapaths(
    graph: Graph, machine: Machine, places: Sequence[int] | None = None
) -> Datapath | Mapping[str, Datapath]:
    """The arithmetic of a machine; on a platform that of the unit each node runs on.

    `places` are those units by number where they are known already, as `Timelines.places` has them.
    """
    if not isinstance(machine, Platform):
        return layers.datapaths(machine.datapath, graph)
    machines = list(machine.machines.values())
    if places is None:
        places = evaluate_platforms(graph, [machine]).places[0].tolist()
    pairs = zip(graph.nodes, places, strict=True)
    return {node.name: machines[place].datapath.datapath() for node, place in pairs}
