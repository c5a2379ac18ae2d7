"""A layer on a hierarchy: chains of memories, unrolling on the array, and what may move.

Spatial unrolling is fixed here; temporal loops are what a mapping orders and cuts
(`simulator.mapping.nest`).
"""

import math
from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.mapping.layout import (
    AVERAGE,
    BOOST,
    BOUNDS,
    BOX,
    COUNTS,
    CROSSING,
    DEPTH,
    DIMENSIONS,
    IC,
    INPUT,
    INSTANCES,
    JOINT,
    KX,
    KY,
    LARGEST,
    LEVEL,
    M_HOLDS,
    M_PORTS,
    M_RATE,
    M_REQUEST,
    M_SERVES,
    M_WORD,
    MEMORIES,
    MEMORY,
    NEAREST,
    OC,
    OUTPUT,
    OX,
    OY,
    PER_OPERAND,
    PORTS,
    PRICE,
    READ_DOWN,
    READ_UP,
    READ_WRITE,
    REDUCES,
    SHARE,
    SHARED,
    SLOTS,
    T_AVERAGE,
    T_BOUNDARY,
    T_INSTANCES,
    T_LARGEST,
    T_LEVEL,
    T_OPERAND,
    T_RATE,
    T_REQUEST,
    T_SIDE,
    T_SLOT,
    T_WAY,
    T_WORD,
    TEMPORAL,
    TOTAL,
    TRANSFER,
    TRANSFER_COUNT,
    TRANSFER_PRICE,
    USERS,
    WEIGHT,
    WINDOW,
    WRITE_DOWN,
    WRITE_UP,
    G,
    Ints,
    N,
    Reals,
    boundary_row,
    inwards,
    spread_row,
    upwards,
)

_INPUTS: Final = (1 << WEIGHT) | (1 << INPUT)


@njit
def rounded(value: float) -> int:
    """The nearest integer, ties to even; a product of fractions that should be one."""
    return int(np.rint(value))


@njit
def whole_tile(ints: Ints, elements: float) -> int:
    """Elements of a tile that is an average: rounded up, so that no element goes uncounted."""
    if ints[COUNTS, NEAREST] != 0:
        return int(rounded(elements))
    return math.ceil(elements - 1e-6)


@njit
def whole(value: float) -> int:
    """The integer part, of a product of fractions that may lie a hair below it."""
    return math.floor(value + 1e-9)


@njit
def extent(outputs: int, taps: int, stride: int, limit: int, box: int) -> int:
    """Distinct input rows that `outputs` output rows of `taps` taps touch, at most `limit`.

    With a stride beyond the taps the rows between are never touched, unless `box` is not 0 and
    they are moved as well. Dilation does not change it.
    """
    rows = outputs * taps - (taps - stride) * (outputs - 1)
    if box == 0 and taps < stride:
        rows = outputs * taps
    return min(rows, limit) if limit > 0 else rows


@njit
def tile_elements(ints: Ints, reals: Reals, operand: int, row: int) -> float:
    """Distinct elements of an operand that loops of the sizes in a row of `reals` touch."""
    if operand == WEIGHT:
        channels = reals[row, G] * reals[row, OC] * reals[row, IC]
        return float(channels * reals[row, KY] * reals[row, KX])
    if operand == OUTPUT:
        channels = reals[row, N] * reals[row, G] * reals[row, OC]
        return float(channels * reals[row, OY] * reals[row, OX])
    box, oy, ox = ints[COUNTS, BOX], whole(reals[row, OY]), whole(reals[row, OX])
    rows = extent(oy, whole(reals[row, KY]), ints[WINDOW, 0], ints[WINDOW, 2], box)
    columns = extent(ox, whole(reals[row, KX]), ints[WINDOW, 1], ints[WINDOW, 3], box)
    return float(reals[row, N] * reals[row, G] * reals[row, IC] * rows * columns)


@njit
def set_chains(ints: Ints, memories: int) -> None:
    """Fill `DEPTH`, `LEVEL`, `USERS` and `JOINT` from the masks of the memories, inner to outer."""
    for memory in range(memories):
        ints[USERS + memory, 0] = 0
    for operand in range(3):
        ints[DEPTH, operand] = 0
        for memory in range(memories):
            if (ints[MEMORY + memory, M_HOLDS] >> operand) & 1:
                level, users = ints[DEPTH, operand], ints[USERS + memory, 0]
                ints[LEVEL + operand, level] = memory
                ints[USERS + memory, 1 + 2 * users] = operand
                ints[USERS + memory, 2 + 2 * users] = level
                ints[USERS + memory, 0] += 1
                ints[DEPTH, operand] += 1
                both = (ints[MEMORY + memory, M_HOLDS] & _INPUTS) == _INPUTS
                ints[JOINT + operand, level] = int(
                    both and ints[MEMORY + memory, M_PORTS] != PER_OPERAND
                )


