"""Prices per action and areas, shared by the kinds: what a datapath costs in a technology.

A kind's `design_prices` calls `datapath_prices`, prices its memory levels, fills its areas and
returns `finish`.
"""

import math
from typing import Final

from simulator.jit import njit
from simulator.machines.actions import (
    ACCUMULATIONS,
    ACTIONS,
    AREA_CONTROL,
    AREA_SRAM,
    AREAS,
    COMPUTE_CYCLES,
    ELEMENTWISE,
    INSTRUCTIONS,
    LEVEL_0,
    LOOKUPS,
    MULTIPLIER_CYCLES,
    REAL_ADDITIONS,
    REAL_MULTIPLICATIONS,
    REAL_PRODUCTS,
    REGISTER_BYTES,
    REQUANTIZATIONS,
    STORED_WEIGHT_BITS,
    TREE_ADDITIONS,
    Counts,
    Prices,
)
from simulator.machines.base import (
    ACCUMULATOR_BITS,
    ACTIVATION_BITS,
    CLOCK_HZ,
    COMPOSITION,
    DOT_WIDTH,
    DRAM_KIND,
    FRACTION,
    MULTIPLIER_BITS,
    WEIGHT_BITS,
    WIRE_UM,
    ZERO_POINT,
)
from simulator.machines.composition import multiplier_cycle_fj, multiplier_um2
from simulator.machines.datapath_schema import FIXED
from simulator.technology.laws import (
    ADD_AREA,
    CONTROL,
    CYCLE,
    LOGIC_LEAKAGE,
    MAC_AREA,
    NOTHING,
    REGISTER_BIT_AREA,
    REQUANTIZER_AREA,
    SRAM_LEAKAGE,
    SRAM_READ,
    SRAM_WRITE,
    STORED_WEIGHT_BIT,
    TABLE,
    WIRE_BIT_MM,
    add_fj,
    at_widths,
    dram_byte_fj,
    flash_byte_fj,
    instruction_fj,
    look_up,
    lookup_fj,
    multiplier_area,
    real_add_fj,
    real_multiply_fj,
    register_byte_fj,
    requantize_fj,
    sram_byte_fj,
)
from simulator.technology.laws import sram_um2 as memory_um2

ALU_BITS: Final = 32
"""Width of a scalar operation outside the multiply-accumulates."""
REAL_BITS: Final = 32
"""Width of real numbers: every operator on them computes in float32."""
LUT_BYTES: Final = 512
"""Of a table of a function's values: 256 entries of 16 bits; others have 256 to 1026 bytes."""
UM2_PER_MM2: Final = 1e6
_LEAKED: Final = 1e9
"""Femtojoules a cycle of a microwatt at a hertz."""


@njit
def wide_activation(machine: Counts) -> int:
    """Bits of an activation at the multiplier: one more where its zero point is subtracted."""
    subtracted = 1 if machine[ZERO_POINT] == 0 else 0
    return int(machine[ACTIVATION_BITS] + subtracted)


@njit
def tree_bits(machine: Counts) -> int:
    """Width of the adders that sum `dot_width` products before the accumulator."""
    carry = math.ceil(math.log2(machine[DOT_WIDTH]))
    return int(machine[WEIGHT_BITS] + wide_activation(machine) + carry)


@njit
def datapath_prices(machine: Counts, technology: Prices, prices: Prices) -> None:
    """Fill the float64 prices, in femtojoules, of every action that no memory level does."""
    bits = machine[ACCUMULATOR_BITS]
    for action in range(ACTIONS):
        prices[action] = 0.0
    prices[MULTIPLIER_CYCLES] = multiplier_cycle_fj(machine, technology)
    prices[TREE_ADDITIONS] = add_fj(technology, tree_bits(machine))
    prices[ACCUMULATIONS] = add_fj(technology, bits)
    prices[REQUANTIZATIONS] = requantize_fj(technology, bits, machine[MULTIPLIER_BITS])
    prices[ELEMENTWISE] = add_fj(technology, ALU_BITS)
    prices[LOOKUPS] = lookup_fj(technology, LUT_BYTES)
    multiply = real_multiply_fj(technology, REAL_BITS)
    add = real_add_fj(technology, REAL_BITS)
    # Without a price of reals a scalar operation costs what it does on integers.
    prices[REAL_PRODUCTS] = multiply if add > 0.0 else 0.0
    prices[REAL_MULTIPLICATIONS] = multiply if multiply > 0.0 else prices[ELEMENTWISE]
    prices[REAL_ADDITIONS] = add if add > 0.0 else prices[ELEMENTWISE]
    prices[INSTRUCTIONS] = instruction_fj(technology)
    prices[REGISTER_BYTES] = register_byte_fj(technology, ALU_BITS)
    prices[STORED_WEIGHT_BITS] = 1000.0 * look_up(technology, STORED_WEIGHT_BIT, 1)


