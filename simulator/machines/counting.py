"""Scalar integer counting that every kind of machine shares: widths, transfers, residency.

Bits are counted exactly and become bytes once per layer and level, rounded up. A rate of bytes
per cycle is an integer of 1/65536, so that a transfer's cycles are an exact integer as well.
"""

from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.machines.actions import (
    COMPUTE_CYCLES,
    ELEMENTWISE,
    INSTRUCTIONS,
    LEVEL_0,
    LOOKUPS,
    OVERHEAD_CYCLES,
    REAL_ADDITIONS,
    REAL_MULTIPLICATIONS,
    REQUANTIZATIONS,
    STALL_CYCLES,
    STORED_WEIGHT_BITS,
    Counts,
)
from simulator.machines.base import (
    ACTIVATION_BITS,
    COMPOSITION,
    FRACTION,
    INFERENCE_CYCLES,
    INFERENCE_INSTRUCTIONS,
    NARROW,
    OP_CYCLES,
    OP_INSTRUCTIONS,
    PRICED_ALONE,
    SCALE_BITS,
    WEIGHT_BITS,
)
from simulator.machines.datapath_schema import FIXED
from simulator.numeric.datapath import WIDEST_OPERAND
from simulator.work import (
    W_ACTIVATION_BITS,
    W_BIAS_BITS,
    W_BIAS_ELEMENTS,
    W_ELEMENTWISE,
    W_GROUPS,
    W_IC,
    W_INPUT_ELEMENTS,
    W_KEPT_INPUTS,
    W_KEPT_OUTPUTS,
    W_KEPT_WEIGHTS,
    W_KX,
    W_KY,
    W_LOOKUPS,
    W_N,
    W_OC,
    W_OUTPUT_BITS,
    W_OUTPUT_ELEMENTS,
    W_OX,
    W_OY,
    W_REAL_ADDITIONS,
    W_REAL_MULTIPLICATIONS,
    W_REQUANTIZATIONS,
    W_REQUANTIZER_SCALES,
    W_WEIGHT_BITS,
    W_WEIGHT_ELEMENTS,
)

_BITS_PER_RATE: Final = FRACTION // 8


@njit
def ceil_div(a: int, b: int) -> int:
    """Divide a by b, rounded up, for a >= 0 and b > 0."""
    return (a + b - 1) // b


@njit
def cycles_for(bits: int, rate: int) -> int:
    """Cycles that move `bits` at `rate` (bytes per cycle in 1/65536), rounded up."""
    return (bits * _BITS_PER_RATE + rate - 1) // rate


@njit
def gemm(work: Counts) -> tuple[int, int, int, int]:
    """A layer as `groups` products of [m, k] by [k, n]: m output pixels, n filters, k taps."""
    m = work[W_N] * work[W_OY] * work[W_OX]
    return work[W_GROUPS], m, work[W_OC], work[W_KY] * work[W_KX] * work[W_IC]


@njit
def weight_bits(work: Counts, machine: Counts) -> int:
    """Width at which a weight is stored: the graph's, or the datapath's where it narrows."""
    if machine[NARROW] != 0 and work[W_WEIGHT_BITS] <= WIDEST_OPERAND:
        return int(min(work[W_WEIGHT_BITS], machine[WEIGHT_BITS]))
    return int(work[W_WEIGHT_BITS])


@njit
def activation_bits(bits: int, machine: Counts) -> int:
    """Width at which an activation of `bits` in the graph is stored; 32 bits are no operand."""
    if machine[NARROW] != 0 and bits <= WIDEST_OPERAND:
        return int(min(bits, machine[ACTIVATION_BITS]))
    return bits


@njit
def refusal(work: Counts, machine: Counts) -> int:
    """0, or the code in `REFUSALS` of why this datapath cannot multiply these operands.

    A composed one takes wider operands in several passes.
    """
    if machine[NARROW] != 0 or work[W_KY] * work[W_KX] * work[W_IC] == 0:
        return 0
    composed = machine[COMPOSITION] != FIXED
    if work[W_WEIGHT_BITS] > (WIDEST_OPERAND if composed else machine[WEIGHT_BITS]):
        return 1
    if work[W_ACTIVATION_BITS] > (WIDEST_OPERAND if composed else machine[ACTIVATION_BITS]):
        return 2
    return 0


@njit
def compulsory_bits(work: Counts, machine: Counts) -> tuple[int, int, int, int]:
    """Bits of the distinct inputs, weights, biases and outputs, each counted once.

    With the biases those of the scales of the requantization, where the machine counts them.
    """
    scales = work[W_REQUANTIZER_SCALES] * machine[SCALE_BITS]
    return (
        work[W_INPUT_ELEMENTS] * activation_bits(work[W_ACTIVATION_BITS], machine),
        work[W_WEIGHT_ELEMENTS] * weight_bits(work, machine),
        work[W_BIAS_ELEMENTS] * work[W_BIAS_BITS] + scales,
        work[W_OUTPUT_ELEMENTS] * activation_bits(work[W_OUTPUT_BITS], machine),
    )


