"""Whole graphs on machines of one unit each, with what each keeps on chip between layers."""

from collections.abc import Sequence

import numpy as np

from simulator.designs import Evaluation, evaluate_designs
from simulator.graph import Graph
from simulator.machines.base import Machine
from simulator.residency import retention_of, works_on

_PARTS = ("totals", "area_mm2", "latency_s", "actions", "energy_fj")


def evaluate_network(
    graph: Graph, machines: Sequence[Machine], batch: int = 1, per_layer: bool = False
) -> Evaluation:
    """Cost a graph on many machines as `evaluate_designs`, each keeping on chip what it keeps."""
    keeps = [retention_of(machine) for machine in machines]
    groups = list(dict.fromkeys(keeps))
    if len(groups) == 1:
        return evaluate_designs(works_on(graph, groups[0], batch), machines, batch, per_layer)
    found = {}
    for group in groups:
        ours = [machine for machine, own in zip(machines, keeps, strict=True) if own == group]
        found[group] = evaluate_designs(works_on(graph, group, batch), ours, batch, per_layer)
    joined = []
    for part in _PARTS:
        parts = {group: getattr(found[group], part) for group in groups}
        first = parts[groups[0]]
        whole = np.zeros((len(machines) if len(first) else 0, *first.shape[1:]), first.dtype)
        for group, values in parts.items():
            if len(values):
                whole[[own == group for own in keeps]] = values
        joined.append(whole)
    return Evaluation(*joined)
