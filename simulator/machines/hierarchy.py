"""The cost of a layer on a `spatial` machine: its row of integers, read by scalar functions.

`layer_cost` unrolls the layer on the array in each way the machine offers, searches the best loop
nest of each (`simulator.mapping.search`), and keeps the better one.
"""

from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.machines.actions import (
    BOUND,
    COMPUTE_CYCLES,
    LEVEL_0,
    OVERHEAD_CYCLES,
    REFUSAL,
    STALL_CYCLES,
    UNIT,
    Counts,
    Prices,
    clear,
)
from simulator.machines.base import ACCUMULATOR_BITS, COMMON, DOT_WIDTH, REFUSALS
from simulator.machines.composition import (
    channel_steps,
    count_products,
    product_energy,
    spread_bits,
)
from simulator.machines.counting import (
    activation_bits,
    ceil_div,
    compulsory_bits,
    count_operator,
    gemm,
    refusal,
    weight_bits,
)
from simulator.machines.expansion import expand_weights
from simulator.mapping.latency import cost_of_nest
from simulator.mapping.layout import (
    ACCESS,
    BITS,
    BOUNDS,
    DEPTH,
    DIMENSIONS,
    DRAIN,
    DRAIN_CYCLES,
    ENERGY,
    FINAL,
    FIXED,
    IC,
    IDEAL,
    INNERMOST,
    INPUT,
    KX,
    KY,
    LATENCY,
    LEVEL,
    M_RATE,
    M_WORD,
    MAC_ENERGY,
    MEMORIES,
    MEMORY_COLUMNS,
    OC,
    OFFLOAD,
    ONLOAD,
    OUTERMOST,
    OUTPUT,
    OX,
    OY,
    PRICE,
    READ_DOWN,
    READ_UP,
    RESULT,
    STALL,
    TEMPORAL,
    WEIGHT,
    WINDOW,
    WRITE_DOWN,
    WRITE_UP,
    G,
    N,
)
from simulator.mapping.layout import MEMORY as MEMORY_ROW
from simulator.mapping.problem import set_chains, unroll
from simulator.mapping.search import (
    BEST_COUNT,
    BEST_FACTORS,
    BEST_LOOPS,
    MAPPING,
    load,
    score,
    search,
)
from simulator.mapping.tiling import fits
from simulator.work import (
    W_ACTIVATION_BITS,
    W_ELEMENTWISE,
    W_GROUPS,
    W_IC,
    W_INPUT_COLUMNS,
    W_INPUT_ROWS,
    W_KX,
    W_KY,
    W_N,
    W_OC,
    W_OUTPUT_BITS,
    W_OX,
    W_OY,
    W_REQUANTIZATIONS,
    W_STRIDE_X,
    W_STRIDE_Y,
)

UNROLLINGS: Final = 4
"""The most ways of unrolling that a machine may offer."""
ENERGY_COLUMNS: Final = 3
"""Behind a memory's own columns: its kind, attojoules of a read and of a write (-1: technology)."""
(
    MEMORY_COUNT,
    DIMENSION_COUNT,
    UNROLLING_COUNT,
    TIMING,
    OBJECTIVE,
    BUDGET,
    EVERY_CUT,
    LANES,
    MAC_AJ,
) = range(len(COMMON), len(COMMON) + 9)
PINS: Final = 4
"""The most mappings that a machine may pin."""
SIZES: Final = MAC_AJ + 1
SYSTOLIC: Final = SIZES + DIMENSIONS
UNROLL: Final = SYSTOLIC + DIMENSIONS
MEMORY: Final = UNROLL + UNROLLINGS * DIMENSIONS * 8
MEMORY_WIDTH: Final = MEMORY_COLUMNS + ENERGY_COLUMNS
INNER: Final = MEMORY + MEMORIES * MEMORY_WIDTH
OUTER: Final = INNER + 8
PIN: Final = OUTER + 8
HIERARCHY_END: Final = PIN + PINS * MAPPING
PHYSICAL, ZIGZAG = range(2)
TAPS, STORED_W, STORED_A = range(FINAL + 1, FINAL + 4)
"""Columns of `BITS` behind its own: input channels of a group, stored bits of both operands."""
REGISTER, SRAM, DRAM = range(3)
ARRAY_UNIT, VECTOR_UNIT = range(2)
NOTHING_FITS: Final = len(REFUSALS)
BY_COMPUTE, BY_MEMORY, BY_LOADING, BY_OVERHEAD = range(4)


@njit
def read_memories(machine: Counts, prices: Prices, ints: Counts, reals: Prices) -> None:
    """Fill what does not depend on the layer: the memories, their chains and prices."""
    for memory in range(machine[MEMORY_COUNT]):
        start = MEMORY + memory * MEMORY_WIDTH
        for column in range(MEMORY_COLUMNS):
            ints[MEMORY_ROW + memory, column] = machine[start + column]
        for way in range(2):
            reals[PRICE + way, memory] = prices[LEVEL_0 + 2 * memory + way] / 8.0
    set_chains(ints, machine[MEMORY_COUNT])
    for place in range(8):
        ints[INNERMOST, place] = machine[INNER + place]
        ints[OUTERMOST, place] = machine[OUTER + place]


