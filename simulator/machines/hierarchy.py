"""The cost of a layer on a `spatial` machine: its row of integers, read by scalar functions.

`map_layer` unrolls the layer on the array in each way the machine offers, searches the best loop
nest of each (`simulator.mapping.search`), and keeps the better one. Time within a search is in
steps of the array. Read next: `simulator.machines.spatial_layer`.
"""

import math
from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.machines.actions import (
    BOUND,
    COMPUTE_CYCLES,
    LEVEL_0,
    OVERHEAD_CYCLES,
    STALL_CYCLES,
    Counts,
    Prices,
)
from simulator.machines.base import ACCUMULATOR_BITS, COMMON, FRACTION, REFUSALS
from simulator.machines.composition import channel_steps, product_energy, spread_bits
from simulator.machines.counting import (
    activation_bits,
    ceil_div,
    weight_bits,
)
from simulator.mapping.commands import command_stall
from simulator.mapping.latency import cost_of_nest
from simulator.mapping.layout import (
    ACCESS,
    BITS,
    BOUNDS,
    COUNTS,
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
    LEAK,
    LEVEL,
    M_RATE,
    M_REQUEST,
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
    SWITCH_COUNT,
    SWITCHES,
    TEMPORAL,
    WEIGHT,
    WINDOW,
    WRITE_DOWN,
    WRITE_UP,
    G,
    N,
)
from simulator.mapping.layout import MEMORY as MEMORY_ROW
from simulator.mapping.problem import set_chains, total_cycles, unroll
from simulator.mapping.search import (
    BEST_COUNT,
    BEST_CUTS,
    BEST_FACTORS,
    BEST_LOOPS,
    FOR_LATENCY,
    FREE_CUTS,
    MAPPING,
    decider,
    keep,
    load,
    score,
    search,
    try_order,
    worse,
)
from simulator.mapping.tiling import fits
from simulator.work import (
    W_ACTIVATION_BITS,
    W_CODED_WEIGHT_BITS,
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
    W_WEIGHT_ELEMENTS,
)

UNROLLINGS: Final = 8
"""The most ways of unrolling that a machine may offer."""
ENERGY_COLUMNS: Final = 4
"""Behind a memory's own columns: its kind, attojoules of a read and of a write (-1: technology),
and whether weights are coded in it."""
(
    MEMORY_COUNT,
    DIMENSION_COUNT,
    UNROLLING_COUNT,
    TIMING,
    OBJECTIVE,
    BUDGET,
    EVERY_CUT,
    LANES,
    REQUANTIZE_RATE,
    STEP_CYCLES,
    MAC_AJ,
) = range(len(COMMON), len(COMMON) + 11)
FASTEST: Final = 2.0**40
"""Bits a port moves in a step, of weights that a coder leaves next to nothing of."""
PINS: Final = 4
"""The most mappings that a machine may pin."""
SIZES: Final = MAC_AJ + 1
SYSTOLIC: Final = SIZES + DIMENSIONS
UNROLL: Final = SYSTOLIC + DIMENSIONS
MEMORY: Final = UNROLL + UNROLLINGS * DIMENSIONS * 8
MEMORY_WIDTH: Final = MEMORY_COLUMNS + ENERGY_COLUMNS
CODED: Final = MEMORY_COLUMNS + 3
INNER: Final = MEMORY + MEMORIES * MEMORY_WIDTH
OUTER: Final = INNER + 8
SWITCH: Final = OUTER + 8
PIN: Final = SWITCH + SWITCH_COUNT
HIERARCHY_END: Final = PIN + PINS * MAPPING
PHYSICAL, ZIGZAG = range(2)
TAPS, STORED_W, STORED_A = range(FINAL + 1, FINAL + 4)
"""Columns of `BITS` behind its own: input channels of a group, stored bits of both operands."""
REGISTER, SRAM, DRAM = range(3)
ARRAY_UNIT, VECTOR_UNIT = range(2)
NOTHING_FITS: Final = len(REFUSALS)
BY_COMPUTE, BY_MEMORY, BY_LOADING, BY_OVERHEAD = range(4)