@njit
def kept_bits(work: Counts, machine: Counts) -> tuple[int, int]:
    """Bits of the inputs and outputs that stay on chip between two operators."""
    return (
        work[W_KEPT_INPUTS] * activation_bits(work[W_ACTIVATION_BITS], machine),
        work[W_KEPT_OUTPUTS] * activation_bits(work[W_OUTPUT_BITS], machine),
    )


@njit
def streamed_bits(work: Counts, machine: Counts) -> tuple[int, int]:
    """Bits of the inputs and outputs that do move between this chip and what is beyond it."""
    inputs, _, _, outputs = compulsory_bits(work, machine)
    kept_in, kept_out = kept_bits(work, machine)
    return inputs - kept_in, outputs - kept_out


@njit
def fetched_bits(work: Counts, machine: Counts) -> tuple[int, int]:
    """Bits of the weights and biases that come from beyond this chip: none where kept on it."""
    _, weights, biases, _ = compulsory_bits(work, machine)
    if work[W_KEPT_WEIGHTS] != 0:
        return 0, 0
    return weights, biases


@njit
def passes(
    held: int, streamed: int, held_room: int, streamed_room: int, slab: int, tiles: int
) -> tuple[int, int]:
    """How often two operands come from DRAM, in the better of two orders: (held, streamed).

    Both in bits, rooms being half of their SRAMs: the other half takes the next tile. Either the
    held operand is outermost, read once and the streamed one again for each chunk of it that fits,
    or the other way round. What fits is read once. `slab` is the part of the held operand that
    `tiles` tiles of outputs need in turn; where it does not stay, each tile reads it again.
    """
    reload = 1 if slab <= held_room or held <= held_room else tiles
    streamed_again = 1 if streamed <= streamed_room else max(1, ceil_div(held, held_room))
    held_again = 1 if held <= held_room else max(ceil_div(streamed, streamed_room), reload)
    if reload * held + streamed_again * streamed <= held_again * held + streamed:
        return reload, streamed_again
    return held_again, 1


@njit
def move(actions: Counts, level: int, read_bits: int, write_bits: int) -> None:
    """Set the bytes read from and written to a memory level."""
    actions[LEVEL_0 + 2 * level] = ceil_div(read_bits, 8)
    actions[LEVEL_0 + 2 * level + 1] = ceil_div(write_bits, 8)


@njit
def count_operator(work: Counts, machine: Counts, actions: Counts) -> None:
    """Count what every operator costs on every machine: scalar operations, dispatch, weights."""
    actions[ELEMENTWISE] = work[W_ELEMENTWISE]
    actions[REQUANTIZATIONS] = work[W_REQUANTIZATIONS]
    actions[OVERHEAD_CYCLES] = machine[OP_CYCLES]
    actions[INSTRUCTIONS] += machine[OP_INSTRUCTIONS]
    actions[STORED_WEIGHT_BITS] = work[W_WEIGHT_ELEMENTS] * weight_bits(work, machine)
    actions[LOOKUPS] = work[W_LOOKUPS]
    actions[REAL_MULTIPLICATIONS] = work[W_REAL_MULTIPLICATIONS]
    actions[REAL_ADDITIONS] = work[W_REAL_ADDITIONS]


@njit
def count_cycles(actions: Counts, compute: int, busy: int, dram: int, prologue: int) -> int:
    """Set the cycles of a layer whose DRAM transfers are double-buffered behind its work.

    `compute` is what the datapath needs, `busy` what it needs with its on-chip memories, `dram`
    the cycles of all DRAM transfers, of which `prologue` precede the first operation. Returns the
    cycles spent waiting for DRAM alone.
    """
    waiting = max(0, dram - prologue - busy)
    actions[COMPUTE_CYCLES] = compute
    actions[STALL_CYCLES] = busy - compute + waiting
    actions[OVERHEAD_CYCLES] += prologue
    return waiting


@njit
def alike(works: Counts) -> Counts:
    """Of each work the first that is equal to it, which may be itself: int64 [L]."""
    first = np.zeros(works.shape[0], np.int64)
    for layer in range(works.shape[0]):
        field = 0
        while field < works.shape[1]:
            field += 1
            if works[first[layer], field - 1] != works[layer, field - 1]:
                first[layer] += 1
                field = 0
    return first


@njit
def counts_as(machine: Counts, other: Counts) -> bool:
    """Whether two machines of a kind do the same actions: they differ in prices at most."""
    for column in range(machine.shape[0]):
        if machine[column] != other[column] and column not in PRICED_ALONE:
            return False
    return True


@njit
def start_inference(layer: int, machine: Counts, actions: Counts) -> None:
    """Charge the first layer with what starting an inference costs."""
    if layer == 0:
        actions[OVERHEAD_CYCLES] += machine[INFERENCE_CYCLES]
        actions[INSTRUCTIONS] += machine[INFERENCE_INSTRUCTIONS]
