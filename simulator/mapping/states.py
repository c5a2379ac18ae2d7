"""Tables by set of inner loops: what one order of them filled, every other order copies.

Loops that are alike form a kind; a state says how many of each kind run within a boundary. There
are far fewer states than orders, so that these tables stay small.
"""

from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.mapping.bounds import lowest_at
from simulator.mapping.layout import (
    AVERAGE,
    BUSY,
    COUNTS,
    DEPTH,
    HELD,
    LARGEST,
    LOWEST,
    MEMORIES,
    MOVED,
    PARTIAL,
    SPENT,
    TRANSFER_COUNT,
    WORDS,
    Ints,
    Reals,
    boundary_row,
    level_row,
    tile_row,
)
from simulator.mapping.nest import fill_place

COLUMNS: Final = 2 + 3 * MEMORIES * 3 + 2 * 3 * MEMORIES * 4
"""The most columns of a state: known, mask, and by level tiles, by transfer cycles and words."""


@njit
def empty_states(left: Ints, kinds: int) -> tuple[Ints, Reals]:
    """Tables for every state of so many loops of each kind: none known."""
    states = 1
    for kind in range(kinds):
        states *= left[kind] + 1
    known = np.empty((states, COLUMNS), np.int64)
    known[:, 0] = 0
    return known, np.empty((states, COLUMNS), np.float64)


@njit
def remember(ints: Ints, reals: Reals, place: int, state: int, known: Ints, costs: Reals) -> None:
    """Write what depends on the innermost `place` loops to one state's rows."""
    known[state, 0], known[state, 1] = 1, ints[PARTIAL, place]
    at, real = 2, 0
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            known[state, at] = ints[tile_row(AVERAGE, operand, level), place]
            known[state, at + 1] = ints[tile_row(LARGEST, operand, level), place]
            known[state, at + 2] = ints[HELD + level_row(operand, level), place]
            costs[state, real] = reals[MOVED + level_row(operand, level), place]
            costs[state, real + 1] = reals[LOWEST + boundary_row(operand, level), place]
            at, real = at + 3, real + 2
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        known[state, at + 2 * index] = ints[BUSY + index, place]
        known[state, at + 2 * index + 1] = ints[WORDS + index, place]
        costs[state, real + index] = reals[SPENT + index, place]


@njit
def recall(ints: Ints, reals: Reals, place: int, state: int, known: Ints, costs: Reals) -> None:
    """Read what `remember` wrote: all that costing needs."""
    ints[PARTIAL, place] = known[state, 1]
    at, real = 2, 0
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            ints[tile_row(AVERAGE, operand, level), place] = known[state, at]
            ints[tile_row(LARGEST, operand, level), place] = known[state, at + 1]
            ints[HELD + level_row(operand, level), place] = known[state, at + 2]
            reals[MOVED + level_row(operand, level), place] = costs[state, real]
            reals[LOWEST + boundary_row(operand, level), place] = costs[state, real + 1]
            at, real = at + 3, real + 2
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        ints[BUSY + index, place] = known[state, at + 2 * index]
        ints[WORDS + index, place] = known[state, at + 2 * index + 1]
        reals[SPENT + index, place] = costs[state, real + index]


@njit
def visit(ints: Ints, reals: Reals, place: int, state: int, known: Ints, costs: Reals) -> None:
    """Fill what follows from the innermost `place` loops, from their state where it is known."""
    if known[state, 0] != 0:
        recall(ints, reals, place, state, known, costs)
        return
    fill_place(ints, reals, place)
    lowest_at(ints, reals, place)
    remember(ints, reals, place, state, known, costs)
