"""A nest as levels that each hold some loops, as Timeloop writes it, and back.

Our cuts are by operand and may differ at one memory; Timeloop draws one line for all operands
there. A cut may move over loops that reuse its operand's tile: nothing else is moved by it.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from simulator.errors import Unsupported
from simulator.machines.spatial import Spatial
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


def levels_of_nest(nest: LoopNest, machine: Spatial) -> tuple[Level, ...]:
    """The levels of a nest, inner to outer.

    Raises Unsupported where the cuts of one memory, or those of two, are not on one line.
    """
    order = machine.levels
    whole = {level.name for level in machine.memory[:-1] if level.refill == "together"}
    nest = _aligned(nest, whole)
    spans = [_line(nest, name, whole) for name in order]
    spans[-1] = (len(nest.loops),) * 3
    below, levels = 0, []
    for place, (name, (low, own, _)) in enumerate(zip(order, spans, strict=True)):
        least = max(low, below)
        tightest = min(range(place, len(order)), key=lambda k: spans[k][2])
        most = spans[tightest][2]
        if least > most:
            raise Unsupported(
                f"memory '{name}' ({_ends(nest, name)}) ends outside '{order[tightest]}' "
                f"({_ends(nest, order[tightest])}), and Timeloop nests memories as the machine "
                "lists them, with one line for all operands of each: write this mapping as "
                "bitlane or zigzag"
            )
        cut = min(max(own, least), most)
        keeps = tuple(operand for operand in OPERANDS if name in nest.memories[operand])
        levels.append(Level(name, keeps, nest.loops[below:cut]))
        below = cut
    return tuple(levels)


def one_each(target: str, loops: Sequence[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Neighbours of one dimension joined; raises Unsupported where one stands around another."""
    joined: list[tuple[str, int]] = []
    for loop, factor in loops:
        if joined and joined[-1][0] == loop:
            factor *= joined.pop()[1]
        if any(loop == other for other, _ in joined):
            raise Unsupported(
                f"'{target}': has loops of {loop} around another loop; Timeloop has one loop of a "
                "dimension at a level: write this mapping as bitlane or zigzag"
            )
        joined.append((loop, factor))
    return tuple(joined)


def _cuts(nest: LoopNest, name: str) -> dict[str, int]:
    """By operand that a memory holds, its level there."""
    chains = nest.memories
    return {o: chains[o].index(name) for o in OPERANDS if name in chains[o]}


def _ends(nest: LoopNest, name: str) -> str:
    ends = ", ".join(f"{o} after {nest.cuts[o][v]}" for o, v in _cuts(nest, name).items())
    return f"{ends} loops"


def _aligned(nest: LoopNest, whole: Set[str]) -> LoopNest:
    """The nest with the cuts of memories that are refilled as a whole at the innermost of them."""
    cuts = {operand: list(cut) for operand, cut in nest.cuts.items()}
    for name in sorted(whole):
        held = _cuts(nest, name)
        least = min(cuts[operand][level] for operand, level in held.items())
        for operand, level in held.items():
            cuts[operand][level] = max(least, *cuts[operand][:level], 0)
    return replace(nest, cuts={operand: tuple(cut) for operand, cut in cuts.items()})


def _line(nest: LoopNest, name: str, whole: Set[str]) -> tuple[int, int, int]:
    """The lowest line for a memory that moves the same, the one as it is, and the highest."""
    held = _cuts(nest, name)
    spans = [_span(nest, operand, level, whole) for operand, level in held.items()]
    own = max(nest.cuts[operand][level] for operand, level in held.items())
    return max(low for low, _ in spans), own, min(high for _, high in spans)


def _span(nest: LoopNest, operand: str, level: int, whole: Set[str]) -> tuple[int, int]:
    """The cuts that move the same as the one of a level: it passes loops that reuse its tile.

    A memory that is refilled as a whole stays where it is, and holds back those within.
    """
    low = high = nest.cuts[operand][level]
    if nest.memories[operand][level] in whole:
        return low, high
    outer = zip(nest.memories[operand][level:], nest.cuts[operand][level:], strict=True)
    most = min((cut for name, cut in outer if name in whole), default=len(nest.loops))
    index = OPERANDS.index(operand)
    while low > 0 and reuses(index, LOOPS.index(nest.loops[low - 1][0])):
        low -= 1
    while high < most and reuses(index, LOOPS.index(nest.loops[high][0])):
        high += 1
    return low, high
