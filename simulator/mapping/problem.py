"""A layer on a memory hierarchy, as the arrays that the scalar mapping functions read.

Operands are weight, input and output; loops are `n, g, oc, ic, oy, ox, ky, kx`. Each operand has
its own chain of memories, inner to outer; a memory may be on several chains. Spatial unrolling is
fixed here, temporal loops are what a mapping orders and cuts (`simulator.mapping.nest`).
"""

import math
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

LOOPS: Final = ("n", "g", "oc", "ic", "oy", "ox", "ky", "kx")
N, G, OC, IC, OY, OX, KY, KX = range(8)
OPERANDS: Final = ("weight", "input", "output")
WEIGHT, INPUT, OUTPUT = range(3)
MEMORIES: Final = 8
"""The most memories of a hierarchy, and so the most levels of an operand."""
DIMENSIONS: Final = 4
"""The most array dimensions."""

IRRELEVANT, RELEVANT, PARTIAL = range(3)
RELEVANCE: Final = (
    (0, 1, 1, 1, 0, 0, 1, 1),
    (1, 1, 0, 1, 2, 2, 2, 2),
    (1, 1, 1, 0, 1, 1, 0, 0),
)
"""By operand and loop: whether a step of the loop needs other data (2: partly, a sliding window)."""

(M_BITS, M_RATE, M_WORD, M_HOLDS, M_SERVES, M_PORTS) = range(6)
MEMORY_COLUMNS: Final = 6
"""A memory: size, bits a port moves in a cycle, bits of the smallest access, mask of operands,
mask of array dimensions that share one instance, ports."""
SHARED, READ_WRITE, TWO_SIDED, PER_OPERAND = range(4)
PORT_KINDS: Final = ("shared", "read_write", "two_sided", "per_operand")
AVERAGE, LARGEST = range(2)
"""The two tile sizes: with ragged unrollings averaged over the folds, and of the largest fold."""


class Problem(NamedTuple):
    """Arrays of one layer on one hierarchy; `L` is MEMORIES.

    bounds, temporal : int64 [8], loop bounds, and what is left of them after unrolling.
    window : int64 [4], stride y and x, input rows and columns (0: no limit known).
    bits : int64 [4], weight, input, partial output, final output.
    depth : int64 [3], memories on each operand's chain; level : int64 [3, L], which ones.
    memory : int64 [L, MEMORY_COLUMNS]; price : float64 [L, 2], femtojoules a bit read, written.
    spread : float64 [2, 3, L, 8], unrolling within reach of one instance of a chain's memory.
    boost : int64 [2, 3, L], instances of the level below with different data, fed by one above.
    instances : int64 [3, L], instances in use; reduces : int64 [L + 1], whether partial sums
        of different instances meet above a level; fixed : float64 [2], drain cycles, MAC energy.
    """

    bounds: Ints
    temporal: Ints
    window: Ints
    bits: Ints
    depth: Ints
    level: Ints
    memory: Ints
    price: Floats
    spread: Floats
    boost: Ints
    instances: Ints
    reduces: Ints
    fixed: Floats


@njit
def empty_problem() -> Problem:
    """A problem with every array in place, to be filled by `prepare`."""
    return Problem(
        bounds=np.ones(8, np.int64),
        temporal=np.ones(8, np.int64),
        window=np.zeros(4, np.int64),
        bits=np.zeros(4, np.int64),
        depth=np.zeros(3, np.int64),
        level=np.zeros((3, MEMORIES), np.int64),
        memory=np.zeros((MEMORIES, MEMORY_COLUMNS), np.int64),
        price=np.zeros((MEMORIES, 2)),
        spread=np.ones((2, 3, MEMORIES, 8)),
        boost=np.ones((2, 3, MEMORIES), np.int64),
        instances=np.ones((3, MEMORIES), np.int64),
        reduces=np.zeros(MEMORIES + 1, np.int64),
        fixed=np.zeros(2),
    )


@njit
def rounded(value: float) -> int:
    """The nearest integer, ties to even; a product of fractions that should be one."""
    return int(np.rint(value))


@njit
def whole(value: float) -> int:
    """The integer part, of a product of fractions that may lie a hair below it."""
    return math.floor(value + 1e-9)


