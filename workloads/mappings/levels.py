"""A nest as levels that each hold some loops, as Timeloop writes it, and back.

Our cuts are by operand and may differ at one memory; Timeloop draws one line for all operands
there. A cut may move over loops that reuse its operand's tile: nothing else is moved by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulator.errors import Unsupported
from simulator.mapping.layout import LOOPS, OPERANDS, reuses
from simulator.mapping.loopnest import LoopNest

Chains = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Level:
    """A memory, the operands it keeps, and the temporal loops within its tile, inner to outer.

    Loops within the level below are not repeated.
    """

    name: str
    keeps: tuple[str, ...]
    loops: tuple[tuple[str, int], ...]


def nest_of_levels(
    levels: Sequence[Level], spatial: Sequence[tuple[str, str, int]], memories: Chains, place: str
) -> LoopNest:
    """The nest of levels listed inner to outer; raises Unsupported where the machine has others."""
    loops: list[tuple[str, int]] = []
    found: dict[str, list[tuple[str, int]]] = {operand: [] for operand in OPERANDS}
    for level in levels:
        loops += [(loop, factor) for loop, factor in level.loops if factor > 1]
        for operand in level.keeps:
            found[operand].append((level.name, len(loops)))
    cuts = {}
    for operand in OPERANDS:
        names = tuple(name for name, _ in found[operand])
        if names != memories[operand]:
            raise Unsupported(
                f"{place}: keeps the {operand}s in {', '.join(names) or 'nothing'}; the machine "
                f"in {', '.join(memories[operand])} (inner to outer): name its memories alike, "
                "and hold in each what the mapping keeps there"
            )
        cuts[operand] = tuple(cut for _, cut in found[operand])
    outermost = {operand: cuts[operand][-1] for operand in OPERANDS}
    if any(cut != len(loops) for cut in outermost.values()):
        raise Unsupported(f"{place}: its outermost level must keep all three operands")
    return LoopNest(tuple(spatial), tuple(loops), cuts, memories)


def levels_of_nest(nest: LoopNest, order: Sequence[str]) -> tuple[Level, ...]:
    """The levels of a nest, inner to outer; `order` lists the machine's memories so.

    Raises Unsupported where the cuts of one memory, or those of two, are not on one line.
    """
    spans = [_line(nest, name) for name in order]
    top, most = len(nest.loops), []
    for _, _, high in reversed(spans):
        top = min(top, high)
        most.append(top)
    below, levels = 0, []
    for name, (low, own, _), high in zip(order, spans, reversed(most), strict=True):
        if name == order[-1]:
            low = own = high = len(nest.loops)
        cut = min(max(own, low, below), high)
        if cut < max(low, below):
            raise Unsupported(
                f"memory '{name}': no one line serves its operands, whose tiles end after "
                f"{_ends(nest, name)} loops, with {below} within the memory below; Timeloop "
                "needs one: write this mapping as bitlane or zigzag"
            )
        keeps = tuple(operand for operand in OPERANDS if name in nest.memories[operand])
        levels.append(Level(name, keeps, nest.loops[below:cut]))
        below = cut
    return tuple(levels)


def _cuts(nest: LoopNest, name: str) -> dict[str, int]:
    """By operand that a memory holds, its level there."""
    chains = nest.memories
    return {o: chains[o].index(name) for o in OPERANDS if name in chains[o]}


def _ends(nest: LoopNest, name: str) -> str:
    return ", ".join(f"{o} {nest.cuts[o][level]}" for o, level in _cuts(nest, name).items())


def _line(nest: LoopNest, name: str) -> tuple[int, int, int]:
    """The lowest line for a memory that moves the same, the one as it is, and the highest."""
    held = _cuts(nest, name)
    spans = [_span(nest, operand, level) for operand, level in held.items()]
    own = max(nest.cuts[operand][level] for operand, level in held.items())
    return max(low for low, _ in spans), own, min(high for _, high in spans)


def _span(nest: LoopNest, operand: str, level: int) -> tuple[int, int]:
    """The cuts that move the same as the one of a level: it passes loops that reuse its tile."""
    low = high = nest.cuts[operand][level]
    index = OPERANDS.index(operand)
    while low > 0 and reuses(index, LOOPS.index(nest.loops[low - 1][0])):
        low -= 1
    while high < len(nest.loops) and reuses(index, LOOPS.index(nest.loops[high][0])):
        high += 1
    return low, high
