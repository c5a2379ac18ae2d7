"""Whole graphs on machines of one unit each, with what each keeps on chip between layers."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import numpy as np

from simulator.depth_first import Chain
from simulator.designs import Evaluation, Ints, evaluate_designs
from simulator.graph import Graph
from simulator.machine_set import MachineSet, machine_set
from simulator.machines.actions import (
    COMPUTE_CYCLES,
    LEVEL_0,
    OVERHEAD_CYCLES,
    STALL_CYCLES,
    TOTAL_REFUSAL,
)
from simulator.machines.base import Machine
from simulator.residency import Retention, chains_on, retention_of, works_on

_PARTS: Final = tuple(field.name for field in fields(Evaluation))
_LAYERED: Final = ("actions", "energy_fj")
_ROUNDS: Final = 8
"""How often chains are planned again without those that a machine declined."""


def evaluate_network(
    graph: Graph,
    machines: Sequence[Machine] | MachineSet,
    batch: int = 1,
    per_layer: bool = False,
) -> Evaluation:
    """Cost a graph on many machines as `evaluate_designs`, each keeping on chip what it keeps."""
    return evaluate_chained(graph, machines, batch, per_layer)[0]


def evaluate_chained(
    graph: Graph,
    machines: Sequence[Machine] | MachineSet,
    batch: int = 1,
    per_layer: bool = False,
) -> tuple[Evaluation, list[tuple[Chain, ...]]]:
    """As `evaluate_network`, and the chains that each machine runs depth first."""
    machines = machine_set(machines)
    found: list[tuple[Ints, Evaluation]] = []
    chains: list[tuple[Chain, ...]] = [()] * len(machines)
    for group, places in machines.groups(retention_of):
        ours = machines if len(places) == len(machines) else machines.take(places)
        if group.chains is None:
            made = evaluate_designs(works_on(graph, group, batch), ours, batch, per_layer)
        else:
            each = [ours.machine(index) for index in range(len(ours))]
            made, chosen = _depth_first(graph, group, each, batch)
            for index, own in zip(places.tolist(), chosen, strict=True):
                chains[index] = own
        found.append((places, made))
    if len(found) == 1 and (per_layer or not len(found[0][1].actions)):
        return found[0][1], chains
    layers = per_layer and len(graph.nodes) > 0
    joined = []
    for part in _PARTS:
        first = getattr(found[0][1], part)
        count = len(machines) if layers or part not in _LAYERED else 0
        shape = first.shape[1:] if count else (0, first.shape[-1])
        whole = np.zeros((count, *shape), first.dtype)
        for places, made in found:
            if count:
                whole[places] = getattr(made, part)
        joined.append(whole)
    return Evaluation(*joined), chains


def _depth_first(
    graph: Graph, keeps: Retention, machines: Sequence[Machine], batch: int
) -> tuple[Evaluation, list[tuple[Chain, ...]]]:
    """Machines that may run chains: each the chains that its own cost prefers, or none."""
    result = evaluate_designs(works_on(graph, keeps, batch), machines, batch, True)
    plain = Evaluation(*(getattr(result, part).copy() for part in _PARTS))
    chosen: list[tuple[Chain, ...]] = [()] * len(machines)
    nothing: frozenset[tuple[int, int]] = frozenset()
    pending = [(list(range(len(machines))), nothing, chains_on(graph, keeps, batch), 0)]
    while pending:
        places, declined, chains, rounds = pending.pop()
        ours = [machines[index] for index in places]
        if not chains:
            continue
        works = works_on(graph, keeps, batch, None, chains)
        made = evaluate_designs(works, ours, batch, True)
        again: dict[frozenset[tuple[int, int]], list[int]] = {}
        for row, index in enumerate(places):
            bad = _declined(plain, made, index, row, machines[index], chains)
            if bad:
                again.setdefault(bad, []).append(index)
            elif _prefers(plain, made, index, row, machines[index], range(len(graph.nodes))):
                chosen[index] = chains
                for part in _PARTS:
                    getattr(result, part)[index] = getattr(made, part)[row]
        for bad, indices in again.items():
            if rounds < _ROUNDS:
                more = declined | bad
                pending.append((indices, more, chains_on(graph, keeps, batch, more), rounds + 1))
            else:
                rest = tuple(c for c in chains if (c.first, c.last) not in bad)
                pending.append((indices, declined, rest, rounds))
    return result, chosen


def _declined(
    plain: Evaluation,
    made: Evaluation,
    index: int,
    row: int,
    machine: Machine,
    chains: Sequence[Chain],
) -> frozenset[tuple[int, int]]:
    """The chains that are no better than their layers one after another."""
    return frozenset(
        (chain.first, chain.last)
        for chain in chains
        if not _prefers(plain, made, index, row, machine, chain.nodes)
    )


def _prefers(
    plain: Evaluation, made: Evaluation, index: int, row: int, machine: Machine, nodes: range
) -> bool:
    """Whether some nodes move no more beyond the chip, and are better by the machine's objective.

    What cannot run at all is preferred nowhere.
    """
    if made.totals[row, TOTAL_REFUSAL] or plain.totals[index, TOTAL_REFUSAL]:
        return False
    own = slice(nodes.start, nodes.stop)
    outer = LEVEL_0 + 2 * (len(machine.levels) - 1)
    scores = []
    for result, place in ((plain, index), (made, row)):
        actions: Ints = result.actions[place, own]
        moved = int(actions[:, outer : outer + 2].sum())
        cycles = int(actions[:, [COMPUTE_CYCLES, STALL_CYCLES, OVERHEAD_CYCLES]].sum())
        energy = sum(result.energy_fj[place, own].sum(axis=1).tolist())
        by = {"traffic": moved, "latency": cycles, "energy": energy}
        scores.append((moved, by[machine.depth_first.objective]))
    return scores[1][0] <= scores[0][0] and scores[1][1] < scores[0][1]