@njit
def extent(outputs: int, taps: int, stride: int, limit: int) -> int:
    """Distinct input rows that `outputs` output rows of `taps` taps touch, at most `limit`.

    With a stride beyond the taps the rows between are never touched.
    """
    rows = outputs * taps - max(0, taps - stride) * (outputs - 1)
    return min(rows, limit) if limit > 0 else rows


@njit
def tile_elements(problem: Problem, operand: int, sizes: Floats) -> float:
    """Distinct elements of an operand that loops of these `sizes` (float64 [8]) touch."""
    if operand == WEIGHT:
        return float(sizes[G] * sizes[OC] * sizes[IC] * sizes[KY] * sizes[KX])
    if operand == OUTPUT:
        return float(sizes[N] * sizes[G] * sizes[OC] * sizes[OY] * sizes[OX])
    window = problem.window
    rows = extent(whole(sizes[OY]), whole(sizes[KY]), window[0], window[2])
    columns = extent(whole(sizes[OX]), whole(sizes[KX]), window[1], window[3])
    return float(sizes[N] * sizes[G] * sizes[IC] * rows * columns)


@njit
def chain(problem: Problem, memories: int) -> None:
    """Fill `depth` and `level` from the masks of the memories, inner to outer."""
    for operand in range(3):
        problem.depth[operand] = 0
        for memory in range(memories):
            if (problem.memory[memory, M_HOLDS] >> operand) & 1:
                problem.level[operand, problem.depth[operand]] = memory
                problem.depth[operand] += 1


@njit
def spread_loops(problem: Problem, unroll: Ints, dimensions: int, floor: bool) -> None:
    """Fill what follows from the unrolling (int64 [dimensions, 8]) of the array dimensions.

    A loop that its unrolling does not divide takes ceil(bound / unrolling) steps; averaged over
    them, a fraction of the instances works. Cycles are those of the largest fold, or with `floor`
    of a fold of the average rounded down, as ZigZag 3.9 has it.
    """
    bounds, temporal = problem.bounds, problem.temporal
    share = np.ones((2, DIMENSIONS, 8))
    for loop in range(8):
        used, last = 1, 0
        for dimension in range(dimensions):
            factor = min(unroll[dimension, loop], (bounds[loop] + used - 1) // used)
            share[AVERAGE, dimension, loop] = factor
            share[LARGEST, dimension, loop] = factor
            used *= factor
            if factor > 1:
                last = dimension
        temporal[loop] = (bounds[loop] + used - 1) // used
        share[AVERAGE, last, loop] *= bounds[loop] / (temporal[loop] * used)
        ragged = share[AVERAGE, last, loop]
        share[LARGEST, last, loop] = whole(ragged) if floor else math.ceil(ragged - 1e-9)
    for operand in range(3):
        for which in range(2):
            _reach(problem, operand, which, share[which], dimensions)
    problem.reduces[:] = 0
    for level in range(problem.depth[OUTPUT]):
        inside = problem.spread[LARGEST, OUTPUT, level]
        outer = problem.spread[LARGEST, OUTPUT, problem.depth[OUTPUT] - 1]
        for loop in (IC, KY, KX):
            if outer[loop] > inside[loop]:
                problem.reduces[level] = 1


@njit
def _reach(problem: Problem, operand: int, which: int, share: Floats, dimensions: int) -> None:
    """Fill `spread`, `boost` and `instances` of one operand's chain."""
    depth = problem.depth[operand]
    reached = 0
    before = 1.0
    for level in range(depth):
        reached |= problem.memory[problem.level[operand, level], M_SERVES]
        outside = 1.0
        for loop in range(8):
            inside = 1.0
            for dimension in range(dimensions):
                if (reached >> dimension) & 1:
                    inside *= share[dimension, loop]
                else:
                    outside *= share[dimension, loop]
            problem.spread[which, operand, level, loop] = inside
        unique = tile_elements(problem, operand, problem.spread[which, operand, level])
        problem.boost[which, operand, level] = rounded(unique / before)
        before = unique
        if which == AVERAGE:
            problem.instances[operand, level] = rounded(outside)
