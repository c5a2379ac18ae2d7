"""A VLIW SIMD signal processor: vector multiplies that reduce bytes into 32-bit lanes.

Modelled on Hexagon HVX: a packet holds a few instructions, each vector multiply takes the dot
product of `datapath.dot_width` bytes in every lane. Filters lie across the lanes and input
channels along the reduction; what they do not fill is wasted and counted. Depthwise layers have
nothing to reduce: their channels lie across lanes of double width and are widened by extra adds.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from simulator.jit import njit
from simulator.machines.actions import (
    ACTIONS,
    AREA_MAC,
    AREA_REGISTER,
    AREA_SRAM,
    AREAS,
    BOUND,
    COMPONENTS,
    COMPUTE_CYCLES,
    INSTRUCTIONS,
    OVERHEAD_CYCLES,
    REFUSAL,
    REGISTER_BYTES,
    STALL_CYCLES,
    Counts,
    Prices,
    add_layer,
    add_part,
    clear,
    keep_layer,
)
from simulator.machines.base import DOT_WIDTH, REFUSALS, Machine
from simulator.machines.composition import count_products, decompression_cycles
from simulator.machines.counting import (
    activation_bits,
    alike,
    ceil_div,
    compulsory_bits,
    count_cycles,
    count_operator,
    counts_as,
    cycles_for,
    fetched_bits,
    gemm,
    move,
    passes,
    refusal,
    start_inference,
    streamed_bits,
    weight_bits,
)
from simulator.machines.dsp_schema import (
    ALU_SLOTS,
    BY_ALU,
    BY_FAR,
    BY_LOAD_STORE,
    BY_MULTIPLY,
    BY_NEAR,
    BY_OVERHEAD,
    BY_PERMUTE,
    COLUMNS,
    CONTEXTS,
    FAR,
    FAR_RATE,
    MEMORY_SLOTS,
    MULTIPLY_SLOTS,
    NEAR,
    NEAR_BYTES,
    NEAR_RATE,
    NEAR_RESIDENT,
    PERMUTE_SLOTS,
    PIXEL_BLOCK,
    REGISTERS,
    REQUANTIZE,
    REQUANTIZE_PERMUTES,
    TRANSFER_CYCLES,
    VECTOR_BITS,
    Memory,
    Vector,
)
from simulator.machines.pricing import (
    datapath_prices,
    dram_prices,
    finish,
    mac_um2,
    register_um2,
    sram_prices,
    sram_um2,
    word_of,
)
from simulator.machines.registry import register
from simulator.machines.vector_multiplies import (
    container,
    dense_multiplies,
    depthwise_multiplies,
)
from simulator.work import (
    W_ACTIVATION_BITS,
    W_DEPTHWISE,
    W_ELEMENTWISE,
    W_MORE,
    W_OUTPUT_BITS,
    W_REQUANTIZATIONS,
    W_TIMES,
)


@njit
def count_instructions(
    work: Counts, machine: Counts, actions: Counts
) -> tuple[int, int, int, int, int]:
    """Count the vector instructions of a layer: (multiply slots, ALU, permutes, loads, stores)."""
    inputs, weights, biases, outputs = compulsory_bits(work, machine)
    groups, m, n, k = gemm(work)
    w = container(machine, weight_bits(work, machine))
    a = container(machine, activation_bits(work[W_ACTIVATION_BITS], machine))
    bits = machine[VECTOR_BITS]
    lanes = max(1, bits // 32)
    multiplies = weight_loads = 0
    sums_vectors = ceil_div(work[W_REQUANTIZATIONS], lanes)
    alu = sums_vectors * machine[REQUANTIZE]
    permutes = sums_vectors * machine[REQUANTIZE_PERMUTES]
    alu += ceil_div(work[W_ELEMENTWISE], lanes)
    loaded, stored = inputs, outputs
    if k > 0:
        sums, blocks = groups * m * n * k, ceil_div(m, machine[PIXEL_BLOCK])
        # A depthwise tap is loaded once for its own channel, a dense one for each lane block.
        again = 1
        if work[W_DEPTHWISE] != 0:
            multiplies, weight_loads, widening = depthwise_multiplies(
                work, machine, w, a, bits, blocks
            )
            alu += widening
        else:
            multiplies, weight_loads, sums = dense_multiplies(work, machine, w, a, bits, blocks)
            again = ceil_div(n, bits // (8 * machine[DOT_WIDTH]))
        loaded = groups * m * k * a * again
        stored = groups * m * n * container(machine, activation_bits(work[W_OUTPUT_BITS], machine))
        count_products(work, machine, actions, sums)
        expanding = decompression_cycles(work, machine, blocks * groups * n * k, actions)
        alu += expanding * machine[CONTEXTS] * machine[ALU_SLOTS]
    loads = weight_loads + ceil_div(loaded, bits) + ceil_div(biases, bits)
    if k == 0:
        loads += ceil_div(weights, bits)
    stores = ceil_div(stored, bits)
    actions[INSTRUCTIONS] += multiplies + alu + permutes + loads + stores
    actions[REGISTER_BYTES] = (multiplies + alu + permutes + loads) * ceil_div(bits, 8)
    return multiplies, alu, permutes, loads, stores


@njit
def layer_cost(work: Counts, machine: Counts, actions: Counts) -> None:
    """Fill the int64 [ACTIONS] of one layer from its int64 work and machine rows."""
    clear(actions)
    actions[REFUSAL] = refusal(work, machine)
    if actions[REFUSAL] != 0:
        return
    count_operator(work, machine, actions)
    multiplies, alu, permutes, loads, stores = count_instructions(work, machine, actions)
    by_multiply = ceil_div(multiplies, machine[CONTEXTS] * machine[MULTIPLY_SLOTS])
    by_alu = ceil_div(alu, machine[CONTEXTS] * machine[ALU_SLOTS])
    by_memory = ceil_div(loads + stores, machine[CONTEXTS] * machine[MEMORY_SLOTS])
    by_permute = ceil_div(permutes, machine[CONTEXTS] * machine[PERMUTE_SLOTS])
    packets = max(max(by_multiply, by_alu), max(by_permute, by_memory))
    inputs, _, _, _ = compulsory_bits(work, machine)
    weights, biases = fetched_bits(work, machine)
    # Half of the near memory takes the next tile; weights and inputs share the other half.
    room = (machine[NEAR_BYTES] - machine[NEAR_RESIDENT]) * 2
    w_again, in_again = passes(weights, inputs, room, room, 0, 1)
    inputs, outputs = streamed_bits(work, machine)
    fetched = w_again * weights + in_again * inputs + biases
    loaded, stored = loads * machine[VECTOR_BITS], stores * machine[VECTOR_BITS]
    move(actions, NEAR, loaded + outputs, stored + fetched)
    move(actions, FAR, fetched, outputs)
    rate = machine[FAR_RATE]
    starts = ceil_div(fetched + outputs, 2 * room) * machine[TRANSFER_CYCLES]
    busy = max(packets, cycles_for(loaded + stored, machine[NEAR_RATE]))
    first = min(weights, machine[VECTOR_BITS]) + min(inputs, machine[VECTOR_BITS])
    dram, prologue = cycles_for(fetched + outputs, rate) + starts, cycles_for(first, rate)
    waiting = count_cycles(actions, packets, busy, dram, prologue)
    if packets == by_multiply:
        slots = BY_MULTIPLY
    elif packets == by_alu:
        slots = BY_ALU
    else:
        slots = BY_PERMUTE if packets == by_permute else BY_LOAD_STORE
    actions[BOUND] = bound_by(actions, waiting, slots)


@njit
def bound_by(actions: Counts, waiting: int, slots: int) -> int:
    """What most of a layer's time waits for; `slots` are the fullest ones of its packets."""
    if actions[OVERHEAD_CYCLES] > actions[COMPUTE_CYCLES] + actions[STALL_CYCLES]:
        return BY_OVERHEAD
    if waiting > 0:
        return BY_FAR
    if actions[STALL_CYCLES] > 0:
        return BY_NEAR
    return slots


