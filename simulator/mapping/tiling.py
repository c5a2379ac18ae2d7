"""Factors of the temporal loops, how many orders they have, and where each memory cuts them."""

from typing import Final

from simulator.jit import njit
from simulator.mapping.layout import (
    AVERAGE,
    BITS,
    COUNTS,
    CUT,
    CYCLES,
    DEPTH,
    LARGEST,
    LEVEL,
    LOOP_COUNT,
    M_BITS,
    MEMORY,
    NEST_LOOPS,
    OUTPUT,
    REDUCES,
    SCRATCH,
    TEMPORAL,
    USERS,
    Ints,
    Reals,
    tile_row,
)
from simulator.mapping.nest import outermost_reduction

MOST_FACTORS: Final = 8 * 62
"""Primes of eight loop bounds."""
NO_ROOM, FULLER, HALF_FULL = range(3)
"""What `allocate` found."""


@njit
def prime_factors(number: int, factors: Ints) -> int:
    """Write the primes of a number, smallest first; returns how many. An int64 has up to 62."""
    count, prime = 0, 2
    while number > 1:
        if prime * prime > number:
            prime = number
        while number % prime == 0:
            factors[count] = prime
            number //= prime
            count += 1
        prime += 1
    return count


@njit
def orders_of(loops: Ints, factors: Ints, count: int) -> float:
    """Distinct orders of loops, equal ones being interchangeable: a multinomial."""
    orders = 1.0
    for place in range(count):
        same = 1
        for other in range(place):
            if loops[other] == loops[place] and factors[other] == factors[place]:
                same += 1
        orders *= (place + 1) / same
    return orders


@njit
def most_split(loops: Ints, count: int) -> int:
    """The loop with the most factors, the first of equals."""
    most, chosen = 0, 0
    for loop in range(8):
        found = 0
        for place in range(count):
            if loops[place] == loop:
                found += 1
        if found > most:
            most, chosen = found, loop
    return chosen


@njit
def merge_smallest(loops: Ints, factors: Ints, count: int, loop: int) -> int:
    """Join the two smallest factors of a loop; returns the new count."""
    first = second = -1
    for place in range(count):
        if loops[place] != loop:
            continue
        if first < 0 or factors[place] < factors[first]:
            first, second = place, first
        elif second < 0 or factors[place] < factors[second]:
            second = place
    if second < 0:
        return count
    factors[first] *= factors[second]
    for place in range(second, count - 1):
        loops[place] = loops[place + 1]
        factors[place] = factors[place + 1]
    return count - 1


@njit
def split_loops(ints: Ints, reals: Reals, budget: int, loops: Ints, factors: Ints) -> int:
    """Split the temporal loops into primes, joined again until their orders fit the budget.

    The loop with the most factors has its two smallest joined first, as ZigZag limits its loop
    prime factors (LOMA; Symons et al., AICAS 2021). `loops` and `factors` have room for
    `MOST_FACTORS`; returns how many there are, `NEST_LOOPS` at most.
    """
    count = 0
    for loop in range(8):
        found = prime_factors(ints[TEMPORAL, loop], factors[count:])
        for place in range(count, count + found):
            loops[place] = loop
        count += found
    while count > NEST_LOOPS or (count > 1 and orders_of(loops, factors, count) > budget):
        loop = most_split(loops, count)
        fewer = merge_smallest(loops, factors, count, loop)
        if fewer == count:
            break
        count = fewer
    return count


@njit
def bits_held(ints: Ints, operand: int, level: int, place: int, last: int) -> int:
    """Bits of a tile in one instance of a level, the larger of the average and largest fold."""
    elements = max(
        ints[tile_row(AVERAGE, operand, level), place],
        ints[tile_row(LARGEST, operand, level), place],
    )
    bits = ints[BITS, operand]
    if operand == OUTPUT and ints[REDUCES, level] == 0:
        below = ints[CUT + OUTPUT, level - 1] if level > 0 else 0
        if last <= below:
            bits = ints[BITS, 3]
    return int(elements * bits)


@njit
def lowest_cut(ints: Ints, operand: int, level: int) -> int:
    """The innermost cut a level may have: what lies below it, or all loops in the outermost."""
    if level == ints[DEPTH, operand] - 1:
        return int(ints[COUNTS, LOOP_COUNT])
    return int(ints[CUT + operand, level - 1]) if level > 0 else 0


@njit
def moved_above(ints: Ints, operand: int, level: int, place: int) -> float:
    """Elements that a level with its cut at `place` has moved from or to the level above."""
    if level == ints[DEPTH, operand] - 1:
        return 0.0
    again = ints[CYCLES, ints[COUNTS, LOOP_COUNT]] / ints[CYCLES, place]
    return float(again * ints[tile_row(AVERAGE, operand, level), place])


