"""The cost of one loop nest on a hierarchy: accesses, energy and cycles, in one scalar function.

The model is ZigZag's (Mei et al., "ZigZag: Enlarging Joint Architecture-Mapping Design Space
Exploration for DNN Accelerators", IEEE TC 2021, and "A Uniform Latency Model for DNN Accelerators
with Diverse Architectures and Dataflows", DATE 2022; the onload terms as its version 3.9 has
them): a memory that is half empty at its topmost loop is double-buffered and has the whole period
to be refilled, another only the time of its topmost reuse; transfers that share a port add up
where their windows overlap; the worst port stalls the array.
"""

from typing import Final, NamedTuple

import numpy as np

from simulator.jit import njit
from simulator.mapping.problem import (
    AVERAGE,
    INPUT,
    IRRELEVANT,
    LARGEST,
    M_BITS,
    M_PORTS,
    M_RATE,
    M_WORD,
    MEMORIES,
    OUTPUT,
    PER_OPERAND,
    READ_WRITE,
    RELEVANCE,
    RELEVANT,
    SHARED,
    WEIGHT,
    Floats,
    Ints,
    Problem,
    rounded,
    tile_elements,
)

NEST_LOOPS: Final = 32
"""The most temporal loops of a nest."""
READ_DOWN, WRITE_UP, READ_UP, WRITE_DOWN = range(4)
DIRECTIONS: Final = ("read_to_below", "written_from_below", "read_to_above", "written_from_above")
"""What moves at a memory: to or from the level below it or above it."""
PORTS: Final = 4
(IDEAL, STALL, ONLOAD, OFFLOAD, DRAIN, LATENCY, ENERGY) = range(7)
RESULTS: Final = 7
(L_OPERAND, L_LEVEL, L_WAY, L_REAL, L_ALLOWED, L_PERIOD, L_COUNT, L_NEED) = range(8)


class Nest(NamedTuple):
    """Temporal loops, inner to outer, with what follows from them; scratch included.

    loops, factors : int64 [NEST_LOOPS]; count : int64 [1], how many.
    sizes : float64 [NEST_LOOPS + 1, 8], products of the factors of the innermost so many loops.
    cycles : int64 [NEST_LOOPS + 1], their product.
    tiles : int64 [2, 3, L, NEST_LOOPS + 1], elements one instance of a level holds for so many.
    cuts : int64 [3, L], how many loops run within each level of each operand.
    accesses : int64 [3, L, 4], words moved, by `DIRECTIONS`; result : float64 [RESULTS].
    links : int64 [L * 4, 12, 8], transfers by port; used : int64 [L * 4], how many on each.
    period, data_bits, top_reuse : int64 [2 and 3, L + 1]; buffered : int64 [3, L + 1].
    loading : float64 [3, L, 4], cycles of the first or last transfer.
    """

    loops: Ints
    factors: Ints
    count: Ints
    sizes: Floats
    cycles: Ints
    tiles: Ints
    cuts: Ints
    accesses: Ints
    result: Floats
    links: Ints
    used: Ints
    period: Ints
    width: Ints
    reuse: Ints
    buffered: Ints
    filled: Floats
    loading: Floats


@njit
def empty_nest() -> Nest:
    """A nest with every array in place: no loops yet."""
    levels = MEMORIES
    return Nest(
        loops=np.zeros(NEST_LOOPS, np.int64),
        factors=np.ones(NEST_LOOPS, np.int64),
        count=np.zeros(1, np.int64),
        sizes=np.ones((NEST_LOOPS + 1, 8)),
        cycles=np.ones(NEST_LOOPS + 1, np.int64),
        tiles=np.zeros((2, 3, levels, NEST_LOOPS + 1), np.int64),
        cuts=np.zeros((3, levels), np.int64),
        accesses=np.zeros((3, levels, 4), np.int64),
        result=np.zeros(RESULTS),
        links=np.zeros((levels * PORTS, 12, 8), np.int64),
        used=np.zeros(levels * PORTS, np.int64),
        period=np.zeros((3, levels + 1), np.int64),
        width=np.zeros((3, levels + 1), np.int64),
        reuse=np.ones((3, levels + 1), np.int64),
        buffered=np.zeros((3, levels + 1), np.int64),
        filled=np.zeros((3, levels)),
        loading=np.zeros((3, levels, 4)),
    )


