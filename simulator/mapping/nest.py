"""A loop nest on a hierarchy: its loops and cuts, the tiles of every level, and what moves.

The model is ZigZag's (Mei et al., "ZigZag: Enlarging Joint Architecture-Mapping Design Space
Exploration for DNN Accelerators", IEEE TC 2021): a level's tile is refilled once a step of the
loops outside its cut; loops that reuse the tile sink below the cut.
"""

from simulator.jit import njit
from simulator.mapping.layout import (
    ACCESS,
    AVERAGE,
    BITS,
    BUFFERED,
    COUNTS,
    CUT,
    CYCLES,
    DEPTH,
    ELEMENT_BITS,
    FACTOR,
    FILLED,
    FIXED,
    INPUT,
    LEVEL,
    LOADING,
    LOOP,
    LOOP_COUNT,
    M_BITS,
    M_TOGETHER,
    MAC_ENERGY,
    MEMORIES,
    MEMORY,
    NEST_LOOPS,
    OUTPUT,
    PERIOD,
    READ_DOWN,
    REDUCES,
    REUSE,
    SIZE,
    T_AVERAGE,
    T_INSTANCES,
    T_LEVEL,
    T_OPERAND,
    T_SIDE,
    T_WAY,
    T_WORD,
    TOGETHER,
    TRANSFER,
    TRANSFER_COUNT,
    TRANSFER_PRICE,
    WEIGHT,
    WRITE_DOWN,
    Ints,
    Reals,
    needs,
    reuses,
    spread_row,
    tile_row,
)
from simulator.mapping.problem import tile_elements, whole_tile


@njit
def tiles_at(ints: Ints, reals: Reals, place: int) -> None:
    """Fill the tiles of every level for the innermost `place` loops."""
    scratch = SIZE + NEST_LOOPS + 1
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            for which in range(2):
                for loop in range(8):
                    spread = reals[spread_row(which, operand, level), loop]
                    reals[scratch, loop] = reals[SIZE + place, loop] * spread
                elements = whole_tile(ints, tile_elements(ints, reals, operand, scratch))
                ints[tile_row(which, operand, level), place] = elements


@njit
def start_nest(ints: Ints, reals: Reals, count: int) -> None:
    """Make room for so many loops: the innermost place, where nothing is looped yet."""
    ints[COUNTS, LOOP_COUNT] = count
    ints[CYCLES, 0] = 1
    for loop in range(8):
        reals[SIZE, loop] = 1.0
    tiles_at(ints, reals, 0)


@njit
def push(ints: Ints, reals: Reals, place: int, loop: int, factor: int) -> None:
    """Make `loop` of `factor` steps the loop at `place`, outside those already there."""
    ints[LOOP, place] = loop
    ints[FACTOR, place] = factor
    for other in range(8):
        reals[SIZE + place + 1, other] = reals[SIZE + place, other]
    reals[SIZE + place + 1, loop] *= factor
    ints[CYCLES, place + 1] = ints[CYCLES, place] * factor
    tiles_at(ints, reals, place + 1)


@njit
def place_last(ints: Ints, place: int, loop: int, factor: int) -> None:
    """As `push` for the outermost loop, where the tiles of all loops are known already."""
    ints[LOOP, place] = loop
    ints[FACTOR, place] = factor
    ints[CYCLES, place + 1] = ints[CYCLES, place] * factor


@njit
def outermost_reduction(ints: Ints, reals: Reals) -> int:
    """The number of loops within and including the outermost one that adds to the outputs."""
    place = ints[COUNTS, LOOP_COUNT]
    while place > 0 and (not reuses(OUTPUT, ints[LOOP, place - 1]) or ints[FACTOR, place - 1] == 1):
        place -= 1
    return int(place)


@njit
def topmost_reuse(ints: Ints, reals: Reals, operand: int, cut: int, below: int) -> int:
    """Steps of the topmost loops between two cuts that reuse the data."""
    place = cut
    while place > below and reuses(operand, ints[LOOP, place - 1]):
        place -= 1
    return int(ints[CYCLES, cut] / ints[CYCLES, place])


@njit
def topmost_new(ints: Ints, reals: Reals, operand: int, cut: int, below: int) -> int:
    """Steps of the topmost loops between two cuts that need other data each."""
    place = cut
    while place > below and needs(operand, ints[LOOP, place - 1]):
        place -= 1
    return int(ints[CYCLES, cut] / ints[CYCLES, place])


@njit
def refills(ints: Ints, operand: int, level: int) -> bool:
    """Whether a level is refilled together with the other operands of its memory."""
    inner = level < ints[DEPTH, operand] - 1
    return bool(inner and ints[MEMORY + ints[LEVEL + operand, level], M_TOGETHER] != 0)


@njit
def align_cuts(ints: Ints) -> None:
    """Lower the cuts of a memory that is refilled as a whole to the innermost of them."""
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            if not refills(ints, operand, level):
                continue
            cut = ints[CUT + operand, level]
            for other in range(3):
                for beside in range(ints[DEPTH, other]):
                    same = ints[LEVEL + other, beside] == ints[LEVEL + operand, level]
                    if same and refills(ints, other, beside):
                        cut = min(cut, ints[CUT + other, beside])
            below = ints[CUT + operand, level - 1] if level > 0 else 0
            ints[CUT + operand, level] = max(cut, below)


