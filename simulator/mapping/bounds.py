"""Least cost of every nest that begins with given inner loops: what lets a search skip the rest.

A tile that does not fit a memory alone with all of it free can never grow there: what crosses the
boundary above it is then known but for losses (words, neighbours, a smaller tile), which only add.
Boundaries that are still open carry each element at least once.
"""

from typing import Final

from simulator.jit import njit
from simulator.mapping.layout import (
    AVERAGE,
    BITS,
    BOUND,
    COUNTS,
    CYCLES,
    DEPTH,
    DRAIN_CYCLES,
    FIXED,
    IC,
    KX,
    KY,
    LARGEST,
    LEAST,
    LEVEL,
    LOOP,
    M_BITS,
    MAC_ENERGY,
    MEMORY,
    OPEN,
    OUTPUT,
    REDUCES,
    SIZE,
    T_AVERAGE,
    T_INSTANCES,
    T_LARGEST,
    T_OPERAND,
    T_RATE,
    T_SIDE,
    T_SLOT,
    T_WAY,
    TEMPORAL,
    TRANSFER,
    TRANSFER_COUNT,
    TRANSFER_PRICE,
    WIDTH,
    Ints,
    Reals,
    inwards,
    reuses,
    tile_row,
)

ENERGY_BOUND: Final = 0
LOADS: Final = 1
"""Columns of a bound: femtojoules, then busy cycles of each port."""
_SAFE: Final = 1 - 1e-6


@njit
def partial_beyond(ints: Ints, reals: Reals, side: int, place: int) -> bool:
    """Whether sums are still partial above the boundary `side` with `place` loops within it."""
    if side < ints[DEPTH, OUTPUT] and ints[REDUCES, side] != 0:
        return True
    inside = reals[SIZE + place, IC] * reals[SIZE + place, KY] * reals[SIZE + place, KX]
    return bool(inside < ints[TEMPORAL, IC] * ints[TEMPORAL, KY] * ints[TEMPORAL, KX])


@njit
def cross(ints: Ints, reals: Reals, operand: int, side: int, place: int, at: int) -> float:
    """Femtojoules that cross a boundary (0: the array's) with `place` loops within it.

    Adds the busy cycles of the ports to the bound at `at`, unless that is negative.
    """
    energy = 0.0
    partial = operand == OUTPUT and partial_beyond(ints, reals, side, place)
    width = ints[BITS, operand]
    if operand == OUTPUT and not partial:
        width = min(width, ints[BITS, 3])
    periods = total_cycles(ints, reals) / ints[CYCLES, place]
    average = largest = 1
    if side > 0:
        average = ints[tile_row(AVERAGE, operand, side - 1), place]
        largest = ints[tile_row(LARGEST, operand, side - 1), place]
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        row = TRANSFER + index
        if ints[row, T_OPERAND] != operand or ints[row, T_SIDE] != side:
            continue
        if operand == OUTPUT and not partial and inwards(ints[row, T_WAY]):
            continue
        bits = average * ints[row, T_AVERAGE] * width * periods * ints[row, T_INSTANCES]
        energy += bits * reals[TRANSFER_PRICE + index, 0]
        if at >= 0:
            busy = largest * ints[row, T_LARGEST] * width / ints[row, T_RATE] * (periods - 1)
            reals[BOUND + at, LOADS + ints[row, T_SLOT]] += busy
    return energy


@njit
def total_cycles(ints: Ints, reals: Reals) -> float:
    """Steps of all temporal loops."""
    cycles = 1.0
    for loop in range(8):
        cycles *= ints[TEMPORAL, loop]
    return cycles


@njit
def full(ints: Ints, reals: Reals, operand: int, side: int, place: int) -> bool:
    """Whether the tile of `place` loops overflows the memory, or the array needs other data."""
    if side == 0:
        return operand == OUTPUT or not reuses(operand, ints[LOOP, place - 1])
    width = ints[BITS, operand]
    if operand == OUTPUT:
        width = min(width, ints[BITS, 3])
    room = ints[MEMORY + ints[LEVEL + operand, side - 1], M_BITS]
    return bool(ints[tile_row(AVERAGE, operand, side - 1), place] * width > room)


@njit
def start_bound(ints: Ints, reals: Reals, count: int) -> None:
    """The bound of no loops at all: every element crosses every boundary once.

    The nest must hold all `count` loops in some order, for the tiles of the whole layer.
    """
    for column in range(WIDTH):
        reals[BOUND + 0, column] = 0.0
    energy = reals[FIXED, MAC_ENERGY]
    for operand in range(3):
        ints[OPEN + 0, operand] = 0
        for side in range(ints[DEPTH, operand]):
            reals[LEAST + operand, side] = cross(ints, reals, operand, side, count, -1)
            energy += reals[LEAST + operand, side]
    reals[BOUND + 0, ENERGY_BOUND] = energy


@njit
def advance_bound(ints: Ints, reals: Reals, place: int, slots: int) -> None:
    """Fill the bound at `place` loops from the one at `place - 1`."""
    for column in range(LOADS + slots):
        reals[BOUND + place, column] = reals[BOUND + place - 1, column]
    for operand in range(3):
        side = ints[OPEN + place - 1, operand]
        while side < ints[DEPTH, operand] and full(ints, reals, operand, side, place):
            energy = cross(ints, reals, operand, side, place - 1, place)
            reals[BOUND + place, ENERGY_BOUND] += max(0.0, energy - reals[LEAST + operand, side])
            side += 1
        ints[OPEN + place, operand] = side


@njit
def least_energy(ints: Ints, reals: Reals, place: int) -> float:
    """Femtojoules that no nest with these inner loops undercuts."""
    return float(reals[BOUND + place, ENERGY_BOUND] * _SAFE)


@njit
def least_latency(ints: Ints, reals: Reals, place: int, slots: int) -> float:
    """Cycles that no nest with these inner loops undercuts."""
    busiest = total_cycles(ints, reals)
    for slot in range(slots):
        busiest = max(busiest, reals[BOUND + place, LOADS + slot] * _SAFE)
    return float(busiest + reals[FIXED, DRAIN_CYCLES])