@njit
def read_memories(machine: Counts, ints: Counts) -> None:
    """Fill what does not depend on the layer: the memories and their chains."""
    for memory in range(machine[MEMORY_COUNT]):
        start = MEMORY + memory * MEMORY_WIDTH
        for column in range(MEMORY_COLUMNS):
            ints[MEMORY_ROW + memory, column] = machine[start + column]
    set_chains(ints, machine[MEMORY_COUNT])
    for place in range(8):
        ints[INNERMOST, place] = machine[INNER + place]
        ints[OUTERMOST, place] = machine[OUTER + place]
    for place in range(SWITCH_COUNT):
        ints[COUNTS, SWITCHES + place] = machine[SWITCH + place]


@njit
def coded_bits(work: Counts, machine: Counts) -> tuple[int, int]:
    """Bits of all weights as they are coded and as they are multiplied: a fraction of at most 1."""
    plain = work[W_WEIGHT_ELEMENTS] * weight_bits(work, machine)
    if work[W_CODED_WEIGHT_BITS] == 0 or work[W_CODED_WEIGHT_BITS] >= plain:
        return 1, 1
    return work[W_CODED_WEIGHT_BITS], plain


@njit
def read_rates(work: Counts, machine: Counts, prices: Prices, ints: Counts, reals: Prices) -> None:
    """Fill what a port moves and costs in a step of the array, of weights before they are coded."""
    step = machine[STEP_CYCLES]
    for memory in range(machine[MEMORY_COUNT]):
        start, coded, plain = MEMORY + memory * MEMORY_WIDTH, 1, 1
        if machine[start + CODED] != 0:
            coded, plain = coded_bits(work, machine)
        rate = machine[start + M_RATE] * step * (plain / coded)
        ints[MEMORY_ROW + memory, M_RATE] = int(min(rate, FASTEST))
        ints[MEMORY_ROW + memory, M_REQUEST] = ceil_div(machine[start + M_REQUEST], step)
        for way in range(2):
            price = prices[LEVEL_0 + 2 * memory + way] / 8.0
            reals[PRICE + way, memory] = price * (coded / plain)


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
    """Unroll the layer in one of the machine's ways; fills what drain, MACs and clock cost."""
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
    reals[FIXED, DRAIN_CYCLES] = ceil_div(drain, machine[STEP_CYCLES])
    w, a = ints[BITS, STORED_W], ints[BITS, STORED_A]
    reals[FIXED, MAC_ENERGY] = product_energy(machine, prices, w, a, macs)
    reals[FIXED, LEAK] = prices[COMPUTE_CYCLES] * machine[STEP_CYCLES]