@njit
def read_layer(work: Counts, machine: Counts, ints: Counts) -> None:
    """Fill the loops, window and widths of a layer."""
    ints[BOUNDS, N], ints[BOUNDS, G] = work[W_N], work[W_GROUPS]
    ints[BOUNDS, OY], ints[BOUNDS, OX] = work[W_OY], work[W_OX]
    ints[BOUNDS, KY], ints[BOUNDS, KX] = work[W_KY], work[W_KX]
    ints[WINDOW, 0], ints[WINDOW, 1] = work[W_STRIDE_Y], work[W_STRIDE_X]
    ints[WINDOW, 2], ints[WINDOW, 3] = work[W_INPUT_ROWS], work[W_INPUT_COLUMNS]
    # A unit takes its products side by side, or one in several steps, along the input channels.
    w, a = weight_bits(work, machine), activation_bits(work[W_ACTIVATION_BITS], machine)
    taps, steps = work[W_IC], channel_steps(work, machine)
    ints[BOUNDS, OC], ints[BOUNDS, IC] = work[W_OC], steps
    ints[BITS, WEIGHT], ints[BITS, INPUT] = spread_bits(taps, steps, w), spread_bits(taps, steps, a)
    ints[BITS, TAPS], ints[BITS, STORED_W], ints[BITS, STORED_A] = taps, w, a
    ints[BITS, OUTPUT] = machine[ACCUMULATOR_BITS]
    ints[BITS, FINAL] = activation_bits(work[W_OUTPUT_BITS], machine)


@njit
def unroll_layer(machine: Counts, prices: Prices, choice: int, ints: Counts, reals: Prices) -> None:
    """Unroll the layer in one of the machine's ways; fills what the drain and the MACs cost."""
    dimensions = machine[DIMENSION_COUNT]
    factors = np.ones((DIMENSIONS, 8), np.int64)
    drain, macs = 0, 1
    for dimension in range(dimensions):
        used = 1
        for loop in range(8):
            factor = machine[UNROLL + (choice * DIMENSIONS + dimension) * 8 + loop]
            factors[dimension, loop] = factor
            used *= min(factor, ints[BOUNDS, loop])
        drain += machine[SYSTOLIC + dimension] * (used - 1)
    unroll(ints, reals, factors, dimensions, machine[TIMING] == ZIGZAG)
    for loop in range(8):
        macs *= ints[BITS, TAPS] if loop == IC else ints[BOUNDS, loop]
    reals[FIXED, DRAIN_CYCLES] = drain
    w, a = ints[BITS, STORED_W], ints[BITS, STORED_A]
    reals[FIXED, MAC_ENERGY] = product_energy(machine, prices, w, a, macs)


@njit
def pinned(machine: Counts, pin: int, ints: Counts, reals: Prices) -> bool:
    """Load a pinned mapping; False where its loops are not the layer's or do not fit."""
    start = PIN + pin * MAPPING
    if machine[start + BEST_COUNT] < 0:
        return False
    covered = np.ones(8, np.int64)
    for place in range(machine[start + BEST_COUNT]):
        loop = machine[start + BEST_LOOPS + place]
        covered[loop] *= machine[start + BEST_FACTORS + place]
    for loop in range(8):
        if covered[loop] != ints[TEMPORAL, loop]:
            return False
    load(ints, reals, machine[start : start + MAPPING])
    return bool(fits(ints, reals, machine[MEMORY_COUNT]))


@njit
def map_layer(
    work: Counts,
    machine: Counts,
    prices: Prices,
    ints: Counts,
    reals: Prices,
    mapping: Counts,
    told: Prices,
) -> int:
    """Leave the best nest of a layer in the tables and in `mapping` (int64 [MAPPING]).

    A pinned mapping that covers the layer and fits comes first. Adds the nests costed and decided
    to `told`. Returns the unrolling that was chosen, or -1 where nothing fits the memories.
    """
    read_layer(work, machine, ints)
    objective, budget = machine[OBJECTIVE], machine[BUDGET]
    memories, last = machine[MEMORY_COUNT], machine[UNROLLING_COUNT] - 1
    for choice in range(last + 1):
        unroll_layer(machine, prices, choice, ints, reals)
        for pin in range(PINS):
            if pinned(machine, pin, ints, reals):
                mapping[:] = machine[PIN + pin * MAPPING : PIN + (pin + 1) * MAPPING]
                cost_of_nest(ints, reals)
                return choice
    chosen, least = -1, np.inf
    trial = np.zeros(MAPPING, np.int64)
    for choice in range(last + 1):
        unroll_layer(machine, prices, choice, ints, reals)
        every = machine[EVERY_CUT] != 0
        if search(ints, reals, memories, objective, budget, every, trial, told):
            found = score(objective, reals[RESULT, LATENCY], reals[RESULT, ENERGY])
            if found < least:
                chosen, least = choice, found
                mapping[:] = trial
    if chosen >= 0 and chosen != last:
        unroll_layer(machine, prices, chosen, ints, reals)
        load(ints, reals, mapping)
        cost_of_nest(ints, reals)
    return chosen


