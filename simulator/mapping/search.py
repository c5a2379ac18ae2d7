"""The search for the best loop nest of a layer: every order of its loop factors, none twice.

Where the prime factors of the temporal loops have at most `budget` orders the search is
exhaustive in them; else factors are joined until they do (`tiling.split_loops`). Each order is cut
at the memories twice: as full as they go, and half full, which double-buffers them. Orders are
visited in one fixed sequence and a later nest must be strictly better, so the result never
depends on anything but the layer and the machine. No memory is allocated inside.
"""

from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.mapping.latency import cost_of_nest
from simulator.mapping.nest import (
    ENERGY,
    LATENCY,
    NEST_LOOPS,
    RESULTS,
    Nest,
    push,
    tiles_at,
)
from simulator.mapping.problem import MEMORIES, Floats, Ints, Problem
from simulator.mapping.tiling import allocate, split_loops

FOR_LATENCY, FOR_ENERGY, FOR_EDP = range(3)
OBJECTIVES: Final = ("latency", "energy", "edp")
BEST_COUNT, BEST_LOOPS = 0, 1
BEST_FACTORS: Final = BEST_LOOPS + NEST_LOOPS
BEST_CUTS: Final = BEST_FACTORS + NEST_LOOPS
MAPPING: Final = BEST_CUTS + 3 * MEMORIES
"""Columns of a mapping as int64: how many loops, loops, factors, cuts by operand and level."""


@njit
def score(objective: int, result: Floats) -> float:
    """The number to be least."""
    if objective == FOR_LATENCY:
        return float(result[LATENCY])
    if objective == FOR_ENERGY:
        return float(result[ENERGY])
    return float(result[LATENCY] * result[ENERGY])


@njit
def second_score(objective: int, result: Floats) -> float:
    """What decides between equals."""
    return float(result[LATENCY] if objective == FOR_ENERGY else result[ENERGY])


@njit
def keep(nest: Nest, best: Ints) -> None:
    """Write the nest as int64 [MAPPING]."""
    best[BEST_COUNT] = nest.count[0]
    for place in range(nest.count[0]):
        best[BEST_LOOPS + place] = nest.loops[place]
        best[BEST_FACTORS + place] = nest.factors[place]
    for operand in range(3):
        for level in range(MEMORIES):
            best[BEST_CUTS + operand * MEMORIES + level] = nest.cuts[operand, level]


@njit
def load(problem: Problem, mapping: Ints, nest: Nest) -> None:
    """Put the nest that `keep` wrote back in place."""
    nest.count[0] = mapping[BEST_COUNT]
    tiles_at(problem, nest, 0)
    for place in range(mapping[BEST_COUNT]):
        push(problem, nest, place, mapping[BEST_LOOPS + place], mapping[BEST_FACTORS + place])
    for operand in range(3):
        for level in range(MEMORIES):
            nest.cuts[operand, level] = mapping[BEST_CUTS + operand * MEMORIES + level]


@njit
def try_nest(
    problem: Problem, nest: Nest, memories: int, objective: int, best: Ints, least: Floats
) -> int:
    """Cost the order that the nest holds with both cuts; returns how many fitted."""
    tried = 0
    for half in range(2):
        if not allocate(problem, nest, memories, half == 1):
            return tried
        cost_of_nest(problem, nest)
        tried += 1
        first, second = score(objective, nest.result), second_score(objective, nest.result)
        if first < least[0] or (first == least[0] and second < least[1]):
            least[0], least[1] = first, second
            keep(nest, best)
    return tried


@njit
def search(
    problem: Problem, memories: int, objective: int, budget: int, nest: Nest, best: Ints
) -> int:
    """Find the best nest; writes it to `best` (int64 [MAPPING]) and its cost to the nest.

    Returns how many candidates were costed, 0 where none fits the memories.
    """
    loops = np.zeros(NEST_LOOPS, np.int64)
    factors = np.ones(NEST_LOOPS, np.int64)
    count = split_loops(problem, budget, loops, factors)
    left = np.ones(NEST_LOOPS, np.int64)
    kinds = 0
    for place in range(count):
        same = -1
        for kind in range(kinds):
            if loops[kind] == loops[place] and factors[kind] == factors[place]:
                same = kind
        if same >= 0:
            left[same] += 1
        else:
            loops[kinds], factors[kinds] = loops[place], factors[place]
            kinds += 1
    least = np.full(2, np.inf)
    chosen = np.full(NEST_LOOPS + 1, -1, np.int64)
    nest.count[0] = count
    tiles_at(problem, nest, 0)
    tried, depth = 0, 0
    if count == 0:
        tried = try_nest(problem, nest, memories, objective, best, least)
    while depth >= 0 and count > 0:
        kind = chosen[depth]
        if kind >= 0:
            left[kind] += 1
        kind += 1
        while kind < kinds and left[kind] == 0:
            kind += 1
        if kind == kinds:
            chosen[depth] = -1
            depth -= 1
            continue
        chosen[depth] = kind
        left[kind] -= 1
        push(problem, nest, depth, loops[kind], factors[kind])
        depth += 1
        if depth == count:
            tried += try_nest(problem, nest, memories, objective, best, least)
            depth -= 1
    if tried > 0:
        load(problem, best, nest)
        cost_of_nest(problem, nest)
    return tried
