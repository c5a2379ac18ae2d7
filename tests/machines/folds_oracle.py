"""Folds of a product on an array, one by one in plain Python: the slow twin of `folds`."""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil


@dataclass(frozen=True)
class Array:
    """A small array with its on-chip rates in bytes per cycle; half of `ofmap_bytes` holds sums."""

    rows: int
    cols: int
    dataflow: str
    ofmap_bytes: int
    rates: tuple[Fraction, Fraction, Fraction]
    accumulator_bits: int
    dot_width: int


@dataclass
class Counts:
    """Cycles of the array alone and with its SRAMs; bits read and written at each SRAM."""

    compute: int = 0
    busy: int = 0
    ifmap_read: int = 0
    weight_read: int = 0
    sums_read: int = 0
    sums_written: int = 0


def parts(length: int, size: int) -> list[int]:
    """`length` cut into pieces of `size` and a rest."""
    return [min(size, length - start) for start in range(0, length, size)]


def wait(bits: int, rate: Fraction) -> int:
    """Whole cycles that move `bits`."""
    return ceil(Fraction(bits, 8) / rate)


def run(array: Array, m: int, n: int, k: int, bits: tuple[int, int, int]) -> Counts:
    """Walk every tile, column fold and row fold of one product [m, k] x [k, n]."""
    if array.dataflow == "output_stationary":
        return _output_stationary(array, m, n, k, bits)
    w_bits, a_bits, o_bits = bits
    weights_held = array.dataflow == "weight_stationary"
    on_cols, stream = (n, m) if weights_held else (m, n)
    held_bits, passed_bits = (w_bits, a_bits) if weights_held else (a_bits, w_bits)
    held_rate, passed_rate = array.rates[1], array.rates[0]
    if not weights_held:
        held_rate, passed_rate = passed_rate, held_rate
    taps = parts(k, array.rows * array.dot_width)
    tile = stream
    if len(taps) > 1:
        row_bits = min(on_cols, array.cols) * array.accumulator_bits
        tile = min(stream, array.ofmap_bytes * 4 // row_bits)
    counts = Counts()
    for cols in parts(on_cols, array.cols):
        for t in parts(stream, tile):
            for index, held in enumerate(taps):
                rows = ceil(held / array.dot_width)
                in_bits = 0 if index == 0 else array.accumulator_bits
                out_bits = o_bits if index == len(taps) - 1 else array.accumulator_bits
                padded = rows * array.dot_width
                fill = array.rows + cols - 2
                counts.compute += rows + t + fill
                load = max(rows, wait(padded * cols * held_bits, held_rate))
                flow = max(
                    t,
                    wait(t * padded * passed_bits, passed_rate),
                    wait(t * cols * (in_bits + out_bits), array.rates[2]),
                )
                counts.busy += load + flow + fill
                loaded, passed = held * cols * held_bits, held * t * passed_bits
                counts.weight_read += loaded if weights_held else passed
                counts.ifmap_read += passed if weights_held else loaded
                counts.sums_read += t * cols * in_bits
                counts.sums_written += t * cols * out_bits
    return counts


def _output_stationary(array: Array, m: int, n: int, k: int, bits: tuple[int, int, int]) -> Counts:
    w_bits, a_bits, o_bits = bits
    counts = Counts()
    steps = ceil(k / array.dot_width)
    for rows in parts(m, array.rows):
        for cols in parts(n, array.cols):
            fill = rows + cols - 2
            counts.compute += steps + fill + array.rows
            flow = max(
                steps,
                wait(steps * array.dot_width * rows * a_bits, array.rates[0]),
                wait(steps * array.dot_width * cols * w_bits, array.rates[1]),
            )
            drain = max(array.rows, wait(rows * cols * o_bits, array.rates[2]))
            counts.busy += flow + fill + drain
            counts.ifmap_read += k * rows * a_bits
            counts.weight_read += k * cols * w_bits
            counts.sums_written += rows * cols * o_bits
    return counts