@njit
def deepest_reuse(ints: Ints, operand: int, level: int) -> int:
    """The most loops whose reuse may sink below a level's cut: its next whole refill ends it."""
    if ints[COUNTS, TOGETHER] != 0:
        for outer in range(level, ints[DEPTH, operand]):
            if refills(ints, operand, outer):
                return int(ints[CUT + operand, outer])
    return int(ints[COUNTS, LOOP_COUNT])


@njit
def set_levels(ints: Ints, reals: Reals) -> None:
    """Sink reuse below the cuts; fill period, width, reuse and fill of every level."""
    last = outermost_reduction(ints, reals)
    if ints[COUNTS, TOGETHER] != 0:
        align_cuts(ints)
    for operand in range(3):
        place, count = 0, deepest_reuse(ints, operand, 0)
        if operand != OUTPUT:
            while place < count and reuses(operand, ints[LOOP, place]):
                place += 1
        ints[PERIOD + operand, 0] = ints[CYCLES, place]
        ints[ELEMENT_BITS + operand, 0] = ints[BITS, operand]
        if operand == OUTPUT and last == 0 and ints[REDUCES, 0] == 0:
            ints[ELEMENT_BITS + operand, 0] = ints[BITS, 3]
        below = 0
        for level in range(ints[DEPTH, operand]):
            cut, count = ints[CUT + operand, level], deepest_reuse(ints, operand, level)
            while cut < count and reuses(operand, ints[LOOP, cut]):
                cut += 1
            ints[CUT + operand, level] = cut
            ints[PERIOD + operand, level + 1] = ints[CYCLES, cut]
            width = ints[BITS, operand]
            if operand == OUTPUT and not partial_above(ints, reals, level, last):
                width = ints[BITS, 3]
            ints[ELEMENT_BITS + operand, level + 1] = width
            ints[REUSE + operand, level + 1] = topmost_reuse(ints, reals, operand, cut, below)
            fresh = topmost_new(ints, reals, operand, cut, below)
            bits = ints[tile_row(AVERAGE, operand, level), cut] * width
            room = ints[MEMORY + ints[LEVEL + operand, level], M_BITS]
            reals[FILLED + operand, level] = int(bits / fresh) / room
            below = cut


@njit
def partial_above(ints: Ints, reals: Reals, level: int, last: int) -> bool:
    """Whether what leaves an output level upwards is a partial sum."""
    above = level + 1 < ints[DEPTH, OUTPUT] and ints[REDUCES, level + 1] != 0
    return bool(last > ints[CUT + OUTPUT, level] or above)


@njit
def set_buffers(ints: Ints, reals: Reals) -> None:
    """Mark the levels with room for a second copy; a copy takes the room from its neighbours."""
    for memory in range(MEMORIES):
        reals[LOADING, memory] = 0.0
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            reals[LOADING, ints[LEVEL + operand, level]] += reals[FILLED + operand, level]
    for operand in (OUTPUT, WEIGHT, INPUT):
        for level in range(ints[DEPTH, operand]):
            memory = ints[LEVEL + operand, level]
            own = reals[FILLED + operand, level]
            ints[BUFFERED + operand, level + 1] = 0
            if reals[LOADING, memory] <= 0.5:
                ints[BUFFERED + operand, level + 1] = 1
            elif own <= 1 - reals[LOADING, memory]:
                ints[BUFFERED + operand, level + 1] = 1
                reals[LOADING, memory] += own


@njit
def moves(ints: Ints, reals: Reals, operand: int, level: int, way: int, last: int) -> bool:
    """Whether a direction is used: partial sums come back only where more is added to them."""
    if operand != OUTPUT:
        return True
    if way == READ_DOWN:
        below = ints[CUT + OUTPUT, level - 1] if level > 0 else 0
        return bool(last > below or ints[REDUCES, level] != 0)
    return bool(way != WRITE_DOWN or partial_above(ints, reals, level, last))


@njit
def energy_of(ints: Ints, reals: Reals) -> float:
    """Femtojoules of the nest; fills `accesses` in words, a part of a word being a whole one."""
    energy = reals[FIXED, MAC_ENERGY]
    last, total = outermost_reduction(ints, reals), ints[CYCLES, ints[COUNTS, LOOP_COUNT]]
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        row = TRANSFER + index
        operand, level, way, side = (
            ints[row, T_OPERAND],
            ints[row, T_LEVEL],
            ints[row, T_WAY],
            ints[row, T_SIDE],
        )
        words = 0
        if moves(ints, reals, operand, level, way, last):
            elements = ints[row, T_AVERAGE]
            if side > 0:
                cut = ints[CUT + operand, side - 1]
                elements *= ints[tile_row(AVERAGE, operand, side - 1), cut]
            word = ints[row, T_WORD]
            words = int((elements * ints[ELEMENT_BITS + operand, side] + word - 1) / word)
            words *= int(total / ints[PERIOD + operand, side]) * ints[row, T_INSTANCES]
            energy += words * word * reals[TRANSFER_PRICE + index, 0]
        ints[ACCESS + 4 * operand + way, level] = words
    return float(energy)
