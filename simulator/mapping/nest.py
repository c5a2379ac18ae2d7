"""A loop nest on a hierarchy: its loops and cuts, the tiles of every level, and what moves.

The model is ZigZag's (Mei et al., "ZigZag: Enlarging Joint Architecture-Mapping Design Space
Exploration for DNN Accelerators", IEEE TC 2021): a level's tile is refilled once a step of the
loops outside its cut; loops that reuse the tile sink below the cut.

Whatever depends only on which loops run within a boundary (tiles, transfers, their energy) is
filled once for each number of innermost loops, by `fill_place`; a search copies it where the same
loops have been inside in another order. Costing a nest then looks it up at the cuts.
"""

from simulator.jit import njit
from simulator.mapping.layout import (
    ACCESS,
    ALLOWED,
    AVERAGE,
    BITS,
    BUSY,
    COUNTS,
    CUT,
    CYCLES,
    DEPTH,
    ELEMENT_BITS,
    FACTOR,
    FILLED,
    FIXED,
    HELD,
    IC,
    INPUT,
    KX,
    KY,
    LARGEST,
    LEVEL,
    LOADING,
    LOOP,
    LOOP_COUNT,
    M_BITS,
    M_TOGETHER,
    MAC_ENERGY,
    MEMORIES,
    MEMORY,
    MOVED,
    NEST_LOOPS,
    OUTPUT,
    PARTIAL,
    PERIOD,
    PLACE,
    REDUCES,
    REFILLS,
    REPEATS,
    REUSE,
    SIZE,
    SPENT,
    T_AVERAGE,
    T_BOUNDARY,
    T_INSTANCES,
    T_LARGEST,
    T_LEVEL,
    T_OPERAND,
    T_RATE,
    T_REQUEST,
    T_SIDE,
    T_WAY,
    T_WORD,
    TEMPORAL,
    TOGETHER,
    TOTAL,
    TRANSFER,
    TRANSFER_COUNT,
    TRANSFER_PRICE,
    WEIGHT,
    WORDS,
    Ints,
    Reals,
    boundary_row,
    inwards,
    level_row,
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
            row, average = level_row(operand, level), ints[tile_row(AVERAGE, operand, level), place]
            held = max(average, ints[tile_row(LARGEST, operand, level), place])
            ints[HELD + row, place] = held
            again = ints[REPEATS, place] if level < ints[DEPTH, operand] - 1 else 0
            reals[MOVED + row, place] = float(again) * average


@njit
def partial_mask(ints: Ints, reals: Reals, place: int) -> int:
    """The output's boundaries where sums are partial: bit `side`, with `place` loops within."""
    inside = reals[SIZE + place, IC] * reals[SIZE + place, KY] * reals[SIZE + place, KX]
    more = inside < ints[TEMPORAL, IC] * ints[TEMPORAL, KY] * ints[TEMPORAL, KX]
    mask = 0
    for side in range(ints[DEPTH, OUTPUT] + 1):
        if more or ints[REDUCES, side] != 0:
            mask |= 1 << side
    return mask


@njit
def partial_at(ints: Ints, side: int, place: int) -> bool:
    """Whether what crosses an output boundary with `place` loops within it is a partial sum."""
    return bool((ints[PARTIAL, place] >> side) & 1)


@njit
def element_bits(ints: Ints, operand: int, side: int, place: int) -> int:
    """Bits of an element that crosses a boundary with `place` loops within it."""
    if operand == OUTPUT and not partial_at(ints, side, place):
        return int(ints[BITS, 3])
    return int(ints[BITS, operand])


@njit
def moves(ints: Ints, operand: int, way: int, side: int, place: int) -> bool:
    """Whether a direction is used: partial sums come back only where more is added to them."""
    return operand != OUTPUT or not inwards(way) or partial_at(ints, side, place)


@njit
def transfers_at(ints: Ints, reals: Reals, place: int) -> None:
    """Fill every transfer's busy cycles, words and femtojoules for a boundary at `place`.

    Words count all transfers of the layer, a part of a word being a whole one; cycles are of one
    transfer, 0 where there is none.
    """
    again = ints[REPEATS, place]
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        row = TRANSFER + index
        operand, side = ints[row, T_OPERAND], ints[row, T_SIDE]
        cycles = words = 0
        if moves(ints, operand, ints[row, T_WAY], side, place):
            bits, rate = element_bits(ints, operand, side, place), ints[row, T_RATE]
            average, largest = ints[row, T_AVERAGE] * bits, ints[row, T_LARGEST] * bits
            if side > 0:
                average *= ints[tile_row(AVERAGE, operand, side - 1), place]
                largest *= ints[tile_row(LARGEST, operand, side - 1), place]
            cycles = int((largest + rate - 1) / rate) + ints[row, T_REQUEST]
            words = int((average + ints[row, T_WORD] - 1) / ints[row, T_WORD])
            words *= again * ints[row, T_INSTANCES]
        ints[BUSY + index, place], ints[WORDS + index, place] = cycles, words
        price = reals[TRANSFER_PRICE + index, 0]
        reals[SPENT + index, place] = words * ints[row, T_WORD] * price


@njit
def fill_place(ints: Ints, reals: Reals, place: int) -> None:
    """Fill what follows from the innermost `place` loops."""
    ints[PARTIAL, place] = partial_mask(ints, reals, place)
    tiles_at(ints, reals, place)
    transfers_at(ints, reals, place)


@njit
def start_nest(ints: Ints, reals: Reals, count: int) -> None:
    """Make room for so many loops: the innermost place, where nothing is looped yet."""
    ints[COUNTS, LOOP_COUNT] = count
    ints[CYCLES, 0], ints[REPEATS, 0] = 1, ints[COUNTS, TOTAL]
    for loop in range(8):
        reals[SIZE, loop] = 1.0
    fill_place(ints, reals, 0)


@njit
def extend(ints: Ints, reals: Reals, place: int, loop: int, factor: int) -> None:
    """Make `loop` of `factor` steps the loop at `place`; its tiles are not filled."""
    ints[LOOP, place], ints[FACTOR, place] = loop, factor
    for other in range(8):
        reals[SIZE + place + 1, other] = reals[SIZE + place, other]
    reals[SIZE + place + 1, loop] *= factor
    ints[CYCLES, place + 1] = ints[CYCLES, place] * factor
    ints[REPEATS, place + 1] = int(ints[COUNTS, TOTAL] / ints[CYCLES, place + 1])


@njit
def push(ints: Ints, reals: Reals, place: int, loop: int, factor: int) -> None:
    """Make `loop` of `factor` steps the loop at `place`, outside those already there."""
    extend(ints, reals, place, loop, factor)
    fill_place(ints, reals, place + 1)


@njit
def topmost_reuse(ints: Ints, operand: int, cut: int, below: int) -> int:
    """Steps of the topmost loops between two cuts that reuse the data."""
    place = cut
    while place > below and reuses(operand, ints[LOOP, place - 1]):
        place -= 1
    return int(ints[CYCLES, cut] / ints[CYCLES, place])


@njit
def topmost_new(ints: Ints, operand: int, cut: int, below: int) -> int:
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
    """Sink reuse below the cuts; fill place, period, width, reuse and fill of every level."""
    if ints[COUNTS, TOGETHER] != 0:
        align_cuts(ints)
    for operand in range(3):
        place, count = 0, deepest_reuse(ints, operand, 0)
        if operand != OUTPUT:
            while place < count and reuses(operand, ints[LOOP, place]):
                place += 1
        boundary, below = boundary_row(operand, 0), 0
        ints[PLACE, boundary], ints[REFILLS, boundary] = place, ints[REPEATS, place]
        ints[PERIOD, boundary] = ints[CYCLES, place]
        ints[ELEMENT_BITS, boundary] = element_bits(ints, operand, 0, place)
        for level in range(ints[DEPTH, operand]):
            cut, count = ints[CUT + operand, level], deepest_reuse(ints, operand, level)
            while cut < count and reuses(operand, ints[LOOP, cut]):
                cut += 1
            boundary += 1
            ints[CUT + operand, level] = ints[PLACE, boundary] = cut
            ints[REFILLS, boundary] = ints[REPEATS, cut]
            ints[PERIOD, boundary] = ints[CYCLES, cut]
            width = element_bits(ints, operand, level + 1, cut)
            ints[ELEMENT_BITS, boundary] = width
            ints[REUSE, boundary] = topmost_reuse(ints, operand, cut, below)
            fresh = topmost_new(ints, operand, cut, below)
            bits = ints[tile_row(AVERAGE, operand, level), cut] * width
            room = ints[MEMORY + ints[LEVEL + operand, level], M_BITS]
            reals[FILLED + operand, level] = int(bits / fresh) / room
            below = cut


@njit
def set_buffers(ints: Ints, reals: Reals) -> None:
    """Fill the cycles in which each level may be refilled: all where it has room for a copy.

    A copy takes the room from its neighbours; without one only the topmost reuse gives time.
    """
    for memory in range(MEMORIES):
        reals[LOADING, memory] = 0.0
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            reals[LOADING, ints[LEVEL + operand, level]] += reals[FILLED + operand, level]
    for operand in (OUTPUT, WEIGHT, INPUT):
        boundary = boundary_row(operand, 0)
        ints[ALLOWED, boundary] = ints[PERIOD, boundary]
        for level in range(ints[DEPTH, operand]):
            boundary += 1
            memory, own = ints[LEVEL + operand, level], reals[FILLED + operand, level]
            allowed = ints[PERIOD, boundary]
            if reals[LOADING, memory] > 0.5:
                if own <= 1 - reals[LOADING, memory]:
                    reals[LOADING, memory] += own
                else:
                    allowed = int(allowed / ints[REUSE, boundary])
            ints[ALLOWED, boundary] = allowed


@njit
def energy_of(ints: Ints, reals: Reals) -> float:
    """Femtojoules of the nest whose levels are set."""
    energy = reals[FIXED, MAC_ENERGY]
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        energy += reals[SPENT + index, ints[PLACE, ints[TRANSFER + index, T_BOUNDARY]]]
    return float(energy)


@njit
def set_accesses(ints: Ints, reals: Reals) -> None:
    """Fill the words that each level's directions move, of a nest whose levels are set."""
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        row = TRANSFER + index
        access = ACCESS + 4 * ints[row, T_OPERAND] + ints[row, T_WAY]
        place = ints[PLACE, ints[row, T_BOUNDARY]]
        ints[access, ints[row, T_LEVEL]] = ints[WORDS + index, place]
