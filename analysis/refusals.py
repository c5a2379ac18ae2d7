"""Why designs of a sweep cannot run a network, in the words of `estimate`."""

import numpy as np

from simulator.cost import Evaluation, refuse
from simulator.errors import Unsupported
from simulator.graph import Graph
from simulator.layered import counted, widest
from simulator.machine_set import MachineSet
from simulator.machines.actions import TOTAL_REFUSAL, TOTAL_REFUSED_LAYER
from simulator.machines.base import Machine
from simulator.machines.platform import Platform
from simulator.platform_estimate import refuse_platform


def refusals(
    graph: Graph, machines: MachineSet, result: Evaluation, batch: int
) -> list[str | None]:
    """The reason of each design that `result` refuses; None of one that it does not."""
    reasons: list[str | None] = [None] * len(machines)
    refused = np.flatnonzero(result.totals[:, TOTAL_REFUSAL])
    if not len(refused):
        return reasons

    def told_of(machine: Machine, code: int, layer: int) -> str:
        return _told(machine, graph, code, layer, batch)

    codes = result.totals[refused][:, [TOTAL_REFUSAL, TOTAL_REFUSED_LAYER]]
    for code, layer in np.unique(codes, axis=0).tolist():
        places = refused[(codes == (code, layer)).all(axis=1)]
        told, which = machines.take(places).spread(told_of, code, layer)
        for index, reason in zip(places.tolist(), which.tolist(), strict=True):
            reasons[index] = told[reason]
    return reasons


def _told(machine: Machine, graph: Graph, code: int, layer: int, batch: int) -> str:
    try:
        if isinstance(machine, Platform):
            refuse_platform(graph, machine, code, layer, batch)
        counted(graph, machine)
        refuse(graph, widest(machine), code, layer, batch)
    except Unsupported as error:
        return str(error)