@njit
def pinned(machine: Counts, pin: int, ints: Counts, reals: Prices) -> bool:
    """Load a pinned mapping; False where its loops are not the layer's or do not fit."""
    start, covered = PIN + pin * MAPPING, np.ones(8, np.int64)
    if machine[start + BEST_COUNT] < 0:
        return False
    for place in range(machine[start + BEST_COUNT]):
        loop = machine[start + BEST_LOOPS + place]
        covered[loop] *= machine[start + BEST_FACTORS + place]
    for loop in range(8):
        if covered[loop] != ints[TEMPORAL, loop]:
            return False
    load(ints, reals, machine[start : start + MAPPING])
    if machine[start + BEST_CUTS] != FREE_CUTS:
        return bool(fits(ints, reals, machine[MEMORY_COUNT]))
    best, least = np.zeros(MAPPING, np.int64), np.full(2, np.inf)
    try_order(ints, reals, machine[MEMORY_COUNT], machine[OBJECTIVE], best, least)
    load(ints, reals, best)
    return bool(least[0] < np.inf)


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
    read_rates(work, machine, prices, ints, reals)
    objective, budget = machine[OBJECTIVE], machine[BUDGET]
    memories, last = machine[MEMORY_COUNT], machine[UNROLLING_COUNT] - 1
    for choice in range(last + 1):
        unroll_layer(machine, prices, choice, ints, reals)
        for pin in range(PINS):
            if pinned(machine, pin, ints, reals):
                keep(ints, reals, mapping)
                cost_of_nest(ints, reals)
                return choice
    chosen, least = -1, np.full(2, np.inf)
    trial = np.zeros(MAPPING, np.int64)
    for choice in range(last + 1):
        unroll_layer(machine, prices, choice, ints, reals)
        every = machine[EVERY_CUT] != 0
        if objective == FOR_LATENCY and total_cycles(ints, reals) >= least[0]:
            continue
        if search(ints, reals, memories, objective, budget, every, trial, told):
            leak = reals[FIXED, LEAK]
            latency, energy = float(reals[RESULT, LATENCY]), float(reals[RESULT, ENERGY])
            if not worse(objective, latency, energy, leak, least):
                chosen = choice
                least[0] = score(objective, latency, energy, leak)
                least[1] = decider(objective, latency, energy, least[0])
                mapping[:] = trial
    if chosen >= 0:
        unroll_layer(machine, prices, chosen, ints, reals)
        load(ints, reals, mapping)
        cost_of_nest(ints, reals)
    return chosen


@njit
def count_nest(work: Counts, machine: Counts, ints: Counts, reals: Prices, actions: Counts) -> None:
    """Set the cycles and the bytes of every memory from a costed nest, whose time is in steps."""
    step, (coded, plain) = machine[STEP_CYCLES], coded_bits(work, machine)
    for operand in range(3):
        row = ACCESS + 4 * operand
        for level in range(ints[DEPTH, operand]):
            memory = ints[LEVEL + operand, level]
            word = ints[MEMORY_ROW + memory, M_WORD]
            read = (ints[row + READ_DOWN, level] + ints[row + READ_UP, level]) * word
            written = (ints[row + WRITE_UP, level] + ints[row + WRITE_DOWN, level]) * word
            if machine[MEMORY + memory * MEMORY_WIDTH + CODED] != 0:
                read = math.ceil(read * (coded / plain))
                written = math.ceil(written * (coded / plain))
            actions[LEVEL_0 + 2 * memory] += ceil_div(read, 8)
            actions[LEVEL_0 + 2 * memory + 1] += ceil_div(written, 8)
    loading = step * int(reals[RESULT, ONLOAD] + reals[RESULT, OFFLOAD] + reals[RESULT, DRAIN])
    actions[COMPUTE_CYCLES] = step * int(reals[RESULT, IDEAL])
    waiting = requantizing(work, machine) - actions[COMPUTE_CYCLES]
    actions[STALL_CYCLES] = max(step * int(reals[RESULT, STALL]), waiting)
    actions[BOUND] = BY_COMPUTE
    if actions[OVERHEAD_CYCLES] > actions[COMPUTE_CYCLES] + actions[STALL_CYCLES] + loading:
        actions[BOUND] = BY_OVERHEAD
    elif actions[STALL_CYCLES] > max(actions[COMPUTE_CYCLES], loading, command_stall(ints, reals)):
        actions[BOUND] = BY_MEMORY
    elif loading > actions[COMPUTE_CYCLES]:
        actions[BOUND] = BY_LOADING
    actions[OVERHEAD_CYCLES] += loading


@njit
def requantizing(work: Counts, machine: Counts) -> int:
    """Cycles of the unit that brings results onto their grid; 0 where it is not one of its own."""
    if machine[REQUANTIZE_RATE] == 0:
        return 0
    return int(ceil_div(work[W_REQUANTIZATIONS] * FRACTION, machine[REQUANTIZE_RATE]))