@njit
def design_areas(machine: Counts, technology: Prices, areas: Prices) -> None:
    """Fill the float64 [AREAS] in um2: multiply units with their lanes, vector registers and L2.

    No scalar core, no wires, control as the technology says.
    """
    lanes = machine[VECTOR_BITS] // (8 * machine[DOT_WIDTH])
    units = machine[CONTEXTS] * machine[MULTIPLY_SLOTS] * lanes
    bits = machine[REGISTERS] * machine[VECTOR_BITS]
    areas[AREA_MAC] = units * mac_um2(machine, technology)
    areas[AREA_REGISTER] = machine[CONTEXTS] * register_um2(technology, bits)
    areas[AREA_SRAM] = sram_um2(technology, machine[NEAR_BYTES], word_of(machine[NEAR_RATE]))


@njit
def design_prices(machine: Counts, technology: Prices, prices: Prices) -> float:
    """Fill the float64 prices in femtojoules of each action; returns the area in mm2."""
    datapath_prices(machine, technology, prices)
    word = word_of(machine[NEAR_RATE])
    sram_prices(machine, technology, prices, NEAR, machine[NEAR_BYTES], word)
    dram_prices(machine, technology, prices, FAR)
    areas = np.zeros(AREAS)
    design_areas(machine, technology, areas)
    return float(finish(machine, technology, areas, prices))


