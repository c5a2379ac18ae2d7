"""A technology as one row of floats, and the scalar functions that read it.

The row holds one table per action, in the order of `ENERGY_ACTIONS` and on, then one grid per
`GRID_ACTIONS`, then `BY_PARTS`. A table is its law, the number of points, what the points are for,
the points and their values; an empty one prices nothing. Energies leave here in femtojoules
(thousandths of the technology's unit), areas in square micrometres. Logarithms are the C library's,
compiled or not, so that a price does not depend on the path that computed it.
"""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit

Prices: TypeAlias = NDArray[np.float64]

MAX_POINTS: Final = 16
MAX_WORDS: Final = 8
SIZES, VALUES = 3, 3 + MAX_POINTS
TABLE: Final = 3 + 2 * MAX_POINTS
"""Law, count, what the points are for (`PRODUCT` or `WIDEST`; or the bits of one access)."""
NOTHING, CONSTANT, LINEAR, POWER, STEP, FIT = range(6)
PRODUCT, WIDEST = range(2)
COEFFICIENTS: Final = ("product", "sum", "accumulator", "constant")
"""Of a fit: times w a, w + a, the accumulator's bits, and 1."""

DRAM_TYPES: Final = ("lpddr4", "lpddr", "ddr3", "gddr5", "hbm2", "hmc")
ENERGY_ACTIONS: Final = (
    "multiply",
    "add",
    "register_bit",
    "requantize",
    "lut",
    "float_add",
    "float_multiply",
    "instruction",
    "cycle",
    "wire_bit_mm",
    "stored_weight_bit",
    "flash",
    "dram",
    *DRAM_TYPES,
)
AREA_ACTIONS: Final = (
    "multiply",
    "add",
    "register_bit",
    "requantizer",
    "mac",
    "float_add",
    "float_multiply",
    "sram_byte",
    "control",
)
LEAKAGE_ACTIONS: Final = ("logic", "sram")
GRID_ACTIONS: Final = ("sram_read", "sram_write", "sram")
(
    MULTIPLY,
    ADD,
    REGISTER_BIT,
    REQUANTIZE,
    LUT,
    FLOAT_ADD,
    FLOAT_MULTIPLY,
    INSTRUCTION,
    CYCLE,
    WIRE_BIT_MM,
    STORED_WEIGHT_BIT,
    FLASH,
    DRAM,
) = range(13)
(
    MULTIPLY_AREA,
    ADD_AREA,
    REGISTER_BIT_AREA,
    REQUANTIZER_AREA,
    MAC_AREA,
    FLOAT_ADD_AREA,
    FLOAT_MULTIPLY_AREA,
    SRAM_BYTE_AREA,
    CONTROL,
) = range(len(ENERGY_ACTIONS), len(ENERGY_ACTIONS) + len(AREA_ACTIONS))
LOGIC_LEAKAGE, SRAM_LEAKAGE = range(CONTROL + 1, CONTROL + 3)
GRIDS: Final = TABLE * (SRAM_LEAKAGE + 1)
GRID_VALUES: Final = 2 + MAX_POINTS + MAX_WORDS
GRID: Final = GRID_VALUES + MAX_POINTS * MAX_WORDS
"""Rows, columns, bytes of each row, word bits of each column, values row by row."""
SRAM_READ, SRAM_WRITE, SRAM_AREA = range(3)
BY_PARTS: Final = GRIDS + GRID * len(GRID_ACTIONS)
"""1 where parts have prices in joules, beside which a machine's own may stand; else 0."""
ROW: Final = BY_PARTS + 1


@njit
def power_between(
    size: float, size_0: float, size_1: float, value_0: float, value_1: float
) -> float:
    """The value at `size` on the power law through two points, which come back as printed."""
    if size == size_0:
        return value_0
    if size == size_1:
        return value_1
    exponent = math.log(value_1 / value_0) / math.log(size_1 / size_0)
    return float(value_0 * math.exp(exponent * math.log(size / size_0)))


@njit
def above(technology: Prices, first: int, count: int, size: float) -> int:
    """Index of the upper of the two cited sizes that `size` lies between, or is nearest to."""
    upper = 1
    while upper < count - 1 and size > technology[first + upper]:
        upper += 1
    return upper