@njit
def tiles_at(problem: Problem, nest: Nest, place: int) -> None:
    """Fill the tiles of every level for the innermost `place` loops."""
    sizes = np.empty(8)
    for operand in range(3):
        for level in range(problem.depth[operand]):
            for which in range(2):
                for loop in range(8):
                    spread = problem.spread[which, operand, level, loop]
                    sizes[loop] = nest.sizes[place, loop] * spread
                elements = rounded(tile_elements(problem, operand, sizes))
                nest.tiles[which, operand, level, place] = elements


@njit
def push(problem: Problem, nest: Nest, place: int, loop: int, factor: int) -> None:
    """Make `loop` of `factor` steps the loop at `place`, outside those already there."""
    nest.loops[place] = loop
    nest.factors[place] = factor
    for other in range(8):
        nest.sizes[place + 1, other] = nest.sizes[place, other]
    nest.sizes[place + 1, loop] *= factor
    nest.cycles[place + 1] = nest.cycles[place] * factor
    tiles_at(problem, nest, place + 1)


@njit
def sink_reuse(problem: Problem, nest: Nest) -> None:
    """Move each level's cut up over the loops that reuse its data: they need no refill."""
    count = nest.count[0]
    for operand in range(3):
        for level in range(problem.depth[operand]):
            cut = nest.cuts[operand, level]
            while cut < count and RELEVANCE[operand][nest.loops[cut]] == IRRELEVANT:
                cut += 1
            nest.cuts[operand, level] = cut


@njit
def outermost_reduction(nest: Nest) -> int:
    """The number of loops within and including the outermost one that adds to the outputs."""
    place = nest.count[0]
    while place > 0 and (
        RELEVANCE[OUTPUT][nest.loops[place - 1]] != IRRELEVANT or nest.factors[place - 1] == 1
    ):
        place -= 1
    return place


@njit
def stationary_cycles(nest: Nest, operand: int) -> int:
    """Cycles for which the array's own operand stays: the innermost loops that reuse it."""
    place = 0
    if operand != OUTPUT:
        while (
            place < nest.count[0] and RELEVANCE[operand][nest.loops[place]] == IRRELEVANT
        ):
            place += 1
    return int(nest.cycles[place])


@njit
def levels_of(problem: Problem, nest: Nest) -> None:
    """Fill period, width, reuse and fill of every level; index 0 is the array itself."""
    last = outermost_reduction(nest)
    for operand in range(3):
        nest.period[operand, 0] = stationary_cycles(nest, operand)
        nest.reuse[operand, 0] = 1
        nest.width[operand, 0] = problem.bits[operand]
        if operand == OUTPUT and last == 0 and problem.reduces[0] == 0:
            nest.width[operand, 0] = problem.bits[3]
        below = 0
        for level in range(problem.depth[operand]):
            cut = nest.cuts[operand, level]
            nest.period[operand, level + 1] = nest.cycles[cut]
            width = problem.bits[operand]
            if operand == OUTPUT and not partial_above(problem, nest, level, last):
                width = problem.bits[3]
            nest.width[operand, level + 1] = width
            place = cut
            while place > below and RELEVANCE[operand][nest.loops[place - 1]] == IRRELEVANT:
                place -= 1
            nest.reuse[operand, level + 1] = nest.cycles[cut] // nest.cycles[place]
            place = cut
            while place > below and RELEVANCE[operand][nest.loops[place - 1]] == RELEVANT:
                place -= 1
            bits = nest.tiles[AVERAGE, operand, level, cut] * width
            bits = bits // (nest.cycles[cut] // nest.cycles[place])
            room = problem.memory[problem.level[operand, level], M_BITS]
            nest.filled[operand, level] = bits / room
            below = cut


