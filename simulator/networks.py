"""Whole graphs on machines of one unit each: the works that a machine's fusion leaves, costed."""

from collections.abc import Sequence

import numpy as np

from simulator.designs import Evaluation, evaluate_designs
from simulator.fusion import fused_works
from simulator.graph import Graph
from simulator.machines.base import Machine

_PARTS = ("totals", "area_mm2", "latency_s", "actions", "energy_fj")


def evaluate_network(
    graph: Graph, machines: Sequence[Machine], batch: int = 1, per_layer: bool = False
) -> Evaluation:
    """Cost a graph on many machines as `evaluate_designs`, fused where a machine says so."""
    fuses = np.array([machine.fusion == "elementwise" for machine in machines], dtype=bool)
    if not fuses.any():
        return evaluate_designs(graph.work, machines, batch, per_layer)
    works = fused_works(graph)
    if fuses.all():
        return evaluate_designs(works, machines, batch, per_layer)
    made = {}
    for fused, these in ((False, graph.work), (True, works)):
        ours = [machine for machine, own in zip(machines, fuses, strict=True) if own == fused]
        made[fused] = evaluate_designs(these, ours, batch, per_layer)
    joined = []
    for part in _PARTS:
        plain, fused_part = getattr(made[False], part), getattr(made[True], part)
        count = len(machines) if len(plain) else 0
        whole = np.zeros((count, *plain.shape[1:]), plain.dtype)
        if count:
            whole[~fuses], whole[fuses] = plain, fused_part
        joined.append(whole)
    return Evaluation(*joined)