@njit
def look_up(technology: Prices, action: int, size: int) -> float:
    """The value of `action` at `size` (bits or bytes, > 0) in the table's own unit; 0 for no law.

    `constant`: the one point. `linear`: straight lines between points, proportional to size
    outside them. `power`: straight lines of the logarithms, the outer ones extended. `step`: the
    next point that holds `size`, the last one beyond.
    """
    start = action * TABLE
    law, count = technology[start], int(technology[start + 1])
    sizes, values = start + SIZES, start + VALUES
    if law == NOTHING:
        return 0.0
    if law == CONSTANT or count == 1:
        return float(technology[values])
    if law == STEP:
        place = 0
        while place < count - 1 and size > technology[sizes + place]:
            place += 1
        return float(technology[values + place])
    upper = above(technology, sizes, count, size)
    size_0, size_1 = technology[sizes + upper - 1], technology[sizes + upper]
    value_0, value_1 = technology[values + upper - 1], technology[values + upper]
    if law == POWER:
        return float(power_between(size, size_0, size_1, value_0, value_1))
    # The points themselves come back exactly as they are printed.
    if size == size_0:
        return float(value_0)
    if size == size_1:
        return float(value_1)
    if size < size_0:
        return float(value_0 * size / size_0)
    if size > size_1:
        return float(value_1 * size / size_1)
    return float(value_0 + (value_1 - value_0) * (size - size_0) / (size_1 - size_0))


@njit
def at_widths(technology: Prices, action: int, w: int, a: int, accumulator: int) -> float:
    """The value of `action` for operands of w and a bits and an accumulator; 0 for no law.

    Below the widths that a fit was made for it gives that of the narrowest of them.
    """
    start = action * TABLE
    sizes, values = start + SIZES, start + VALUES
    if technology[start] != FIT:
        wide = technology[start + 2] == WIDEST
        return float(look_up(technology, action, max(w, a) if wide else w * a))
    x, y = max(float(w), technology[sizes]), max(float(a), technology[sizes + 1])
    z = max(float(accumulator), technology[sizes + 2])
    total = technology[values] * x * y + technology[values + 1] * (x + y)
    return float(total + technology[values + 2] * z + technology[values + 3])


@njit
def along_bytes(technology: Prices, grid: int, column: int, size: float) -> float:
    """The value of one column of a grid for `size` bytes."""
    start = GRIDS + grid * GRID
    rows, columns = int(technology[start]), int(technology[start + 1])
    values = start + GRID_VALUES + column
    if rows == 1:
        return float(technology[values])
    sizes = start + 2
    row = above(technology, sizes, rows, size)
    value_0, value_1 = technology[values + (row - 1) * columns], technology[values + row * columns]
    size_0, size_1 = technology[sizes + row - 1], technology[sizes + row]
    return float(power_between(size, size_0, size_1, value_0, value_1))


@njit
def in_grid(technology: Prices, grid: int, size: float, word: float) -> float:
    """The value of one of `GRID_ACTIONS` for `size` bytes and a word of so many bits.

    Power laws between neighbouring cells, along bytes and then along the word; cells come back as
    printed, the outer lines are extended.
    """
    start = GRIDS + grid * GRID
    words, columns = start + 2 + MAX_POINTS, int(technology[start + 1])
    if columns == 1:
        return float(along_bytes(technology, grid, 0, size))
    right = above(technology, words, columns, word)
    value_0 = along_bytes(technology, grid, right - 1, size)
    value_1 = along_bytes(technology, grid, right, size)
    word_0, word_1 = technology[words + right - 1], technology[words + right]
    return float(power_between(word, word_0, word_1, value_0, value_1))


@njit
def banks(technology: Prices, grid: int, word_bits: float) -> int:
    """How many memories side by side make a word wider than the widest printed one; else 1."""
    start = GRIDS + grid * GRID
    columns = int(technology[start + 1])
    widest = technology[start + 2 + MAX_POINTS + columns - 1]
    return 1 if columns == 1 else max(1, math.ceil(word_bits / widest))