@njit
def unroll(ints: Ints, reals: Reals, factors: Ints, dimensions: int, floor: bool) -> None:
    """Fill what follows from the unrolling (int64 [dimensions, 8]) of the array dimensions.

    A loop that its unrolling does not divide takes ceil(bound / unrolling) steps; averaged over
    them, a fraction of the instances works. Cycles are those of the largest fold, or with `floor`
    of a fold of the average rounded down, as ZigZag 3.9 has it.
    """
    ints[COUNTS, NEAREST] = 1 if floor else 0
    ints[COUNTS, TOTAL] = 1
    for loop in range(8):
        bound, used, last = ints[BOUNDS, loop], 1, 0
        for dimension in range(dimensions):
            factor = min(factors[dimension, loop], (bound + used - 1) // used)
            reals[SHARE + dimension, loop] = factor
            reals[SHARE + DIMENSIONS + dimension, loop] = factor
            used *= factor
            if factor > 1:
                last = dimension
        ints[TEMPORAL, loop] = (bound + used - 1) // used
        ragged = reals[SHARE + last, loop] * bound / (ints[TEMPORAL, loop] * used)
        reals[SHARE + last, loop] = ragged
        largest = whole(ragged) if floor else math.ceil(ragged - 1e-9)
        reals[SHARE + DIMENSIONS + last, loop] = largest
        ints[COUNTS, TOTAL] *= ints[TEMPORAL, loop]
    for operand in range(3):
        set_reach(ints, reals, operand, AVERAGE, dimensions)
        set_reach(ints, reals, operand, LARGEST, dimensions)
    top = spread_row(LARGEST, OUTPUT, ints[DEPTH, OUTPUT] - 1)
    for level in range(ints[DEPTH, OUTPUT]):
        row = spread_row(LARGEST, OUTPUT, level)
        more = reals[top, IC] > reals[row, IC] or reals[top, KY] > reals[row, KY]
        ints[REDUCES, level] = 1 if more or reals[top, KX] > reals[row, KX] else 0
    ints[REDUCES, ints[DEPTH, OUTPUT]] = 0
    list_transfers(ints, reals)


@njit
def set_reach(ints: Ints, reals: Reals, operand: int, which: int, dimensions: int) -> None:
    """Fill `SPREAD`, `BOOST` and `INSTANCES` of one operand's chain."""
    reached, before = 0, 1.0
    for level in range(ints[DEPTH, operand]):
        reached |= ints[MEMORY + ints[LEVEL + operand, level], M_SERVES]
        row, outside = spread_row(which, operand, level), 1.0
        for loop in range(8):
            reals[row, loop] = 1.0
            for dimension in range(dimensions):
                share = reals[SHARE + which * DIMENSIONS + dimension, loop]
                if (reached >> dimension) & 1:
                    reals[row, loop] *= share
                else:
                    outside *= share
        unique = tile_elements(ints, reals, operand, row)
        ints[BOOST + 3 * which + operand, level] = whole_tile(ints, unique / before)
        before = unique
        if which == AVERAGE:
            ints[INSTANCES + operand, level] = rounded(outside)


@njit
def port_of(kind: int, operand: int, way: int) -> int:
    """Which port of a memory carries an operand in a direction."""
    if kind == SHARED:
        return 0
    if kind == READ_WRITE:
        return 0 if way in (READ_DOWN, READ_UP) else 1
    if kind == PER_OPERAND:
        return operand
    return way


@njit
def list_transfers(ints: Ints, reals: Reals) -> None:
    """Fill the transfers, ordered by port; nothing moves above the outermost memory."""
    ints[COUNTS, TRANSFER_COUNT] = ints[COUNTS, SLOTS] = 0
    for boundary in range(3 * (MEMORIES + 1)):
        ints[CROSSING + boundary, 0] = 0
    for slot in range(MEMORIES * PORTS):
        before = ints[COUNTS, TRANSFER_COUNT]
        for operand in range(3):
            for level in range(ints[DEPTH, operand]):
                memory = ints[LEVEL + operand, level]
                if memory != slot // PORTS:
                    continue
                for way in range(4):
                    top = level == ints[DEPTH, operand] - 1
                    port = port_of(ints[MEMORY + memory, M_PORTS], operand, way)
                    if (
                        not (top and upwards(way))
                        and (operand == OUTPUT or inwards(way))
                        and memory * PORTS + port == slot
                    ):
                        add_transfer(ints, reals, operand, level, way)
        if ints[COUNTS, TRANSFER_COUNT] > before:
            ints[COUNTS, SLOTS] += 1


@njit
def add_transfer(ints: Ints, reals: Reals, operand: int, level: int, way: int) -> None:
    """Append one direction at one level to the transfers of the port that is being listed."""
    index = ints[COUNTS, TRANSFER_COUNT]
    ints[COUNTS, TRANSFER_COUNT] += 1
    row, memory, up = TRANSFER + index, ints[LEVEL + operand, level], upwards(way)
    ints[row, T_OPERAND] = operand
    ints[row, T_LEVEL] = level
    ints[row, T_WAY] = way
    ints[row, T_SLOT] = ints[COUNTS, SLOTS]
    ints[row, T_SIDE] = level + 1 if up else level
    ints[row, T_WORD] = ints[MEMORY + memory, M_WORD]
    ints[row, T_RATE] = ints[MEMORY + memory, M_RATE]
    ints[row, T_REQUEST] = ints[MEMORY + memory, M_REQUEST]
    ints[row, T_INSTANCES] = ints[INSTANCES + operand, level]
    ints[row, T_AVERAGE] = 1 if up else ints[BOOST + operand, level]
    ints[row, T_LARGEST] = 1 if up else ints[BOOST + 3 + operand, level]
    write = way in (WRITE_UP, WRITE_DOWN)
    reals[TRANSFER_PRICE + index, 0] = reals[PRICE + (1 if write else 0), memory]
    ints[row, T_BOUNDARY] = boundary_row(operand, ints[row, T_SIDE])
    boundary = CROSSING + ints[row, T_BOUNDARY]
    ints[boundary, 0] += 1
    ints[boundary, ints[boundary, 0]] = index


@njit
def total_cycles(ints: Ints, reals: Reals) -> float:
    """Steps of all temporal loops of the layer as it is unrolled."""
    cycles = 1.0
    for loop in range(8):
        cycles *= ints[TEMPORAL, loop]
    return cycles
