"""A technology as one row of floats, and the scalar functions that read it.

The row holds one table per action, in the order of `ACTIONS`: the law, the number of points, and
the points. Energies leave here in femtojoules, areas in square micrometres. Logarithms are the C
library's, compiled or not, so that a price does not depend on the path that computed it.
"""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit

Prices: TypeAlias = NDArray[np.float64]

MAX_POINTS: Final = 16
TABLE: Final = 2 + 2 * MAX_POINTS
CONSTANT, LINEAR, POWER = range(3)
ENERGY_ACTIONS: Final = (
    "multiply",
    "add",
    "register_bit",
    "instruction",
    "sram_64_bit",
    "flash_64_bit",
    "dram_64_bit",
)
AREA_ACTIONS: Final = ("multiply", "add", "register_bit", "sram_byte")
(MULTIPLY, ADD, REGISTER_BIT, INSTRUCTION, SRAM, FLASH, DRAM) = range(len(ENERGY_ACTIONS))
(MULTIPLY_AREA, ADD_AREA, REGISTER_BIT_AREA, SRAM_BYTE_AREA) = range(
    len(ENERGY_ACTIONS), len(ENERGY_ACTIONS) + len(AREA_ACTIONS)
)
ROW: Final = TABLE * (len(ENERGY_ACTIONS) + len(AREA_ACTIONS))


@njit
def look_up(technology: Prices, action: int, size: int) -> float:
    """The value of `action` at `size` (bits or bytes, > 0) in the table's own unit.

    `constant`: the one point. `linear`: straight lines between points, proportional to size
    outside them. `power`: straight lines of the logarithms, the outer ones extended.
    """
    start = action * TABLE
    law, count = technology[start], int(technology[start + 1])
    sizes, values = start + 2, start + 2 + MAX_POINTS
    if law == CONSTANT or count == 1:
        return float(technology[values])
    upper = 1
    while upper < count - 1 and size > technology[sizes + upper]:
        upper += 1
    size_0, size_1 = technology[sizes + upper - 1], technology[sizes + upper]
    value_0, value_1 = technology[values + upper - 1], technology[values + upper]
    # The points themselves come back exactly as they are printed.
    if size == size_0:
        return float(value_0)
    if size == size_1:
        return float(value_1)
    if law == LINEAR:
        if size < size_0:
            return float(value_0 * size / size_0)
        if size > size_1:
            return float(value_1 * size / size_1)
        return float(value_0 + (value_1 - value_0) * (size - size_0) / (size_1 - size_0))
    exponent = math.log(value_1 / value_0) / math.log(size_1 / size_0)
    return float(value_0 * math.exp(exponent * math.log(size / size_0)))


@njit
def multiply_fj(technology: Prices, product_bits: int) -> float:
    """One w x a multiplication, by its ``w * a`` partial-product bits."""
    return float(1000.0 * look_up(technology, MULTIPLY, product_bits))


@njit
def add_fj(technology: Prices, bits: int) -> float:
    """One addition of two numbers of `bits`."""
    return float(1000.0 * look_up(technology, ADD, bits))


@njit
def register_byte_fj(technology: Prices) -> float:
    """One byte written to a register."""
    return float(8000.0 * look_up(technology, REGISTER_BIT, 1))


@njit
def instruction_fj(technology: Prices) -> float:
    """One instruction fetched, decoded and issued, its register file accesses included."""
    return float(1000.0 * look_up(technology, INSTRUCTION, 1))


@njit
def sram_byte_fj(technology: Prices, size_bytes: int) -> float:
    """One byte of a 64-bit access to an SRAM of `size_bytes`."""
    return float(125.0 * look_up(technology, SRAM, size_bytes))


@njit
def flash_byte_fj(technology: Prices) -> float:
    """One byte of a 64-bit read of on-chip flash."""
    return float(125.0 * look_up(technology, FLASH, 1))


@njit
def dram_byte_fj(technology: Prices) -> float:
    """One byte of a 64-bit access to DRAM."""
    return float(125.0 * look_up(technology, DRAM, 1))