@njit
def partial_above(problem: Problem, nest: Nest, level: int, last: int) -> bool:
    """Whether what leaves an output level upwards is a partial sum."""
    above = level + 1 < problem.depth[OUTPUT] and problem.reduces[level + 1] != 0
    return bool(last > nest.cuts[OUTPUT, level] or above)


@njit
def buffer_levels(problem: Problem, nest: Nest) -> None:
    """Mark the levels with room for a second copy; a copy takes the room from its neighbours."""
    total = np.zeros(MEMORIES)
    for operand in range(3):
        for level in range(problem.depth[operand]):
            total[problem.level[operand, level]] += nest.filled[operand, level]
    for operand in (OUTPUT, WEIGHT, INPUT):
        nest.buffered[operand, 0] = 0
        for level in range(problem.depth[operand]):
            memory = problem.level[operand, level]
            own = nest.filled[operand, level]
            if total[memory] <= 0.5:
                nest.buffered[operand, level + 1] = 1
            elif own <= 1 - total[memory]:
                nest.buffered[operand, level + 1] = 1
                total[memory] += own
            else:
                nest.buffered[operand, level + 1] = 0


@njit
def port_of(kind: int, operand: int, way: int) -> int:
    """Which port of a memory carries an operand in a direction."""
    if kind == SHARED:
        return 0
    if kind == READ_WRITE:
        return 0 if way in (READ_DOWN, READ_UP) else 1
    if kind == PER_OPERAND:
        return operand
    return way


@njit
def move(problem: Problem, nest: Nest, operand: int, level: int, way: int) -> None:
    """Count one direction at one level: its accesses and energy, and its transfer on the port."""
    up = way in (READ_UP, WRITE_DOWN)
    side = level + 1 if up else level
    period = nest.period[operand, side]
    periods = nest.cycles[nest.count[0]] // period
    width = nest.width[operand, side]
    memory = problem.level[operand, level]
    average, largest = 1, 1
    if side > 0:
        cut = nest.cuts[operand, side - 1]
        average = nest.tiles[AVERAGE, operand, side - 1, cut]
        largest = nest.tiles[LARGEST, operand, side - 1, cut]
    if not up:
        average *= problem.boost[AVERAGE, operand, level]
        largest *= problem.boost[LARGEST, operand, level]
    word = problem.memory[memory, M_WORD]
    words = (average * width + word - 1) // word * periods * problem.instances[operand, level]
    nest.accesses[operand, level, way] = words
    price = problem.price[memory, 0 if way in (READ_DOWN, READ_UP) else 1]
    nest.result[ENERGY] += words * word * price
    slot = memory * PORTS + port_of(problem.memory[memory, M_PORTS], operand, way)
    link = nest.links[slot, nest.used[slot]]
    nest.used[slot] += 1
    rate = problem.memory[memory, M_RATE]
    allowed = period
    if nest.buffered[operand, side] == 0:
        allowed = period // nest.reuse[operand, side]
    link[L_OPERAND], link[L_LEVEL], link[L_WAY] = operand, level, way
    link[L_REAL] = (largest * width + rate - 1) // rate
    link[L_ALLOWED], link[L_PERIOD], link[L_COUNT] = allowed, period, periods
    link[L_NEED] = largest * width // period


@njit
def move_all(problem: Problem, nest: Nest) -> None:
    """Count every direction at every level; nothing moves above the outermost memory."""
    nest.used[:] = 0
    nest.accesses[:] = 0
    last = outermost_reduction(nest)
    for operand in range(3):
        depth = problem.depth[operand]
        for level in range(depth):
            top = level == depth - 1
            if operand != OUTPUT:
                move(problem, nest, operand, level, READ_DOWN)
                if not top:
                    move(problem, nest, operand, level, WRITE_DOWN)
                continue
            move(problem, nest, operand, level, WRITE_UP)
            below = nest.cuts[OUTPUT, level - 1] if level > 0 else 0
            if last > below or problem.reduces[level] != 0:
                move(problem, nest, operand, level, READ_DOWN)
            if not top:
                move(problem, nest, operand, level, READ_UP)
                if partial_above(problem, nest, level, last):
                    move(problem, nest, operand, level, WRITE_DOWN)