@njit
def multiply_fj(technology: Prices, w: int, a: int) -> float:
    """One multiplication of w by a bits."""
    return float(1000.0 * at_widths(technology, MULTIPLY, w, a, 0))


@njit
def multiplier_area(technology: Prices, w: int, a: int) -> float:
    """Square micrometres of a multiplier of w by a bits."""
    return float(at_widths(technology, MULTIPLY_AREA, w, a, 0))


@njit
def add_fj(technology: Prices, bits: int) -> float:
    """One addition of two numbers of `bits`."""
    return float(1000.0 * look_up(technology, ADD, bits))


@njit
def requantize_fj(technology: Prices, bits: int, multiplier_bits: int) -> float:
    """One requantization of an accumulator: a fixed-point multiply, a rounding, a zero point."""
    start = REQUANTIZE * TABLE
    if technology[start] != NOTHING:
        return float(1000.0 * look_up(technology, REQUANTIZE, multiplier_bits))
    multiply = multiply_fj(technology, bits, multiplier_bits)
    return float(multiply + 2.0 * add_fj(technology, bits))


@njit
def register_byte_fj(technology: Prices, file_bits: int) -> float:
    """One byte written to a register file of so many bits."""
    return float(8000.0 * look_up(technology, REGISTER_BIT, file_bits))


@njit
def lookup_fj(technology: Prices, size_bytes: int) -> float:
    """One entry read from a table of `size_bytes`; 0 for no law."""
    return float(1000.0 * look_up(technology, LUT, size_bytes))


@njit
def real_multiply_fj(technology: Prices, bits: int) -> float:
    """One multiplication of two real numbers of `bits`; 0 for no law."""
    return float(1000.0 * look_up(technology, FLOAT_MULTIPLY, bits))


@njit
def real_add_fj(technology: Prices, bits: int) -> float:
    """One addition of two real numbers of `bits`; 0 for no law."""
    return float(1000.0 * look_up(technology, FLOAT_ADD, bits))


@njit
def instruction_fj(technology: Prices) -> float:
    """One instruction fetched, decoded and issued, its register file accesses included."""
    return float(1000.0 * look_up(technology, INSTRUCTION, 1))


@njit
def sram_byte_fj(technology: Prices, grid: int, size_bytes: float, word_bits: float) -> float:
    """One byte of an access of `word_bits` to an SRAM of `size_bytes`; `SRAM_READ`, `SRAM_WRITE`.

    A table of one word width gives that word's energy a byte at any width. In one of several a
    wider word is that of banks side by side, and a narrower one wastes what it does not take.
    """
    start = GRIDS + grid * GRID
    if technology[start] == 0:
        return 0.0
    narrowest = technology[start + 2 + MAX_POINTS]
    if technology[start + 1] == 1:
        return float(8000.0 / narrowest * in_grid(technology, grid, size_bytes, narrowest))
    word = max(word_bits, narrowest)
    side = banks(technology, grid, word)
    access = side * in_grid(technology, grid, size_bytes / side, word / side)
    return float(8000.0 / word_bits * access)


@njit
def sram_um2(technology: Prices, size_bytes: float, word_bits: float) -> float:
    """Area of an SRAM of `size_bytes` with a port of `word_bits`."""
    start = GRIDS + SRAM_AREA * GRID
    if technology[start] == 0:
        return float(size_bytes * look_up(technology, SRAM_BYTE_AREA, 1))
    word = max(word_bits, technology[start + 2 + MAX_POINTS])
    side = banks(technology, SRAM_AREA, word)
    return float(side * in_grid(technology, SRAM_AREA, size_bytes / side, word / side))


@njit
def flash_byte_fj(technology: Prices) -> float:
    """One byte read from on-chip flash."""
    bits = technology[FLASH * TABLE + 2]
    return 0.0 if bits == 0 else float(8000.0 / bits * look_up(technology, FLASH, 1))


@njit
def dram_byte_fj(technology: Prices, kind: int) -> float:
    """One byte to or from DRAM of a type: 1 + its place in `DRAM_TYPES`, 0 where none is named."""
    bits = technology[(DRAM + kind) * TABLE + 2]
    return 0.0 if bits == 0 else float(8000.0 / bits * look_up(technology, DRAM + kind, 1))