@njit
def wire_byte_fj(machine: Counts, technology: Prices) -> float:
    """One byte over the wires between an on-chip memory and the datapath."""
    return float(8.0 * machine[WIRE_UM] * look_up(technology, WIRE_BIT_MM, 1))


@njit
def word_of(rate: int) -> float:
    """Bits of a word of a memory that moves `rate` bytes a cycle, in 1/65536."""
    return float(rate * 8.0 / FRACTION)


@njit
def sram_prices(
    machine: Counts, technology: Prices, prices: Prices, level: int, size: int, word_bits: float
) -> None:
    """Price a byte read from and one written to a level that is an SRAM of `size` bytes."""
    wire = wire_byte_fj(machine, technology)
    for way, grid in enumerate((SRAM_READ, SRAM_WRITE)):
        byte_fj = sram_byte_fj(technology, grid, float(size), word_bits)
        prices[LEVEL_0 + 2 * level + way] = byte_fj + wire


@njit
def dram_prices(machine: Counts, technology: Prices, prices: Prices, level: int) -> None:
    """Price a byte of a level that is DRAM, of the type that the machine names."""
    for way in range(2):
        prices[LEVEL_0 + 2 * level + way] = dram_byte_fj(technology, machine[DRAM_KIND])


@njit
def flash_prices(technology: Prices, prices: Prices, level: int) -> None:
    """Price a byte of a level that is on-chip flash."""
    for way in range(2):
        prices[LEVEL_0 + 2 * level + way] = flash_byte_fj(technology)


@njit
def register_prices(technology: Prices, prices: Prices, level: int, bits: int) -> None:
    """Price a byte of a level that is a register file of `bits`."""
    for way in range(2):
        prices[LEVEL_0 + 2 * level + way] = register_byte_fj(technology, bits)


@njit
def mac_um2(machine: Counts, technology: Prices) -> float:
    """Area of one unit of `dot_width` multipliers, their adder tree and the accumulating adder.

    Without the accumulator's register: a law of a whole multiply-accumulate gives its area less
    that register, which is counted among registers.
    """
    dot, bits = machine[DOT_WIDTH], machine[ACCUMULATOR_BITS]
    multiplier = multiplier_um2(machine, technology)
    if technology[MAC_AREA * TABLE] != NOTHING and machine[COMPOSITION] == FIXED:
        w, a = machine[WEIGHT_BITS], wide_activation(machine)
        whole = at_widths(technology, MAC_AREA, w, a, bits)
        first = max(0.0, whole - register_um2(technology, bits))
    else:
        first = multiplier + look_up(technology, ADD_AREA, bits)
    tree = look_up(technology, ADD_AREA, tree_bits(machine))
    return float(first + (dot - 1) * (multiplier + tree))


@njit
def requantizer_um2(machine: Counts, technology: Prices) -> float:
    """Area of a requantizer; where a technology has none, of one multiplier and two adders."""
    bits, multiplier_bits = machine[ACCUMULATOR_BITS], machine[MULTIPLIER_BITS]
    if technology[REQUANTIZER_AREA * TABLE] != NOTHING:
        return float(look_up(technology, REQUANTIZER_AREA, multiplier_bits))
    multiplier = multiplier_area(technology, bits, multiplier_bits)
    return float(multiplier + 2.0 * look_up(technology, ADD_AREA, bits))


@njit
def alu_um2(technology: Prices) -> float:
    """Area of one lane of a vector unit: an adder of `ALU_BITS` and its result register."""
    adder = look_up(technology, ADD_AREA, ALU_BITS)
    return float(adder + register_um2(technology, ALU_BITS))


@njit
def register_um2(technology: Prices, bits: int) -> float:
    """Area of a register of `bits`."""
    return float(bits * look_up(technology, REGISTER_BIT_AREA, 1))


@njit
def sram_um2(technology: Prices, size_bytes: int, word_bits: float) -> float:
    """Area of an SRAM of `size_bytes` with a port of `word_bits`."""
    return float(memory_um2(technology, float(size_bytes), word_bits))


@njit
def finish(machine: Counts, technology: Prices, areas: Prices, prices: Prices) -> float:
    """Add control to the areas in um2, price a cycle by them, and return their sum in mm2."""
    logic = 0.0
    for part in range(AREAS):
        if part != AREA_SRAM and part != AREA_CONTROL:
            logic += areas[part]
    areas[AREA_CONTROL] = logic * look_up(technology, CONTROL, 1)
    logic += areas[AREA_CONTROL]
    leaked = logic * look_up(technology, LOGIC_LEAKAGE, 1)
    leaked += areas[AREA_SRAM] * look_up(technology, SRAM_LEAKAGE, 1)
    prices[COMPUTE_CYCLES] = 1000.0 * look_up(technology, CYCLE, 1)
    prices[COMPUTE_CYCLES] += leaked / UM2_PER_MM2 * _LEAKED / machine[CLOCK_HZ]
    return float((logic + areas[AREA_SRAM]) / UM2_PER_MM2)
