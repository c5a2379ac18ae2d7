"""The search for the best loop nest of a layer: every order of its loop factors, none twice.

Where the prime factors of the temporal loops have at most `budget` orders the search is
exhaustive in them; else factors are joined until they do (`tiling.split_loops`). Each order is cut
at the memories twice: as full as they go, and half full, which double-buffers them; or in every
way that fits, for small layers. Orders are
visited in one fixed sequence, depth first from the innermost loop; what cannot beat the best nest
so far (`bounds`) is skipped; a later nest must be strictly better. So the result depends on
nothing but the layer and the machine, and memory does not grow with the candidates.
"""

from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.mapping.borrowed import borrowed
from simulator.mapping.bounds import (
    LOADING_BOUND,
    advance_bound,
    least_energy,
    least_latency,
    start_bound,
)
from simulator.mapping.latency import cost_of_nest, latency_of
from simulator.mapping.layout import (
    COUNTS,
    CUT,
    DEPTH,
    FACTOR,
    FIXED,
    INNERMOST,
    LEAK,
    LOOP,
    LOOP_COUNT,
    MEMORIES,
    NEST_LOOPS,
    OUTERMOST,
    SCRATCH,
    Ints,
    Reals,
)
from simulator.mapping.nest import energy_of, extend, push, set_levels, start_nest
from simulator.mapping.states import empty_states, visit
from simulator.mapping.tiling import (
    HALF_FULL,
    MOST_FACTORS,
    NO_ROOM,
    allocate,
    fits,
    next_cuts,
    split_loops,
)

FOR_LATENCY, FOR_ENERGY, FOR_EDP = range(3)
OBJECTIVES: Final = ("latency", "energy", "edp")
BEST_COUNT, BEST_LOOPS = 0, 1
BEST_FACTORS: Final = BEST_LOOPS + NEST_LOOPS
BEST_CUTS: Final = BEST_FACTORS + NEST_LOOPS
MAPPING: Final = BEST_CUTS + 3 * MEMORIES
"""Columns of a mapping as int64: how many loops, loops, factors, cuts by operand and level."""
FREE_CUTS: Final = -1
"""In place of a mapping's first cut: the order is given, the cuts are not."""
COSTED, DECIDED = range(2)
"""What a search tells: nests costed in full, and nests decided, those skipped included."""


@njit
def score(objective: int, latency: float, energy: float, leak: float) -> float:
    """The number to be least; energy is that of the accesses and what leaks in the latency."""
    if objective == FOR_LATENCY:
        return latency
    # A nest that was given up has an infinite latency, of which nothing would be no number.
    whole = energy + leak * latency if leak > 0.0 else energy
    return whole if objective == FOR_ENERGY else latency * whole


@njit
def decider(objective: int, latency: float, energy: float, scored: float) -> float:
    """What decides between equal scores: the other cost; the latency where nothing costs energy."""
    if objective == FOR_ENERGY or (objective == FOR_EDP and scored == 0.0):
        return latency
    return energy


@njit
def keep(ints: Ints, reals: Reals, best: Ints) -> None:
    """Write the nest as int64 [MAPPING]."""
    best[BEST_COUNT] = ints[COUNTS, LOOP_COUNT]
    for place in range(ints[COUNTS, LOOP_COUNT]):
        best[BEST_LOOPS + place] = ints[LOOP, place]
        best[BEST_FACTORS + place] = ints[FACTOR, place]
    for operand in range(3):
        for level in range(MEMORIES):
            best[BEST_CUTS + operand * MEMORIES + level] = ints[CUT + operand, level]


@njit
def load(ints: Ints, reals: Reals, mapping: Ints) -> None:
    """Put the nest that `keep` wrote back in place."""
    start_nest(ints, reals, mapping[BEST_COUNT])
    for place in range(mapping[BEST_COUNT]):
        push(ints, reals, place, mapping[BEST_LOOPS + place], mapping[BEST_FACTORS + place])
    for operand in range(3):
        for level in range(MEMORIES):
            ints[CUT + operand, level] = mapping[BEST_CUTS + operand * MEMORIES + level]


@njit
def worse(objective: int, latency: float, energy: float, leak: float, least: Reals) -> bool:
    """Whether a nest at least this costly is no better than the best: float64 [2], both scores."""
    first = score(objective, latency, energy, leak)
    second = decider(objective, latency, energy, first)
    return bool(first > least[0] or (first == least[0] and second >= least[1]))


