"""ZigZag's mappings: the loops of each operand by memory, and the YAML that it reads.

ZigZag prints for each operand (O, W, I) a list of loops by memory, inner to outer:
``{O: [[(FX, 3)], [(K, 2)]], W: ...}``.
"""

import re
from collections.abc import Mapping

from simulator.errors import Unsupported
from simulator.mapping.layout import OPERANDS
from simulator.mapping.loopnest import LoopNest
from workloads.mappings.names import ZIGZAG_LOOPS, ZIGZAG_OPERANDS


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
    for letter, operand in ZIGZAG_OPERANDS.items():
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
