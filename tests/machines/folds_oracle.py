"""A product on an array fold by fold in plain Python: the slow twin of `folds` and `residency`.

Every width of column folds and every size of tile is tried in every order, its folds walked one
by one, and what DRAM delivers is counted by following what lies in each SRAM.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil


@dataclass(frozen=True)
class Array:
    """A small array: sides, half of each SRAM in bits, rates in bits per cycle, widths in bits."""

    rows: int
    cols: int
    dataflow: str
    halves: tuple[int, int, int]
    rates: tuple[int, int, int, int]
    accumulator_bits: int
    dot_width: int


@dataclass(frozen=True)
class Best:
    """What the best mapping needs."""

    cycles: int
    moved: int
    compute: int
    busy: int


def parts(length: int, size: int) -> list[range]:
    """`length` cut into pieces of `size` and a rest."""
    return [range(start, min(start + size, length)) for start in range(0, length, size)]


def best(array: Array, m: int, n: int, k: int, bits: tuple[int, int, int]) -> Best | None:
    """The mapping of the product [m, k] x [k, n] with fewest cycles, then least DRAM traffic."""
    w_bits, a_bits, o_bits = bits
    prologue = ceil(Fraction(k * (a_bits + w_bits), array.rates[3]))
    found: Best | None = None
    for moved, cols, tiles in _mappings(array, m, n, k, bits):
        compute, busy = _walk(array, k, cols, tiles, bits)
        dram = ceil(Fraction(moved + m * n * o_bits, array.rates[3]))
        cycles = max(busy + prologue, dram)
        if found is None or (cycles, moved) < (found.cycles, found.moved):
            found = Best(cycles, moved, compute, busy)
    return found


def _mappings(
    array: Array, m: int, n: int, k: int, bits: tuple[int, int, int]
) -> Iterator[tuple[int, list[range], list[range]]]:
    w_bits, a_bits, _ = bits
    outputs = array.dataflow == "output_stationary"
    on_cols, tiled, col_bits, tiled_bits = n, m, k * w_bits, k * a_bits
    tiled_half, col_half, sums_half = array.halves
    if array.dataflow == "input_stationary":
        on_cols, tiled, col_bits, tiled_bits = m, n, k * a_bits, k * w_bits
        tiled_half, col_half = col_half, tiled_half
    folded = ceil(k / array.dot_width) > array.rows and not outputs
    for width in range(1, min(array.cols, on_cols) + 1):
        for tile in range(1, min(tiled, array.rows if outputs else tiled) + 1):
            if folded and tile * width * array.accumulator_bits > sums_half:
                continue
            cols, tiles = parts(on_cols, width), parts(tiled, tile)
            for group in range(1, max(len(cols), len(tiles)) + 1):
                stays = (
                    _stays(col_half, col_bits, width, on_cols),
                    _stays(tiled_half, tiled_bits, tile, tiled),
                )
                passed, inner = _loads(cols, tiles, group, stays)
                yield passed * tiled_bits + inner * col_bits, cols, tiles
                inner, passed = _loads(tiles, cols, group, stays[::-1])
                yield passed * tiled_bits + inner * col_bits, cols, tiles


def _stays(half: int, line_bits: int, size: int, length: int) -> int:
    """How many pieces of `size` lines stay in half an SRAM; all of them where the operand does."""
    return length if length * line_bits <= half else half // (size * line_bits)


def _loads(
    blocked: list[range], other: list[range], group: int, stays: tuple[int, int]
) -> tuple[int, int]:
    """Lines that DRAM delivers where `group` pieces of `blocked` wait while all others pass.

    Returns those of (other, blocked). A piece comes again unless it stays: the group, or all.
    """
    all_blocked, all_other = stays[0] >= len(blocked), stays[1] >= len(other)
    seen: set[tuple[str, range]] = set()
    loaded = {"other": 0, "blocked": 0}
    for start in range(0, len(blocked), group):
        if not all_blocked:
            seen -= {("blocked", piece) for piece in blocked}
        if not all_other:
            seen -= {("other", piece) for piece in other}
        for passing in other:
            for waiting in blocked[start : start + group]:
                for role, piece in (("other", passing), ("blocked", waiting)):
                    if (role, piece) not in seen:
                        loaded[role] += len(piece)
                        seen.add((role, piece))
                if stays[1] < 1:
                    seen.discard(("other", passing))
                if stays[0] < group:
                    seen.discard(("blocked", waiting))
    return loaded["other"], loaded["blocked"]


def _walk(
    array: Array, k: int, cols: list[range], tiles: list[range], bits: tuple[int, int, int]
) -> tuple[int, int]:
    """Cycles of every fold in turn: (array, with its SRAMs over each phase)."""
    w_bits, a_bits, o_bits = bits
    steps = ceil(k / array.dot_width)
    load = stream = drain = 0
    first = second = sums = 0
    swapped = array.dataflow == "input_stationary"
    held_bits, passed_bits = (a_bits, w_bits) if swapped else (w_bits, a_bits)
    for c in (len(part) for part in cols):
        for t in (len(part) for part in tiles):
            if array.dataflow == "output_stationary":
                stream += steps + t + c - 2
                drain += t
                first += t * k * a_bits
                second += c * k * w_bits
                sums += t * c * o_bits
                continue
            folds = parts(steps, array.rows)
            for index, held in enumerate(folds):
                taps = min(k, held.stop * array.dot_width) - held.start * array.dot_width
                load += len(held)
                stream += t + len(held) + c - 2
                first += taps * t * passed_bits
                second += taps * c * held_bits
                sums += t * c * (array.accumulator_bits if index else 0)
                sums += t * c * (o_bits if index == len(folds) - 1 else array.accumulator_bits)
    ifmap, weight = (second, first) if swapped else (first, second)
    waits = [
        ceil(Fraction(b, rate))
        for b, rate in zip((ifmap, weight, sums), array.rates[:3], strict=True)
    ]
    if array.dataflow == "output_stationary":
        busy = max(stream, waits[0], waits[1]) + max(drain, waits[2])
    elif swapped:
        busy = max(load, waits[0]) + max(stream, waits[1], waits[2])
    else:
        busy = max(load, waits[1]) + max(stream, waits[0], waits[2])
    return load + stream + drain, busy
