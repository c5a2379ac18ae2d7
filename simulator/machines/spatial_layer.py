"""A layer on a `spatial` machine: on its array in the best mapping, or past its vector unit."""

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
from simulator.machines.base import DOT_WIDTH
from simulator.machines.composition import count_products
from simulator.machines.counting import (
    ceil_div,
    compulsory_bits,
    count_operator,
    gemm,
    refusal,
)
from simulator.machines.expansion import expand_weights
from simulator.machines.hierarchy import (
    BY_COMPUTE,
    BY_MEMORY,
    BY_OVERHEAD,
    LANES,
    MEMORY,
    MEMORY_COUNT,
    MEMORY_WIDTH,
    NOTHING_FITS,
    REQUANTIZE_RATE,
    VECTOR_UNIT,
    count_nest,
    map_layer,
    requantizing,
)
from simulator.mapping.layout import INPUT, M_HOLDS, M_RATE, MEMORY_COLUMNS, OUTPUT, WEIGHT
from simulator.work import W_ELEMENTWISE, W_REQUANTIZATIONS


@njit
def outermost(machine: Counts, operand: int) -> int:
    """The outermost memory that holds an operand."""
    found = 0
    for memory in range(machine[MEMORY_COUNT]):
        if (machine[MEMORY + memory * MEMORY_WIDTH + M_HOLDS] >> operand) & 1:
            found = memory
    return found


@njit
def vector_cost(work: Counts, machine: Counts, actions: Counts) -> None:
    """A layer without multiply-accumulates: its operands stream past the vector unit once.

    Each comes from the outermost memory that holds it and the results return there.
    """
    inputs, weights, biases, outputs = compulsory_bits(work, machine)
    scalars = work[W_ELEMENTWISE]
    if machine[REQUANTIZE_RATE] == 0:
        scalars += work[W_REQUANTIZATIONS]
    compute = max(ceil_div(scalars, machine[LANES]), requantizing(work, machine))
    moving = 0
    for memory in range(machine[MEMORY_COUNT]):
        read = written = 0
        if memory == outermost(machine, INPUT):
            read += inputs
        if memory == outermost(machine, WEIGHT):
            read += weights + biases
        if memory == outermost(machine, OUTPUT):
            written += outputs
        actions[LEVEL_0 + 2 * memory] = ceil_div(read, 8)
        actions[LEVEL_0 + 2 * memory + 1] = ceil_div(written, 8)
        rate = machine[MEMORY + memory * MEMORY_WIDTH + M_RATE]
        moving = max(moving, ceil_div(read + written, rate))
    actions[COMPUTE_CYCLES] = compute
    actions[STALL_CYCLES] = max(0, moving - compute)
    actions[UNIT] = VECTOR_UNIT
    actions[BOUND] = BY_MEMORY if moving > 2 * compute else BY_COMPUTE
    if actions[OVERHEAD_CYCLES] > max(compute, moving):
        actions[BOUND] = BY_OVERHEAD


@njit
def add_biases(work: Counts, machine: Counts, actions: Counts) -> None:
    """Count the biases, read once from where the weights are; they load with the first of them."""
    outer = outermost(machine, WEIGHT)
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
) -> int:
    """Fill the int64 [ACTIONS] of one layer; `read_memories` has filled the tables before.

    Returns the unrolling of its nest, which is left in `mapping`, or -1 where it has none.
    """
    clear(actions)
    actions[REFUSAL] = refusal(work, machine)
    if actions[REFUSAL] != 0:
        return -1
    count_operator(work, machine, actions)
    groups, m, n, k = gemm(work)
    if m * n * k == 0:
        vector_cost(work, machine, actions)
        return -1
    chosen = map_layer(work, machine, prices, ints, reals, mapping, told)
    if chosen < 0:
        actions[REFUSAL] = NOTHING_FITS
        return -1
    macs = groups * m * n * k
    count_products(work, machine, actions, ceil_div(macs, machine[DOT_WIDTH]))
    count_nest(work, machine, ints, reals, actions)
    expand_weights(work, machine, ints, machine[MEMORY + MEMORY_COLUMNS :: MEMORY_WIDTH], actions)
    add_biases(work, machine, actions)
    return int(chosen)