@njit
def try_cuts(ints: Ints, reals: Reals, objective: int, best: Ints, least: Reals) -> None:
    """Cost the nest as it is cut, no further than it may still be the best; keep it if it is."""
    set_levels(ints, reals)
    energy, loading, leak = 0.0, reals[FIXED, LOADING_BOUND], reals[FIXED, LEAK]
    limit = least[0] - loading
    if objective != FOR_LATENCY:
        energy = energy_of(ints, reals)
        if worse(objective, 0.0, energy, leak, least):
            return
        limit = np.inf
        if objective == FOR_EDP and energy > 0.0:
            limit = least[0] / energy - loading
    latency = latency_of(ints, reals, limit)
    if objective == FOR_LATENCY and latency <= least[0]:
        energy = energy_of(ints, reals)
    if not worse(objective, latency, energy, leak, least):
        least[0] = score(objective, latency, energy, leak)
        least[1] = decider(objective, latency, energy, least[0])
        keep(ints, reals, best)


@njit
def same_cuts(ints: Ints) -> bool:
    """Whether the nest is cut as when it was last asked; notes its cuts in row 6 of `SCRATCH`."""
    same, at = True, 0
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            cut = ints[CUT + operand, level]
            same = same and ints[SCRATCH + 6, at] == cut
            ints[SCRATCH + 6, at] = cut
            at += 1
    return same


@njit
def try_order(
    ints: Ints, reals: Reals, memories: int, objective: int, best: Ints, least: Reals
) -> int:
    """Cost the order that the nest holds with both cuts; returns how many fitted and differed."""
    filled, costed = allocate(ints, reals, memories, False), 0
    if filled != NO_ROOM:
        same_cuts(ints)
        try_cuts(ints, reals, objective, best, least)
        costed = 1
    # What fills a memory may leave too little room in the next one, where half of it fits.
    if filled == HALF_FULL or allocate(ints, reals, memories, True) == NO_ROOM:
        return costed
    if same_cuts(ints) and filled != NO_ROOM:
        return costed
    try_cuts(ints, reals, objective, best, least)
    return costed + 1


