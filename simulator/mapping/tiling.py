"""Factors of the temporal loops, how many orders they have, and where each memory cuts them."""

import numpy as np

from simulator.jit import njit
from simulator.mapping.nest import NEST_LOOPS, Nest, outermost_reduction
from simulator.mapping.problem import (
    M_BITS,
    M_HOLDS,
    OUTPUT,
    Ints,
    Problem,
)


@njit
def prime_factors(number: int, factors: Ints) -> int:
    """Write the primes of a number, smallest first; returns how many."""
    count, prime = 0, 2
    while number > 1 and count < NEST_LOOPS:
        if prime * prime > number:
            prime = number
        while number % prime == 0 and count < NEST_LOOPS:
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
def split_loops(problem: Problem, budget: int, loops: Ints, factors: Ints) -> int:
    """Split the temporal loops into primes, joined again until their orders fit the budget.

    The loop with the most factors has its two smallest joined first, as ZigZag limits its loop
    prime factors (LOMA; Symons et al., AICAS 2021). Returns how many there are.
    """
    count = 0
    for loop in range(8):
        found = prime_factors(problem.temporal[loop], factors[count:])
        for place in range(count, count + found):
            loops[place] = loop
        count += found
    while count > 1 and orders_of(loops, factors, count) > budget:
        loop = most_split(loops, count)
        fewer = merge_smallest(loops, factors, count, loop)
        if fewer == count:
            break
        count = fewer
    return count


@njit
def bits_held(problem: Problem, nest: Nest, operand: int, level: int, place: int, last: int) -> int:
    """Bits of a tile in one instance of a level, the larger of the average and largest fold."""
    tiles = nest.tiles
    elements = max(tiles[0, operand, level, place], tiles[1, operand, level, place])
    bits = problem.bits[operand]
    if operand == OUTPUT and problem.reduces[level] == 0:
        below = nest.cuts[OUTPUT, level - 1] if level > 0 else 0
        if last <= below:
            bits = problem.bits[3]
    return int(elements * bits)


@njit
def moved_above(problem: Problem, nest: Nest, operand: int, level: int, place: int) -> float:
    """Elements that a level with its cut at `place` has moved from or to the level above."""
    if level == problem.depth[operand] - 1:
        return 0.0
    again = nest.cycles[nest.count[0]] // nest.cycles[place]
    return float(again * nest.tiles[0, operand, level, place])


@njit
def deepest(problem: Problem, nest: Nest, operand: int, level: int, low: int, room: int) -> int:
    """The outermost cut from `low` on whose tile fits the room, or -1."""
    last = outermost_reduction(nest)
    place = nest.count[0]
    while place >= low and bits_held(problem, nest, operand, level, place, last) > room:
        place -= 1
    return place if place >= low else -1


@njit
def share(
    problem: Problem, nest: Nest, users: Ints, levels: Ints, count: int, room: int, picked: Ints
) -> bool:
    """Cut the operands of one memory: the split that moves the fewest elements from above.

    `users` int64 [count] are operands, `levels` where the memory is on their chains. Fills
    `picked` int64 [3]; False where not even the innermost cuts fit.
    """
    last = outermost_reduction(nest)
    loops = nest.count[0]
    low = np.zeros(3, np.int64)
    for user in range(count):
        operand, level = users[user], levels[user]
        low[user] = nest.cuts[operand, level - 1] if level > 0 else 0
        if level == problem.depth[operand] - 1:
            low[user] = loops
    final = count - 1
    trial = np.full(3, loops, np.int64)
    best = -1.0
    while True:
        left, moved = room, 0.0
        for user in range(final):
            operand, level = users[user], levels[user]
            left -= bits_held(problem, nest, operand, level, trial[user], last)
            moved += moved_above(problem, nest, operand, level, trial[user])
        if left >= 0 and (best < 0.0 or moved < best):
            operand, level = users[final], levels[final]
            place = deepest(problem, nest, operand, level, low[final], left)
            if place >= 0:
                moved += moved_above(problem, nest, operand, level, place)
                if best < 0.0 or moved < best:
                    best = moved
                    trial[final] = place
                    picked[:] = trial
                if place == loops and _all_outermost(trial, final, loops):
                    return True
        step = final - 1
        while step >= 0 and trial[step] == low[step]:
            trial[step] = loops
            step -= 1
        if step < 0:
            return best >= 0.0
        trial[step] -= 1


@njit
def _all_outermost(trial: Ints, count: int, loops: int) -> bool:
    for user in range(count):
        if trial[user] != loops:
            return False
    return True


@njit
def allocate(problem: Problem, nest: Nest, memories: int, half: bool) -> bool:
    """Cut the loops at every memory, inner to outer, keeping as much in each as it can hold.

    With `half`, a memory takes tiles of at most half its size where it can, so that it is
    double-buffered. False where the tiles that the unrolling needs do not fit.
    """
    at = np.zeros(3, np.int64)
    users = np.zeros(3, np.int64)
    levels = np.zeros(3, np.int64)
    picked = np.zeros(3, np.int64)
    for memory in range(memories):
        count = 0
        for operand in range(3):
            if (problem.memory[memory, M_HOLDS] >> operand) & 1:
                users[count], levels[count] = operand, at[operand]
                at[operand] += 1
                count += 1
        room = problem.memory[memory, M_BITS]
        fits = half and share(problem, nest, users, levels, count, room // 2, picked)
        if not fits and not share(problem, nest, users, levels, count, room, picked):
            return False
        for user in range(count):
            nest.cuts[users[user], levels[user]] = picked[user]
    return True
