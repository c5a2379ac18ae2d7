"""Least cost of every nest that begins with given inner loops: what lets a search skip the rest.

A tile that does not fit a memory alone with all of it free can never grow there: what crosses the
boundary above it is then known but for losses (words, neighbours, a smaller tile), which only add.
Boundaries that are still open carry each element at least once. Before the first step and after
the last, each level loads at least the tile of one step.
"""

import math
from typing import Final

from simulator.jit import njit
from simulator.mapping.latency import offload, onload
from simulator.mapping.layout import (
    AVERAGE,
    BITS,
    BOUND,
    BUSY,
    COUNTS,
    CROSSING,
    DEPTH,
    DRAIN_CYCLES,
    FIXED,
    HELD,
    INPUT,
    KX,
    KY,
    LARGEST,
    LEAST,
    LEVEL,
    LOADING,
    LOOP,
    LOWEST,
    M_BITS,
    MAC_ENERGY,
    MEMORY,
    NEAREST,
    OPEN,
    OUTPUT,
    OX,
    OY,
    REPEATS,
    SLOTS,
    SPENT,
    T_AVERAGE,
    T_INSTANCES,
    T_LARGEST,
    T_LEVEL,
    T_OPERAND,
    T_RATE,
    T_SIDE,
    T_SLOT,
    T_WAY,
    TOTAL,
    TRANSFER,
    TRANSFER_COUNT,
    TRANSFER_PRICE,
    WIDTH,
    Ints,
    Reals,
    boundary_row,
    level_row,
    reuses,
    spread_row,
    tile_row,
)
from simulator.mapping.nest import element_bits, moves
from simulator.mapping.problem import whole

ENERGY_BOUND, LATENCY_BOUND, LOADS = range(3)
"""Columns of a bound: femtojoules, cycles, then busy cycles of each port."""
LOADING_BOUND: Final = 2
"""Columns of `FIXED` from here on: least cycles of loading, then by operand the least part of a
boundary's elements that smaller tiles move together."""
SHRINK: Final = LOADING_BOUND + 1
_SAFE: Final = 1 - 1e-6


@njit
def shrinks(ints: Ints, reals: Reals, operand: int) -> float:
    """The least part of a tile's elements that its parts have together, counted as averages.

    Parts of an integer tile have at least its elements. An average over ragged folds may have a
    fraction, which is dropped from the input's rows, or rounded to the nearest. Finished sums may
    be wider than partial ones.
    """
    least = lowest = 1.0
    if operand == OUTPUT and ints[BITS, 3] > ints[BITS, OUTPUT]:
        least = ints[BITS, OUTPUT] / ints[BITS, 3]
    for level in range(ints[DEPTH, operand]):
        row, part, ragged = spread_row(AVERAGE, operand, level), 1.0, False
        for loop in range(8):
            ragged = ragged or whole(reals[row, loop]) < reals[row, loop] - 1e-9
        if operand == INPUT:
            for loop in (OY, OX, KY, KX):
                part *= whole(reals[row, loop]) / reals[row, loop]
        # From 1 on, rounding takes at most a third.
        if ragged and ints[COUNTS, NEAREST] != 0:
            part *= 2.0 / 3.0
        lowest = min(lowest, part)
    return least * lowest if least * lowest < _SAFE else 1.0


@njit
def lowest_at(ints: Ints, reals: Reals, place: int) -> None:
    """Fill the least femtojoules that cross each boundary with at most `place` loops within."""
    for operand in range(3):
        shrink = reals[FIXED, SHRINK + operand]
        for side in range(ints[DEPTH, operand]):
            boundary, energy = boundary_row(operand, side), 0.0
            for listed in range(ints[CROSSING + boundary, 0]):
                index = ints[CROSSING + boundary, 1 + listed]
                row = TRANSFER + index
                if shrink == 1.0:
                    energy += reals[SPENT + index, place]
                elif moves(ints, operand, ints[row, T_WAY], side, place):
                    elements = ints[row, T_AVERAGE]
                    if side > 0:
                        elements *= ints[tile_row(AVERAGE, operand, side - 1), place] - 1
                    bits = elements * ints[row, T_INSTANCES] * shrink * ints[REPEATS, place]
                    bits *= element_bits(ints, operand, side, place)
                    energy += bits * reals[TRANSFER_PRICE + index, 0]
            reals[LOWEST + boundary, place] = energy


