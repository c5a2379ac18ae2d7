"""Factors of the temporal loops, how many orders they have, and where each memory cuts them."""

from typing import Final

from simulator.jit import njit
from simulator.mapping.layout import (
    COUNTS,
    CUT,
    DEPTH,
    HELD,
    LEVEL,
    LOOP_COUNT,
    M_BITS,
    MEMORY,
    MOVED,
    NEST_LOOPS,
    SCRATCH,
    TEMPORAL,
    USERS,
    Ints,
    Reals,
    level_row,
)
from simulator.mapping.nest import element_bits

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
def lowest_cut(ints: Ints, operand: int, level: int) -> int:
    """The innermost cut a level may have: what lies below it, or all loops in the outermost."""
    if level == ints[DEPTH, operand] - 1:
        return int(ints[COUNTS, LOOP_COUNT])
    return int(ints[CUT + operand, level - 1]) if level > 0 else 0


@njit
def held_bits(ints: Ints, operand: int, level: int) -> int:
    """Bits of an element as a level holds it, finished sums where no partial ones come from below.

    The cut of the level below must be known.
    """
    below = ints[CUT + operand, level - 1] if level > 0 else 0
    return int(element_bits(ints, operand, level, below))


@njit
def deepest(ints: Ints, row: int, low: int, width: int, room: int) -> int:
    """The outermost cut from `low` on whose tile fits, or -1.

    `row` is the row of the tiles, which never shrink outwards, `width` the bits of an element.
    """
    place = low
    while place <= ints[COUNTS, LOOP_COUNT] and ints[row, place] * width <= room:
        place += 1
    return place - 1 if place > low else -1


@njit
def share_two(
    ints: Ints, reals: Reals, memory: int, first: int, room: int, moved: float, best: float
) -> float:
    """Cut the users `first` and the next of a memory: the split that moves the fewest elements.

    `room` is left for them and `moved` is what other users move; a split must be better than
    `best`, which is negative where there is none. Writes the cuts to row 7 of `SCRATCH`; returns
    their moves, or `best`. As the first user's cut goes inwards, the second's goes outwards.
    """
    row, loops = USERS + memory, ints[COUNTS, LOOP_COUNT]
    one = level_row(ints[row, 1 + 2 * first], ints[row, 2 + 2 * first])
    two = level_row(ints[row, 3 + 2 * first], ints[row, 4 + 2 * first])
    place, low = ints[SCRATCH, first + 1] - 1, ints[SCRATCH, first + 1]
    wide, width = ints[SCRATCH + 1, first], ints[SCRATCH + 1, first + 1]
    for trial in range(loops, ints[SCRATCH, first] - 1, -1):
        left = room - ints[HELD + one, trial] * wide
        if left < 0:
            continue
        while place < loops and ints[HELD + two, place + 1] * width <= left:
            place += 1
        if place < low:
            continue
        crossed = moved + reals[MOVED + one, trial] + reals[MOVED + two, place]
        if best < 0.0 or crossed < best:
            best = crossed
            ints[SCRATCH + 7, first], ints[SCRATCH + 7, first + 1] = trial, place
        if trial == loops and place == loops:
            break
    return best


@njit
def share(ints: Ints, reals: Reals, memory: int, room: int) -> bool:
    """Cut the operands of one memory: the split that moves the fewest elements from above.

    `SCRATCH` gets the cuts in its row 7. False where not even the innermost cuts fit.
    """
    row, loops = USERS + memory, ints[COUNTS, LOOP_COUNT]
    for user in range(ints[row, 0]):
        operand, level = ints[row, 1 + 2 * user], ints[row, 2 + 2 * user]
        ints[SCRATCH, user] = lowest_cut(ints, operand, level)
        ints[SCRATCH + 1, user] = held_bits(ints, operand, level)
    if ints[row, 0] == 2:
        return bool(share_two(ints, reals, memory, 0, room, 0.0, -1.0) >= 0.0)
    one, best = level_row(ints[row, 1], ints[row, 2]), -1.0
    for trial in range(loops, ints[SCRATCH, 0] - 1, -1):
        left = room - ints[HELD + one, trial] * ints[SCRATCH + 1, 0]
        moved = reals[MOVED + one, trial]
        if left < 0 or (best >= 0.0 and moved >= best):
            continue
        found = share_two(ints, reals, memory, 1, left, moved, best)
        if found >= 0.0 and (best < 0.0 or found < best):
            best = found
            ints[SCRATCH + 7, 0] = trial
        # All fits: no other split moves less. Row 7 holds another search's cuts until then.
        whole = ints[SCRATCH + 7, 1] == loops and ints[SCRATCH + 7, 2] == loops
        if best >= 0.0 and trial == loops and whole:
            break
    return best >= 0.0


@njit
def cut_memory(ints: Ints, reals: Reals, memory: int, room: int) -> bool:
    """Cut the users of one memory, into row 7 of `SCRATCH`."""
    row = USERS + memory
    if ints[row, 0] > 1:
        return bool(share(ints, reals, memory, room))
    operand, level = ints[row, 1], ints[row, 2]
    low, width = lowest_cut(ints, operand, level), held_bits(ints, operand, level)
    place = deepest(ints, HELD + level_row(operand, level), low, width, room)
    ints[SCRATCH + 7, 0] = place
    return bool(place >= 0)


@njit
def allocate(ints: Ints, reals: Reals, memories: int, half: bool) -> int:
    """Cut the loops at every memory, inner to outer, keeping as much in each as it can hold.

    With `half`, a memory takes tiles of at most half its size where it can, so that it is
    double-buffered. Returns NO_ROOM where the tiles that the unrolling needs do not fit, and
    HALF_FULL where no memory is more than half full.
    """
    answer = HALF_FULL
    for memory in range(memories):
        room, row, used = ints[MEMORY + memory, M_BITS], USERS + memory, 0
        halved = half and cut_memory(ints, reals, memory, room // 2)
        if not halved and not cut_memory(ints, reals, memory, room):
            return NO_ROOM
        for user in range(ints[row, 0]):
            operand, level = ints[row, 1 + 2 * user], ints[row, 2 + 2 * user]
            cut = ints[SCRATCH + 7, user]
            ints[CUT + operand, level] = cut
            held = ints[HELD + level_row(operand, level), cut]
            used += held * held_bits(ints, operand, level)
        if used > room // 2:
            answer = FULLER
    return answer


@njit
def bits_held(ints: Ints, operand: int, level: int) -> int:
    """Bits of a tile in one instance of a level of the nest as it is cut."""
    held = ints[HELD + level_row(operand, level), ints[CUT + operand, level]]
    return int(held * held_bits(ints, operand, level))


@njit
def fits(ints: Ints, reals: Reals, memories: int) -> bool:
    """Whether the tiles of the nest as it is cut fit every memory, and no cut falls."""
    for memory in range(memories):
        room = ints[MEMORY + memory, M_BITS]
        for operand in range(3):
            for level in range(ints[DEPTH, operand]):
                cut = ints[CUT + operand, level]
                if level > 0 and cut < ints[CUT + operand, level - 1]:
                    return False
                if ints[LEVEL + operand, level] == memory:
                    room -= bits_held(ints, operand, level)
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
