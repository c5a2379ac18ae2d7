"""The two tables that all mapping functions work on: `ints` int64 and `reals` float64.

Named rows and nothing else: the functions are called a million times a second, and with one array
a quantity the passing of arrays took ten times as long as the arithmetic (measured). A layer on a
hierarchy fills the rows of the problem, a mapping those of the nest. Operands are weight, input
and output; loops are `n, g, oc, ic, oy, ox, ky, kx`. Each operand has its own chain of memories,
inner to outer, whose members are its levels; a memory may be on several chains.
"""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit

Ints: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[np.float64]

LOOPS: Final = ("n", "g", "oc", "ic", "oy", "ox", "ky", "kx")
N, G, OC, IC, OY, OX, KY, KX = range(8)
OPERANDS: Final = ("weight", "input", "output")
WEIGHT, INPUT, OUTPUT = range(3)
FINAL: Final = 3
"""Column of `BITS` for a finished output; `OUTPUT` is a partial sum."""
MEMORIES: Final = 8
"""The most memories of a hierarchy, and so the most levels of an operand."""
DIMENSIONS: Final = 4
"""The most array dimensions."""
NEST_LOOPS: Final = 32
"""The most temporal loops of a nest."""
PORTS: Final = 4
"""The most ports of a memory."""
SHARED, READ_WRITE, TWO_SIDED, PER_OPERAND = range(4)
PORT_KINDS: Final = ("shared", "read_write", "two_sided", "per_operand")
READ_DOWN, WRITE_UP, READ_UP, WRITE_DOWN = range(4)
DIRECTIONS: Final = ("read_to_below", "written_from_below", "read_to_above", "written_from_above")
"""What moves at a memory: to or from the level below it or above it."""
AVERAGE, LARGEST = range(2)
"""The two tile sizes: with ragged unrollings averaged over the folds, and of the largest fold."""

(M_BITS, M_RATE, M_WORD, M_HOLDS, M_SERVES, M_PORTS, M_REQUEST, M_TOGETHER, M_REFILL) = range(9)
MEMORY_COLUMNS: Final = 9
"""A memory: size, bits a port moves in a cycle, bits of the smallest access, mask of operands,
mask of array dimensions that share one instance, ports, cycles that a transfer starts with, whether
its operands are refilled together, cycles from one such refill to the next at least."""
(
    T_OPERAND,
    T_LEVEL,
    T_WAY,
    T_SIDE,
    T_SLOT,
    T_WORD,
    T_RATE,
    T_REQUEST,
    T_INSTANCES,
    T_AVERAGE,
    T_LARGEST,
    T_BOUNDARY,
) = range(12)
"""A transfer: operand, level and direction; the level whose tile it moves, counted from 1 (0: the
array); its port; bits of a word and of a cycle, cycles of a request; instances; tiles of the level
below that differ; the boundary among all."""
(IDEAL, STALL, ONLOAD, OFFLOAD, DRAIN, LATENCY, ENERGY) = range(7)
RESULT_NAMES: Final = ("ideal", "stall", "onload", "offload", "drain", "latency", "energy")
TRANSFER_COUNT, LOOP_COUNT, NEAREST, SLOTS, TOTAL, TOGETHER, BOX = range(7)
C_STEPS, C_LOOP, C_HOLDS, C_LEAST, C_LOAD, C_ISSUE = range(7, 13)
"""Columns of `COUNTS`; NEAREST: ragged averages are rounded to the nearest, as ZigZag does; SLOTS:
ports with transfers; TOTAL: steps of all temporal loops; TOGETHER: some memory has `M_TOGETHER`;
BOX: rows that a stride skips count as touched. From C_STEPS on, the array's commands: the most
steps of one (0: no commands), of which loop, past the tile of which operand, the least cycles,
cycles of the next tile's load, cycles to issue."""
SWITCHES, SWITCH_COUNT = TOGETHER, 8
"""The columns of `COUNTS` that a machine sets."""
DRAIN_CYCLES, MAC_ENERGY = range(2)
LEAK: Final = 6
"""Columns of `FIXED`, with those of `simulator.mapping.bounds` between; LEAK: femtojoules of a step
by the clock alone, which a search adds to the energy of a nest by its latency."""
_TRANSFERS: Final = 3 * MEMORIES * 4
WIDTH: Final = 36
"""Columns of both tables."""

