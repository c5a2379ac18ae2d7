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
    batched,
    evaluate_rows,
    largest_count,
    work_rows,
)
from simulator.flow import Flow, flow_of
from simulator.graph import Graph
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
from simulator.machines.base import INFERENCE_CYCLES, INFERENCE_INSTRUCTIONS, Machine
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
    platforms: Sequence[Platform],
    batch: int = 1,
    events: bool = False,
) -> Timelines:
    """Cost a graph on platforms that differ in values, not in the names of their units."""
    parts = [
        _evaluate(graph, platforms[first : first + _CHUNK], batch, events)
        for first in range(0, len(platforms), _CHUNK)
    ]
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


def _evaluate(graph: Graph, platforms: Sequence[Platform], batch: int, keep: bool) -> Timelines:
    works, flow = graph.work, flow_of(graph)
    designs, layers = len(platforms), len(works)
    names = tuple(platforms[0].machines)
    rows = work_rows(works, batch)
    costs = [_Costs(works, rows, [p.machines[n] for p in platforms], batch) for n in names]
    takes = np.array([[_takes(p, n, works, flow) for n in names] for p in platforms])
    places = np.zeros((designs, layers), np.int64)
    for place in reversed(range(1, len(names))):
        fits = takes[:, place] & (costs[place].actions[:, :, REFUSAL] == 0)
        places = np.where(fits, place, places)
    for place, cost in enumerate(costs):
        own = [p.machines[names[place]] for p in platforms]
        for here, kept_rows in _kept_rows(graph, places == place, own, batch):
            cost.replace(rows, kept_rows, here)
            cost.start_inference(kept_rows, (places == place) & here[:, None])
    chosen = (np.arange(designs)[:, None], np.arange(layers)[None, :])
    every_action = np.stack([cost.actions for cost in costs])
    every_energy = np.stack([cost.energy for cost in costs])
    actions = every_action[places, *chosen]
    energy = every_energy[places, *chosen]
    clocks = np.array([[p.clocks(m) for m in p.machines.values()] for p in platforms], np.int64)
    attached = np.stack([p.attachments() for p in platforms])
    prices = np.array([_prices(p) for p in platforms])
    for design in range(designs):
        prices[design, :, 1] *= costs[0].instruction_fj[design]
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
    hertz = np.array([round(p.host.clock_mhz * 1e6) for p in platforms])
    latency = np.where(refused, np.nan, totals[:, TOTAL_CYCLES] / hertz)
    area = np.sum([cost.area_mm2 for cost in costs], axis=0)
    evaluation = Evaluation(totals, area, latency, actions, energy)
    kept = tuple(e[1 : 1 + e[0, 0]].copy() for e in events) if keep else ()
    return Timelines(evaluation, places, starts, parts, moved, extra, kept)


class _Costs:
    """Every node on one machine of each platform, as `evaluate_rows` gives it, node by node."""

    def __init__(
        self, works: Sequence[Work], rows: Ints, machines: Sequence[Machine], batch: int
    ) -> None:
        self.kind = type(machines[0])
        self.machines = np.stack([machine.row() for machine in machines])
        slots = {machine.technology: 0 for machine in machines}
        slots = {technology: i for i, technology in enumerate(slots)}
        self.technologies = np.stack([technology.row() for technology in slots])
        self.technology_of = np.array([slots[machine.technology] for machine in machines])
        designs, layers = len(machines), len(works)
        self.actions = np.zeros((designs, layers, ACTIONS), np.int64)
        self.energy = np.zeros((designs, layers, COMPONENTS), np.int64)
        # A node costs the same wherever it stands, but for what starts an inference.
        plain = self.machines.copy()
        plain[:, [INFERENCE_CYCLES, INFERENCE_INSTRUCTIONS]] = 0
        self.area_mm2 = self._cost(rows[:0], plain, slice(None)).area_mm2
        countable = _countable(works, machines, batch)
        for layer in range(layers):
            found = self._cost(rows[layer : layer + 1], plain, slice(None))
            self.actions[:, layer] = found.actions[:, 0]
            self.energy[:, layer] = found.energy_fj[:, 0]
            self.actions[~countable[:, layer], layer, REFUSAL] = TOO_MANY
        self.instruction_fj = np.zeros(designs)
        for i, machine in enumerate(machines):
            prices = np.zeros(ACTIONS)
            self.kind.design_prices(machine.row(), machine.technology.row(), prices)
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
    graph: Graph, here: NDArray[np.bool_], machines: Sequence[Machine], batch: int
) -> Iterator[tuple[NDArray[np.bool_], Ints]]:
    """Designs [P] that run the same nodes on a machine, and the works [L, W] it then has.

    Tensors stay on its chip between nodes that both run on it: `here` is bool [P, L].
    """
    pairs = zip(here, machines, strict=True)
    keys = [(frozenset(np.flatnonzero(on).tolist()), retention_of(m)) for on, m in pairs]
    for nodes, keeps in dict.fromkeys(keys):
        same = np.array([key == (nodes, keeps) for key in keys], dtype=bool)
        yield same, work_rows(works_on(graph, keeps, batch, nodes), batch)


def _takes(platform: Platform, name: str, works: Sequence[Work], flow: Flow) -> list[bool]:
    """Which nodes a machine is given, whether it can run them or not."""
    pairs = zip(flow.kinds, works, strict=True)
    return [platform.takes(name, kind, w.macs > 0, w.depthwise != 0) for kind, w in pairs]


def _prices(platform: Platform) -> list[tuple[float, float]]:
    """Femtojoules of a copied byte and instructions of a dispatch, of each machine."""
    found = [(0.0, 0.0)]
    for name in platform.units:
        attachment = platform.attach[name]
        byte_fj = attachment.link.pj_per_byte * 1000 if attachment.link else 0.0
        found.append((byte_fj, float(attachment.dispatch.instructions)))
    return found


def _countable(works: Sequence[Work], machines: Sequence[Machine], batch: int) -> NDArray[np.bool_]:
    """Whether the counts of each node stay exact on each machine: bool [P, L]."""
    known: dict[tuple[object, ...], list[bool]] = {}
    rows = []
    for machine in machines:
        key = (machine.cycle_scales, min(machine.srams().values()))
        if key not in known:
            counts = (largest_count(batched(work, batch), machine) for work in works)
            known[key] = [count <= most for count, most, _ in counts]
        rows.append(known[key])
    return np.array(rows, dtype=bool).reshape(len(machines), len(works))


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