@njit
def try_all_cuts(
    ints: Ints, reals: Reals, memories: int, objective: int, best: Ints, least: Reals
) -> int:
    """Cost the order that the nest holds with every cut that fits; returns how many."""
    asked = ints[SCRATCH + 7]
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            ints[CUT + operand, level] = 0
        ints[CUT + operand, ints[DEPTH, operand] - 1] = ints[COUNTS, LOOP_COUNT]
    found, more = 0, True
    while more:
        for k in range(3 * MEMORIES):
            asked[k] = ints[CUT + k // MEMORIES, k % MEMORIES]
        if fits(ints, reals, memories):
            found += 1
            try_cuts(ints, reals, objective, best, least)
        # Costing sinks the cuts below reuse: go on from those that were asked for.
        for k in range(3 * MEMORIES):
            ints[CUT + k // MEMORIES, k % MEMORIES] = asked[k]
        more = next_cuts(ints)
    return found


@njit
def allowed(ints: Ints, loops: Ints, left: Ints, kinds: int, loop: int) -> bool:
    """Whether a loop may come next, by what must be innermost and outermost."""
    for place in range(8):
        first = ints[INNERMOST, place]
        if first < 0 or first == loop:
            break
        if loops_left(loops, left, kinds, first) > 0:
            return False
    for place in range(8):
        if ints[OUTERMOST, place] < 0:
            return True
        if ints[OUTERMOST, place] != loop:
            continue
        # Everything that is not further out must be placed before.
        for kind in range(kinds):
            further = False
            for out in range(place + 1):
                further = further or ints[OUTERMOST, out] == loops[kind]
            if left[kind] > 0 and not further:
                return False
    return True


@njit
def loops_left(loops: Ints, left: Ints, kinds: int, loop: int) -> int:
    """How many factors of a loop are still to be placed."""
    found = 0
    for kind in range(kinds):
        if loops[kind] == loop:
            found += left[kind]
    return found


@njit
def orders_left(left: Ints, kinds: int) -> float:
    """Distinct orders of the loops that are left: a multinomial."""
    orders, placed = 1.0, 0
    for kind in range(kinds):
        for same in range(left[kind]):
            placed += 1
            orders *= placed / (same + 1)
    return orders


@njit
def group_equal(loops: Ints, factors: Ints, count: int, left: Ints) -> int:
    """Move distinct loops to the front, counting each in `left`; returns how many."""
    kinds = 0
    for place in range(count):
        same = kinds
        for kind in range(kinds):
            if loops[kind] == loops[place] and factors[kind] == factors[place]:
                same = kind
        if same == kinds:
            loops[kinds], factors[kinds] = loops[place], factors[place]
            left[kinds] = 0
            kinds += 1
        left[same] += 1
    return kinds


@njit
def set_strides(left: Ints, kinds: int, strides: Ints) -> None:
    """What a loop of each kind adds to the number of a state (`simulator.mapping.states`)."""
    states = 1
    for kind in range(kinds):
        strides[kind] = states
        states *= left[kind] + 1


@njit
def next_kind(ints: Ints, loops: Ints, left: Ints, kinds: int, kind: int) -> int:
    """The first kind from `kind` on that may come next; `kinds` where there is none."""
    free = ints[INNERMOST, 0] < 0 and ints[OUTERMOST, 0] < 0
    while kind < kinds and (
        left[kind] == 0 or not (free or allowed(ints, loops, left, kinds, loops[kind]))
    ):
        kind += 1
    return kind


@njit
def search(
    ints: Ints,
    reals: Reals,
    memories: int,
    objective: int,
    budget: int,
    every_cut: bool,
    best: Ints,
    told: Reals,
) -> bool:
    """Find the best nest; writes it to `best` (int64 [MAPPING]) and its cost to the nest.

    Adds to `told` float64 [2] how many nests were costed and decided. False where none fits.
    """
    # All arrays of this frame outlive the calls below.
    owned_ints, owned_reals, owned_best = ints, reals, best
    ints, reals, best = borrowed(owned_ints), borrowed(owned_reals), borrowed(owned_best)
    loops = np.zeros(MOST_FACTORS, np.int64)
    factors = np.ones(MOST_FACTORS, np.int64)
    left, strides = np.zeros(NEST_LOOPS, np.int64), np.zeros(NEST_LOOPS, np.int64)
    chosen = np.full(NEST_LOOPS + 1, -1, np.int64)
    owned_least = np.full(2, np.inf)
    least = borrowed(owned_least)
    count = split_loops(ints, reals, budget, loops, factors)
    start_nest(ints, reals, count)
    for place in range(count):
        push(ints, reals, place, loops[place], factors[place])
    start_bound(ints, reals, count)
    kinds = group_equal(loops, factors, count, left)
    set_strides(left, kinds, strides)
    owned_known, owned_costs = empty_states(left, kinds)
    known, costs = borrowed(owned_known), borrowed(owned_costs)
    depth, state = 0, 0
    if count == 0:
        costed = try_order(ints, reals, memories, objective, best, least)
        told[COSTED] += costed
        told[DECIDED] += costed
    while depth >= 0 and count > 0:
        kind = chosen[depth]
        if kind >= 0:
            left[kind] += 1
            state -= strides[kind]
        kind = next_kind(ints, loops, left, kinds, kind + 1)
        chosen[depth] = kind
        if kind == kinds:
            chosen[depth] = -1
            depth -= 1
            continue
        left[kind] -= 1
        state += strides[kind]
        extend(ints, reals, depth, loops[kind], factors[kind])
        if depth + 1 < count:
            visit(ints, reals, depth + 1, state, known, costs)
        advance_bound(ints, reals, depth + 1)
        cycles = least_latency(ints, reals, depth + 1)
        energy = least_energy(ints, reals, depth + 1)
        if worse(objective, cycles, energy, reals[FIXED, LEAK], least):
            told[DECIDED] += orders_left(left, kinds)
        elif depth + 1 == count:
            costed = 0
            if every_cut:
                costed = try_all_cuts(ints, reals, memories, objective, best, least)
            else:
                costed = try_order(ints, reals, memories, objective, best, least)
            told[COSTED] += costed
            told[DECIDED] += max(1, costed)
        else:
            depth += 1
    if owned_least[0] == np.inf or owned_known.shape[0] + owned_costs.shape[0] == 0:
        return False
    load(ints, reals, best)
    cost_of_nest(owned_ints, owned_reals)
    return bool(owned_best.shape[0] > 0)
