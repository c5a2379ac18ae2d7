"""Timeloop's short form, which DOSA's files hold: ``L3[WIO] K8 Q28 - L2[WI] K4X - L1[O] P7``.

Levels from the outermost; ``X`` and ``Y`` mark loops on the array.
"""

import re
from collections.abc import Mapping, Sequence

from simulator.errors import Unsupported
from simulator.mapping.layout import OPERANDS
from simulator.mapping.loopnest import LoopNest
from workloads.mappings.names import TIMELOOP_LOOPS


def from_timeloop(
    text: str, levels: Mapping[str, Sequence[str]], memories: Mapping[str, tuple[str, ...]]
) -> LoopNest:
    """A nest from Timeloop's short form.

    `levels` names, for each of its levels (``L0``...), the memories of ours that hold a tile of
    it. Loops of factor 1 are left out; loops on the array become the unrolling.
    """
    spatial, loops = [], []
    ends: dict[str, int] = {}
    for part in reversed([part.strip() for part in text.split(" - ")]):
        match = re.match(r"(L\d+)\[([WIO]*)\]\s*(.*)$", part)
        if match is None:
            raise Unsupported(f"mapping: '{part}' is no level; write it as 'L1[WI] K4 C3X'")
        # Outermost first within a level, too.
        for name, factor, axis in reversed(re.findall(r"([A-Z])(\d+)([XY]?)", match.group(3))):
            if name not in TIMELOOP_LOOPS:
                raise Unsupported(f"mapping: '{name}' is no dimension of a convolution")
            if axis:
                spatial.append((axis.lower(), TIMELOOP_LOOPS[name], int(factor)))
            elif int(factor) > 1:
                loops.append((TIMELOOP_LOOPS[name], int(factor)))
        for memory in levels.get(match.group(1), ()):
            ends[memory] = len(loops)
    cuts = {}
    for operand in OPERANDS:
        chain = memories[operand]
        found = [ends.get(memory, 0) for memory in chain[:-1]] + [len(loops)]
        cuts[operand] = tuple(max(found[: k + 1]) for k in range(len(found)))
    return LoopNest(tuple(spatial), tuple(loops), cuts, memories)