@njit
def least_loading(ints: Ints, reals: Reals) -> float:
    """Cycles of loading and unloading that no nest undercuts: of the tiles of a single step.

    A transfer that happens once may overlap with computing, but for what the first step needs.
    """
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        row = TRANSFER + index
        operand, side, rate = ints[row, T_OPERAND], ints[row, T_SIDE], ints[row, T_RATE]
        width = ints[BITS, operand]
        if operand == OUTPUT:
            width = min(width, ints[BITS, 3])
        first, elements = ints[tile_row(LARGEST, operand, 0), 0], ints[row, T_LARGEST]
        if side > 0:
            elements *= ints[tile_row(LARGEST, operand, side - 1), 0]
        cycles = math.ceil(min(elements, first) * width / rate)
        reals[LOADING + 4 * operand + ints[row, T_WAY], ints[row, T_LEVEL]] = cycles
    return float(math.ceil(onload(ints, reals)) + math.ceil(offload(ints, reals)))


@njit
def full(ints: Ints, operand: int, side: int, place: int) -> bool:
    """Whether the tile of `place` loops overflows the memory, or the array needs other data."""
    if side == 0:
        return operand == OUTPUT or not reuses(operand, ints[LOOP, place - 1])
    width = ints[BITS, operand]
    if operand == OUTPUT:
        width = min(width, ints[BITS, 3])
    room = ints[MEMORY + ints[LEVEL + operand, side - 1], M_BITS]
    return bool(ints[HELD + level_row(operand, side - 1), place] * width > room)


@njit
def start_bound(ints: Ints, reals: Reals, count: int) -> None:
    """The bound of no loops at all: every element crosses every boundary once.

    The nest must hold all `count` loops in some order, for the tiles of the whole layer.
    """
    for column in range(WIDTH):
        reals[BOUND + 0, column] = 0.0
    for operand in range(3):
        reals[FIXED, SHRINK + operand] = shrinks(ints, reals, operand)
    reals[FIXED, LOADING_BOUND] = least_loading(ints, reals)
    lowest_at(ints, reals, 0)
    lowest_at(ints, reals, count)
    energy = reals[FIXED, MAC_ENERGY]
    for operand in range(3):
        ints[OPEN + 0, operand] = 0
        for side in range(ints[DEPTH, operand]):
            reals[LEAST + operand, side] = reals[LOWEST + boundary_row(operand, side), count]
            energy += reals[LEAST + operand, side]
    reals[BOUND + 0, ENERGY_BOUND] = energy
    reals[BOUND + 0, LATENCY_BOUND] = ints[COUNTS, TOTAL]


@njit
def close(ints: Ints, reals: Reals, operand: int, side: int, place: int) -> None:
    """Add to the bound at `place` what crosses a boundary with at most one loop less within."""
    boundary = boundary_row(operand, side)
    energy = reals[LOWEST + boundary, place - 1] - reals[LEAST + operand, side]
    reals[BOUND + place, ENERGY_BOUND] += max(0.0, energy)
    again = ints[REPEATS, place - 1] - 1
    if operand == OUTPUT and ints[BITS, 3] > ints[BITS, OUTPUT]:
        return
    for listed in range(ints[CROSSING + boundary, 0]):
        index = ints[CROSSING + boundary, 1 + listed]
        slot = LOADS + ints[TRANSFER + index, T_SLOT]
        reals[BOUND + place, slot] += ints[BUSY + index, place - 1] * again
        if reals[BOUND + place, slot] > reals[BOUND + place, LATENCY_BOUND]:
            reals[BOUND + place, LATENCY_BOUND] = reals[BOUND + place, slot]


@njit
def advance_bound(ints: Ints, reals: Reals, place: int) -> None:
    """Fill the bound at `place` loops from the one at `place - 1`."""
    for column in range(LOADS + ints[COUNTS, SLOTS]):
        reals[BOUND + place, column] = reals[BOUND + place - 1, column]
    for operand in range(3):
        side = ints[OPEN + place - 1, operand]
        while side < ints[DEPTH, operand] and full(ints, operand, side, place):
            close(ints, reals, operand, side, place)
            side += 1
        ints[OPEN + place, operand] = side


@njit
def least_energy(ints: Ints, reals: Reals, place: int) -> float:
    """Femtojoules that no nest with these inner loops undercuts."""
    return float(reals[BOUND + place, ENERGY_BOUND] * _SAFE)


@njit
def least_latency(ints: Ints, reals: Reals, place: int) -> float:
    """Cycles that no nest with these inner loops undercuts."""
    fixed = reals[FIXED, DRAIN_CYCLES] + reals[FIXED, LOADING_BOUND]
    return float(reals[BOUND + place, LATENCY_BOUND] + fixed)
