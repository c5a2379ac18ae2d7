"""Mappings of other tools as our loop nests: ZigZag's and Timeloop's text.

ZigZag prints for each operand (O, W, I) a list of loops by memory, inner to outer:
``{O: [[(FX, 3)], [(K, 2)]], W: ...}``. Timeloop's short form lists the levels from the outermost:
``L3[WIO] K8 Q28 - L2[WI] K4X - L1[O] P7``; ``X`` and ``Y`` mark loops on the array.
"""

import re
from collections.abc import Mapping, Sequence

from simulator.errors import Unsupported
from simulator.mapping.layout import OPERANDS
from simulator.mapping.loopnest import LoopNest

ZIGZAG_LOOPS = {
    "B": "n",
    "G": "g",
    "K": "oc",
    "C": "ic",
    "OY": "oy",
    "OX": "ox",
    "FY": "ky",
    "FX": "kx",
}
TIMELOOP_LOOPS = {
    "N": "n",
    "G": "g",
    "M": "oc",
    "K": "oc",
    "C": "ic",
    "P": "oy",
    "Q": "ox",
    "R": "ky",
    "S": "kx",
}
_ZIGZAG_OPERANDS = {"W": "weight", "I": "input", "O": "output"}


def from_zigzag(
    text: str,
    memories: Mapping[str, tuple[str, ...]],
    loops: Mapping[str, str] = ZIGZAG_LOOPS,
) -> LoopNest:
    """A nest from ZigZag's temporal mapping; `memories` are the machine's chains.

    Other dimension names than a convolution's are given by `loops`. Raises Unsupported where the
    operands disagree on the order, as no single nest does.
    """
    orders, cuts = {}, {}
    for letter, operand in _ZIGZAG_OPERANDS.items():
        levels = _zigzag_levels(text, letter)
        if len(levels) != len(memories[operand]):
            raise Unsupported(
                f"mapping of {letter}: {len(levels)} levels; the machine has "
                f"{', '.join(memories[operand])}"
            )
        order: list[tuple[str, int]] = []
        found = []
        for level in levels:
            order += [(loops[name], factor) for name, factor in level]
            found.append(len(order))
        orders[operand], cuts[operand] = tuple(order), tuple(found)
    first = orders[OPERANDS[0]]
    if any(order != first for order in orders.values()):
        raise Unsupported("the operands list their loops in different orders; no nest does")
    return LoopNest((), first, cuts, memories)


def _zigzag_levels(text: str, letter: str) -> list[list[tuple[str, int]]]:
    match = re.search(rf"\b{letter}: \[((?:\[[^\[\]]*\](?:, )?)*)\]", text)
    if match is None:
        raise Unsupported(f"mapping: no list for operand {letter} in '{text[:60]}'")
    levels = re.findall(r"\[([^\[\]]*)\]", match.group(1))
    return [
        [(name, int(factor)) for name, factor in re.findall(r"\((\w+), (\d+)\)", level)]
        for level in levels
    ]


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