@njit
def count_nest(ints: Counts, reals: Prices, actions: Counts) -> None:
    """Set the cycles and the bytes of every memory from a costed nest."""
    for operand in range(3):
        row = ACCESS + 4 * operand
        for level in range(ints[DEPTH, operand]):
            memory = ints[LEVEL + operand, level]
            word = ints[MEMORY_ROW + memory, M_WORD]
            read = ints[row + READ_DOWN, level] + ints[row + READ_UP, level]
            written = ints[row + WRITE_UP, level] + ints[row + WRITE_DOWN, level]
            actions[LEVEL_0 + 2 * memory] += ceil_div(read * word, 8)
            actions[LEVEL_0 + 2 * memory + 1] += ceil_div(written * word, 8)
    loading = int(reals[RESULT, ONLOAD] + reals[RESULT, OFFLOAD] + reals[RESULT, DRAIN])
    actions[COMPUTE_CYCLES] = int(reals[RESULT, IDEAL])
    actions[STALL_CYCLES] = int(reals[RESULT, STALL])
    actions[BOUND] = BY_COMPUTE
    if actions[OVERHEAD_CYCLES] > actions[COMPUTE_CYCLES] + actions[STALL_CYCLES] + loading:
        actions[BOUND] = BY_OVERHEAD
    elif actions[STALL_CYCLES] > max(actions[COMPUTE_CYCLES], loading):
        actions[BOUND] = BY_MEMORY
    elif loading > actions[COMPUTE_CYCLES]:
        actions[BOUND] = BY_LOADING
    actions[OVERHEAD_CYCLES] += loading


@njit
def vector_cost(work: Counts, machine: Counts, actions: Counts) -> None:
    """A layer without multiply-accumulates: its operands stream past the vector unit once.

    They come from the outermost memory and the results return there.
    """
    inputs, weights, biases, outputs = compulsory_bits(work, machine)
    outer = machine[MEMORY_COUNT] - 1
    rate = machine[MEMORY + outer * MEMORY_WIDTH + M_RATE]
    read = inputs + weights + biases
    actions[LEVEL_0 + 2 * outer] = ceil_div(read, 8)
    actions[LEVEL_0 + 2 * outer + 1] = ceil_div(outputs, 8)
    compute = ceil_div(work[W_ELEMENTWISE] + work[W_REQUANTIZATIONS], machine[LANES])
    moving = ceil_div(read + outputs, rate)
    actions[COMPUTE_CYCLES] = compute
    actions[STALL_CYCLES] = max(0, moving - compute)
    actions[UNIT] = VECTOR_UNIT
    actions[BOUND] = BY_MEMORY if moving > 2 * compute else BY_COMPUTE
    if actions[OVERHEAD_CYCLES] > max(compute, moving):
        actions[BOUND] = BY_OVERHEAD


@njit
def add_biases(work: Counts, machine: Counts, actions: Counts) -> None:
    """Count the biases, read once from the outermost memory; they load with the first weights."""
    outer = machine[MEMORY_COUNT] - 1
    _, _, biases, _ = compulsory_bits(work, machine)
    rate = machine[MEMORY + outer * MEMORY_WIDTH + M_RATE]
    actions[LEVEL_0 + 2 * outer] += ceil_div(biases, 8)
    actions[OVERHEAD_CYCLES] += ceil_div(biases, rate)


@njit
def layer_cost(
    work: Counts,
    machine: Counts,
    prices: Prices,
    ints: Counts,
    reals: Prices,
    mapping: Counts,
    told: Prices,
    actions: Counts,
) -> None:
    """Fill the int64 [ACTIONS] of one layer; `read_memories` has filled the tables before."""
    clear(actions)
    actions[REFUSAL] = refusal(work, machine)
    if actions[REFUSAL] != 0:
        return
    count_operator(work, machine, actions)
    groups, m, n, k = gemm(work)
    if m * n * k == 0:
        vector_cost(work, machine, actions)
        return
    if map_layer(work, machine, prices, ints, reals, mapping, told) < 0:
        actions[REFUSAL] = NOTHING_FITS
        return
    macs = groups * m * n * k
    count_products(work, machine, actions, ceil_div(macs, machine[DOT_WIDTH]))
    count_nest(ints, reals, actions)
    expand_weights(work, machine, ints, machine[MEMORY + MEMORY_COLUMNS :: MEMORY_WIDTH], actions)
    add_biases(work, machine, actions)