@njit
def deepest(ints: Ints, operand: int, level: int, low: int, room: int, last: int) -> int:
    """The outermost cut from `low` on whose tile fits the room, or -1."""
    count = ints[COUNTS, LOOP_COUNT]
    if bits_held(ints, operand, level, count, last) <= room:
        return int(count)
    place = low
    while bits_held(ints, operand, level, place, last) <= room:
        place += 1
    return place - 1 if place > low else -1


@njit
def share(ints: Ints, reals: Reals, memory: int, room: int, last: int) -> bool:
    """Cut the operands of one memory: the split that moves the fewest elements from above.

    `SCRATCH` gets the cuts in its row 7. False where not even the innermost cuts fit.
    """
    trial, picked, low = SCRATCH + 6, SCRATCH + 7, SCRATCH
    row, loops, final = USERS + memory, ints[COUNTS, LOOP_COUNT], ints[USERS + memory, 0] - 1
    for user in range(final + 1):
        operand, level = ints[row, 1 + 2 * user], ints[row, 2 + 2 * user]
        ints[low, user] = lowest_cut(ints, operand, level)
        ints[trial, user] = loops
    best = -1.0
    while True:
        left, moved, outermost = room, 0.0, True
        for user in range(final):
            operand, level = ints[row, 1 + 2 * user], ints[row, 2 + 2 * user]
            left -= bits_held(ints, operand, level, ints[trial, user], last)
            moved += moved_above(ints, operand, level, ints[trial, user])
            outermost = outermost and ints[trial, user] == loops
        if left >= 0 and (best < 0.0 or moved < best):
            operand, level = ints[row, 1 + 2 * final], ints[row, 2 + 2 * final]
            place = deepest(ints, operand, level, ints[low, final], left, last)
            if place >= 0:
                moved += moved_above(ints, operand, level, place)
                if best < 0.0 or moved < best:
                    best = moved
                    ints[picked, final] = place
                    for user in range(final):
                        ints[picked, user] = ints[trial, user]
                if place == loops and outermost:
                    return True
        step = final - 1
        while step >= 0 and ints[trial, step] == ints[low, step]:
            ints[trial, step] = loops
            step -= 1
        if step < 0:
            return best >= 0.0
        ints[trial, step] -= 1


@njit
def cut_memory(ints: Ints, reals: Reals, memory: int, room: int, last: int) -> bool:
    """Cut the users of one memory, into row 7 of `SCRATCH`."""
    row = USERS + memory
    if ints[row, 0] > 1:
        return bool(share(ints, reals, memory, room, last))
    operand, level = ints[row, 1], ints[row, 2]
    place = deepest(ints, operand, level, lowest_cut(ints, operand, level), room, last)
    ints[SCRATCH + 7, 0] = place
    return bool(place >= 0)


@njit
def allocate(ints: Ints, reals: Reals, memories: int, half: bool) -> int:
    """Cut the loops at every memory, inner to outer, keeping as much in each as it can hold.

    With `half`, a memory takes tiles of at most half its size where it can, so that it is
    double-buffered. Returns NO_ROOM where the tiles that the unrolling needs do not fit, and
    HALF_FULL where no memory is more than half full.
    """
    answer, last = HALF_FULL, outermost_reduction(ints, reals)
    for memory in range(memories):
        room, row, used = ints[MEMORY + memory, M_BITS], USERS + memory, 0
        halved = half and cut_memory(ints, reals, memory, room // 2, last)
        if not halved and not cut_memory(ints, reals, memory, room, last):
            return NO_ROOM
        for user in range(ints[row, 0]):
            operand, level = ints[row, 1 + 2 * user], ints[row, 2 + 2 * user]
            cut = ints[SCRATCH + 7, user]
            ints[CUT + operand, level] = cut
            used += bits_held(ints, operand, level, cut, last)
        if used > room // 2:
            answer = FULLER
    return answer


@njit
def fits(ints: Ints, reals: Reals, memories: int) -> bool:
    """Whether the tiles of the nest as it is cut fit every memory, and no cut falls."""
    last = outermost_reduction(ints, reals)
    for memory in range(memories):
        room = ints[MEMORY + memory, M_BITS]
        for operand in range(3):
            for level in range(ints[DEPTH, operand]):
                cut = ints[CUT + operand, level]
                if level > 0 and cut < ints[CUT + operand, level - 1]:
                    return False
                if ints[LEVEL + operand, level] == memory:
                    room -= bits_held(ints, operand, level, cut, last)
        if room < 0:
            return False
    return True


@njit
def next_cuts(ints: Ints) -> bool:
    """Go to the next of all combinations of cuts; False after the last, when all are 0 again."""
    for operand in range(3):
        for level in range(ints[DEPTH, operand] - 1):
            if ints[CUT + operand, level] < ints[COUNTS, LOOP_COUNT]:
                ints[CUT + operand, level] += 1
                return True
            ints[CUT + operand, level] = 0
    return False
