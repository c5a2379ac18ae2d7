"""Prices per action, shared by the kinds: what a datapath's actions cost in a technology.

A kind's `design_prices` calls `datapath_prices`, adds its memory levels, and returns its area.
"""

import math
from typing import Final

from simulator.jit import njit
from simulator.machines.actions import (
    ACCUMULATIONS,
    ACTIONS,
    ELEMENTWISE,
    INSTRUCTIONS,
    LEVEL_0,
    MULTIPLIER_CYCLES,
    REGISTER_BYTES,
    REQUANTIZATIONS,
    TREE_ADDITIONS,
    Counts,
    Prices,
)
from simulator.machines.base import (
    ACCUMULATOR_BITS,
    ACTIVATION_BITS,
    DOT_WIDTH,
    MULTIPLIER_BITS,
    WEIGHT_BITS,
    ZERO_POINT,
)
from simulator.machines.composition import multiplier_cycle_fj, multiplier_um2
from simulator.technology.laws import (
    ADD_AREA,
    MULTIPLY_AREA,
    REGISTER_BIT_AREA,
    SRAM_BYTE_AREA,
    add_fj,
    instruction_fj,
    look_up,
    multiply_fj,
    register_byte_fj,
)

ALU_BITS: Final = 32
"""Width of a scalar operation outside the multiply-accumulates."""
UM2_PER_MM2: Final = 1e6


@njit
def tree_bits(machine: Counts) -> int:
    """Width of the adders that sum `dot_width` products before the accumulator."""
    subtracted = 1 if machine[ZERO_POINT] == 0 else 0
    carry = math.ceil(math.log2(machine[DOT_WIDTH]))
    return int(machine[WEIGHT_BITS] + machine[ACTIVATION_BITS] + subtracted + carry)


@njit
def datapath_prices(machine: Counts, technology: Prices, prices: Prices) -> None:
    """Fill the float64 prices, in femtojoules, of every action that no memory level does."""
    bits = machine[ACCUMULATOR_BITS]
    for action in range(ACTIONS):
        prices[action] = 0.0
    prices[MULTIPLIER_CYCLES] = multiplier_cycle_fj(machine, technology)
    prices[TREE_ADDITIONS] = add_fj(technology, tree_bits(machine))
    prices[ACCUMULATIONS] = add_fj(technology, bits)
    # A fixed-point multiplier, a rounding and the output zero point.
    multiply = multiply_fj(technology, bits * machine[MULTIPLIER_BITS])
    prices[REQUANTIZATIONS] = multiply + 2.0 * add_fj(technology, bits)
    prices[ELEMENTWISE] = add_fj(technology, ALU_BITS)
    prices[INSTRUCTIONS] = instruction_fj(technology)
    prices[REGISTER_BYTES] = register_byte_fj(technology)


@njit
def level_price(prices: Prices, level: int, byte_fj: float) -> None:
    """Price a byte of a memory level; reads and writes cost the same in the tables we have."""
    prices[LEVEL_0 + 2 * level] = byte_fj
    prices[LEVEL_0 + 2 * level + 1] = byte_fj


@njit
def mac_um2(machine: Counts, technology: Prices) -> float:
    """Area of one unit of `dot_width` multipliers, their adder tree and the accumulating adder."""
    dot = machine[DOT_WIDTH]
    multiplier = multiplier_um2(machine, technology)
    tree = look_up(technology, ADD_AREA, tree_bits(machine))
    adder = look_up(technology, ADD_AREA, machine[ACCUMULATOR_BITS])
    return float(dot * multiplier + (dot - 1) * tree + adder)


@njit
def requantizer_um2(machine: Counts, technology: Prices) -> float:
    """Area of what a requantization is priced as: one multiplier and two adders."""
    bits = machine[ACCUMULATOR_BITS]
    multiplier = look_up(technology, MULTIPLY_AREA, bits * machine[MULTIPLIER_BITS])
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
def sram_um2(technology: Prices, size_bytes: int) -> float:
    """Area of an SRAM of `size_bytes`."""
    return float(size_bytes * look_up(technology, SRAM_BYTE_AREA, 1))