# Rows of `ints`: of the problem, the loop bounds, what unrolling leaves of them, the window
# (stride y and x, input rows and columns, 0 for no limit), the widths; by operand the memories and
# instances of its levels; then by kind of tile and operand how many tiles of the level below
# differ; whether sums of different instances meet above an output level; loops that must be
# innermost, or outermost, from the edge inwards, -1 ending the list; memories; how many operands
# use each, then operand and level of each user; whether weights and inputs share the port of a
# level; transfers; by boundary how many cross it, and which.
BOUNDS, TEMPORAL, WINDOW, BITS, DEPTH, COUNTS, REDUCES, INNERMOST, OUTERMOST = range(9)
LEVEL: Final = 9
INSTANCES: Final = LEVEL + 3
BOOST: Final = INSTANCES + 3
MEMORY: Final = BOOST + 6
USERS: Final = MEMORY + MEMORIES
JOINT: Final = USERS + MEMORIES
TRANSFER: Final = JOINT + 3
CROSSING: Final = TRANSFER + _TRANSFERS
# Of the nest: its loops, inner to outer, their factors. For the innermost so many of them: the
# product of the factors, that of the others, a mask of the output's boundaries where sums are
# partial; tiles and what they hold by level; busy cycles and words by transfer. By boundary: how
# many loops run within it, refills, cycles between them, cycles in which one may happen, bits an
# element, steps of the topmost reuse. Then the cuts; words moved; the open boundaries of a bound;
# scratch.
LOOP: Final = CROSSING + 3 * (MEMORIES + 1)
FACTOR, CYCLES, REPEATS, PARTIAL = LOOP + 1, LOOP + 2, LOOP + 3, LOOP + 4
TILE: Final = LOOP + 5
HELD: Final = TILE + 6 * MEMORIES
BUSY: Final = HELD + 3 * MEMORIES
WORDS: Final = BUSY + _TRANSFERS
PLACE: Final = WORDS + _TRANSFERS
REFILLS, PERIOD, ALLOWED = PLACE + 1, PLACE + 2, PLACE + 3
ELEMENT_BITS, REUSE = PLACE + 4, PLACE + 5
CUT: Final = PLACE + 6
ACCESS: Final = CUT + 3
OPEN: Final = ACCESS + 12
SCRATCH: Final = OPEN + NEST_LOOPS + 1
_INT_ROWS: Final = SCRATCH + 8

# Rows of `reals`: drain cycles and MAC energy; femtojoules a bit read and written by memory, and
# by transfer; unrolling within reach of a level, by kind of tile, operand and level. Of the nest:
# results; part of a memory taken by a tile; cycles of a first or last transfer by operand and
# direction; products of factors by loop for so many loops; for so many loops, elements that a
# level moves from or to the one above, and femtojoules by transfer and (at least) by boundary;
# bounds for so many loops.
FIXED, RESULT = range(2)
PRICE: Final = 2
FILLED: Final = PRICE + 2
LOADING: Final = FILLED + 3
LEAST: Final = LOADING + 12
SPREAD: Final = LEAST + 3
TRANSFER_PRICE: Final = SPREAD + 6 * MEMORIES
SIZE: Final = TRANSFER_PRICE + _TRANSFERS
MOVED: Final = SIZE + NEST_LOOPS + 2
SPENT: Final = MOVED + 3 * MEMORIES
LOWEST: Final = SPENT + _TRANSFERS
BOUND: Final = LOWEST + 3 * (MEMORIES + 1)
SHARE: Final = BOUND + NEST_LOOPS + 1
_REAL_ROWS: Final = SHARE + 2 * DIMENSIONS

_NEEDS: Final = 0x370BCE
_REUSES: Final = 0xC80431
"""Bit 8 * operand + loop: whether a step of the loop needs all other data, or none. Neither holds
for the input's rows and columns, which slide."""


@njit
def empty_tables() -> tuple[Ints, Reals]:
    """Both tables: no layer, no loops."""
    return np.zeros((_INT_ROWS, WIDTH), np.int64), np.ones((_REAL_ROWS, WIDTH), np.float64)


@njit
def level_row(operand: int, level: int) -> int:
    """Where a level is among those of all operands."""
    return operand * MEMORIES + level


@njit
def boundary_row(operand: int, side: int) -> int:
    """Where a boundary (0: the array's, else above level `side - 1`) is among all."""
    return operand * (MEMORIES + 1) + side


@njit
def tile_row(which: int, operand: int, level: int) -> int:
    """The row of a level's tiles."""
    return TILE + (3 * which + operand) * MEMORIES + level


@njit
def spread_row(which: int, operand: int, level: int) -> int:
    """The row of the unrolling within reach of a level."""
    return SPREAD + (3 * which + operand) * MEMORIES + level


@njit
def needs(operand: int, loop: int) -> bool:
    """Whether each step of a loop needs other data of an operand."""
    return (_NEEDS >> (8 * operand + loop)) & 1 == 1


@njit
def reuses(operand: int, loop: int) -> bool:
    """Whether each step of a loop uses the same data of an operand."""
    return (_REUSES >> (8 * operand + loop)) & 1 == 1


@njit
def upwards(way: int) -> bool:
    """Whether a direction is between a memory and the one above it."""
    return way >= READ_UP


@njit
def inwards(way: int) -> bool:
    """Whether data of a direction moves towards the array."""
    return way == READ_DOWN or way == WRITE_DOWN  # compiles to two compares