@njit
def evaluate(
    works: Counts,
    machines: Counts,
    technologies: Prices,
    technology_of: Counts,
    totals: Counts,
    areas: Prices,
    counts: Counts,
    energies: Counts,
) -> None:
    """Cost every layer on every design; see `simulator.designs.evaluate_rows` for the arrays."""
    prices = np.zeros(ACTIONS, np.float64)
    actions = np.zeros(ACTIONS, np.int64)
    done = np.zeros((works.shape[0], ACTIONS), np.int64)
    first = alike(works)
    energy = np.zeros(COMPONENTS, np.int64)
    for design in range(machines.shape[0]):
        machine = machines[design]
        areas[design] = design_prices(machine, technologies[technology_of[design]], prices)
        again = design > 0 and counts_as(machine, machines[design - 1])
        layer = longest = 0
        clear(actions)
        for row in range(works.shape[0]):
            if first[row] == row and not again:
                layer_cost(works[row], machine, done[row])
            longest = add_part(works[row, W_TIMES], done[first[row]], actions, longest)
            if works[row, W_MORE] != 0:
                continue
            start_inference(layer, machine, actions)
            add_layer(layer, actions, prices, energy, totals[design])
            if counts.shape[0] > 0:
                keep_layer(actions, energy, counts[design, layer], energies[design, layer])
            layer, longest = layer + 1, 0
            clear(actions)


@register
class Dsp(Machine):
    """`model: dsp`: vector contexts of VLIW packets over a level-2 memory and DRAM."""

    resident: ClassVar = "memory.near.resident_bytes"
    columns: ClassVar = COLUMNS
    units: ClassVar = ("vector",)
    refusals: ClassVar = REFUSALS
    design_prices: ClassVar = staticmethod(design_prices)
    design_areas: ClassVar = staticmethod(design_areas)
    evaluate: ClassVar = staticmethod(evaluate)

    model: Literal["dsp"]
    vector: Vector
    memory: Memory

    @model_validator(mode="after")
    def _lanes_fill_the_vector(self) -> Self:
        lane = 8 * self.datapath.dot_width
        if self.vector.bits % lane:
            raise ValueError(
                f"vector.bits must be a multiple of 8 * datapath.dot_width = {lane}, the bits of a "
                f"lane; found {self.vector.bits}"
            )
        if self.datapath.accumulator.bits > lane:
            raise ValueError(
                f"datapath.accumulator.bits must be <= 8 * datapath.dot_width = {lane}, the bits "
                f"of a lane; found {self.datapath.accumulator.bits}"
            )
        return self

    @property
    def levels(self) -> tuple[str, ...]:
        """Level 2 or the scratchpad, and DRAM."""
        return ("scratchpad" if self.memory.scratchpad else "l2", "dram")

    @property
    def bounds(self) -> tuple[str, ...]:
        """The slots of a packet, the memories, and the start of an operator."""
        return ("multiply", "alu", "permute", "load_store", *self.levels, "overhead")

    def srams(self) -> Mapping[str, int]:
        """Bytes of level 2 or of the scratchpad by level name."""
        return {self.levels[0]: self.memory.near.bytes}

    def words(self) -> Mapping[str, float]:
        """What that memory moves in a cycle, in bits."""
        return {self.levels[0]: 8 * self.memory.near.bytes_per_cycle}

    def storage(self) -> tuple[None, None]:
        """No limit: what does not fit on chip comes from DRAM."""
        return None, None

    @property
    def held_weight_bits(self) -> int:
        """What one layer may hold: half of the half that works, beside its inputs."""
        return (self.memory.near.bytes - self.memory.near.resident_bytes) * 2

    @property
    def outer_bytes_per_cycle(self) -> float:
        """Of DRAM, through the DMA where there is one."""
        return self.memory.far_bytes_per_cycle

    @property
    def peak_macs_per_cycle(self) -> int:
        """Every byte of every multiply slot of every context."""
        return self.vector.contexts * self.vector.multiply_slots * self.vector.bits // 8
