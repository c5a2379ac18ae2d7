"""A requantizer step by step: what each register between accumulator and output holds.

Written for whoever builds one: whole arrays, one line a step, each with its width. The engine's
kernels in `simulator.numeric.requantize` do all steps at once; the last stage here equals them.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array
from simulator.numeric.dialect import Rounding
from simulator.numeric.requantize import Requantize

Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Stage:
    """The values after one step, (rows, channels), the bits they need, and what the step does."""

    name: str
    values: Array
    bits: int
    meaning: str


def stages(accumulators: Array, by: Requantize, output_bits: int) -> tuple[Stage, ...]:
    """Every step from `accumulators` (rows, channels) to the output, in order.

    The last is called `clamped` and is the output. Empty where the sums themselves are the output.
    """
    return tuple(_STAGES[by.rounding](accumulators.astype(np.int64), by, output_bits))


def _double_round(acc: Integers, by: Requantize, output_bits: int) -> Iterator[Stage]:
    """LiteRT: gemmlowp's saturating rounding doubling high product, then a rounding shift."""
    right = yield from _high_product(acc, by)
    half = (np.int64(1) << right) >> 1
    high = _high(acc, by)
    rounded = np.sign(high) * ((np.abs(high) + half) >> right)
    yield Stage("rounded", rounded, 32, "high / 2^max(-shift, 0), rounded, ties away from zero")
    yield from _onto_grid(rounded, by, 33, output_bits)


def _double_round_up(acc: Integers, by: Requantize, output_bits: int) -> Iterator[Stage]:
    """As `_double_round`, the second tie up (ruy)."""
    right = yield from _high_product(acc, by)
    rounded = (_high(acc, by) + ((np.int64(1) << right) >> 1)) >> right
    yield Stage("rounded", rounded, 32, "high / 2^max(-shift, 0), rounded, ties up")
    yield from _onto_grid(rounded, by, 33, output_bits)


def _high_product(acc: Integers, by: Requantize) -> Generator[Stage, None, Integers]:
    """The stages up to bit 31; returns the right shift that is left to do."""
    multiplier, shift = by.fixed_point
    shifted = _shifted(acc, by)
    yield Stage("shifted", shifted, 32, "accumulator * 2^max(shift, 0), wrapped to 32 bits")
    yield Stage("product", shifted * multiplier, 64, "shifted * multiplier, exact")
    meaning = "product / 2^31, rounded, ties up; -2^31 squared saturates to 2^31 - 1"
    yield Stage("high", _high(acc, by), 32, meaning)
    return np.asarray(np.maximum(-shift, 0))


def _shifted(acc: Integers, by: Requantize) -> Integers:
    _, shift = by.fixed_point
    return _wrapped(acc << np.maximum(shift, 0), 32)


def _high(acc: Integers, by: Requantize) -> Integers:
    multiplier, _ = by.fixed_point
    product: Integers = _shifted(acc, by) * multiplier
    return np.asarray(np.minimum((product + (1 << 30)) >> 31, 2**31 - 1))


def _single_round(acc: Integers, by: Requantize, output_bits: int) -> Iterator[Stage]:
    """One rounding of the exact product, ties up."""
    multiplier, shift = by.fixed_point
    product = acc * multiplier
    yield Stage("product", product, 64, "accumulator * multiplier, exact")
    right, left = np.maximum(31 - shift, 0), np.maximum(shift - 31, 0)
    nudged = product + ((np.int64(1) << right) >> 1)
    yield Stage("nudged", nudged, 64, "product + half of 2^(31 - shift)")
    rounded = (nudged >> right) << left
    yield Stage("rounded", rounded, 64, "nudged / 2^(31 - shift), rounded down")
    yield from _onto_grid(rounded, by, 64, output_bits)


def _tosa_double_round(acc: Integers, by: Requantize, output_bits: int) -> Iterator[Stage]:
    """TOSA RESCALE with DOUBLE_ROUND: both halves are added before the one shift."""
    multiplier, shift = by.fixed_point
    product = acc * multiplier
    yield Stage("product", product, 64, "accumulator * multiplier, exact")
    right = 31 - shift
    first = np.where(right > 31, np.where(acc >= 0, 1 << 30, -(1 << 30)), 0)
    nudged = product + first + (np.int64(1) << (right - 1))
    meaning = "product + half of 2^(31 - shift) and, where that exceeds 2^31, 2^30 away from zero"
    yield Stage("nudged", nudged, 64, meaning)
    rounded = nudged >> right
    yield Stage("rounded", rounded, 64, "nudged / 2^(31 - shift), rounded down")
    yield from _onto_grid(rounded, by, 64, output_bits)


def _q15_round(acc: Integers, by: Requantize, output_bits: int) -> Iterator[Stage]:
    """LiteRT for 16-bit activations: a 16-bit multiplier, one rounding, ties up."""
    multiplier, shift = by.fixed_point
    narrow = np.where(multiplier < 0x7FFF0000, (multiplier + (1 << 15)) >> 16, 0x7FFF)
    product = acc * narrow
    meaning = "accumulator * m, m = the multiplier's upper 16 bits rounded, at most 0x7fff"
    yield Stage("product", product, 64, meaning)
    nudged = product + (np.int64(1) << (14 - shift))
    yield Stage("nudged", nudged, 64, "product + half of 2^(15 - shift)")
    rounded = _wrapped(nudged >> (15 - shift), 32)
    yield Stage("rounded", rounded, 32, "nudged / 2^(15 - shift), rounded down, wrapped to 32 bits")
    yield from _onto_grid(rounded, by, 33, output_bits)


def _float64_away(acc: Integers, by: Requantize, output_bits: int) -> Iterator[Stage]:
    """LiteRT FULLY_CONNECTED: a product of doubles, rounded half away."""
    scaled = acc.astype(np.float64) * by.scale_array
    yield Stage("scaled", scaled, 64, "double(accumulator) * scale, in double")
    whole = np.trunc(scaled)
    away = np.abs(scaled - whole) >= 0.5
    rounded = (whole + np.where(away, np.sign(scaled), 0.0)).astype(np.int64)
    yield Stage("rounded", rounded, 64, "scaled, rounded, ties away from zero")
    yield from _onto_grid(rounded, by, 64, output_bits)


def _float32_even(acc: Integers, by: Requantize, output_bits: int) -> Iterator[Stage]:
    """XNNPACK and MLAS: float32 throughout, clamped before the zero point, rounded half to even."""
    real = acc.astype(np.float32)
    yield Stage("real", real, 32, "float32(accumulator), rounded to nearest, ties to even")
    scaled = real * by.scale_array.astype(np.float32)
    yield Stage("scaled", scaled, 32, "real * scale, in float32")
    ends = np.float32(by.low - by.zero_point), np.float32(by.high - by.zero_point)
    bounded = np.minimum(np.maximum(scaled, ends[0]), ends[1])
    yield Stage("bounded", bounded, 32, "scaled, clamped to low - zero point and high - zero point")
    rounded = np.rint(bounded).astype(np.int64)
    yield Stage("rounded", rounded, 33, "bounded, rounded, ties to even")
    yield Stage("clamped", rounded + by.zero_point, output_bits, "rounded + zero point: the output")


def _none(acc: Integers, by: Requantize, output_bits: int) -> Iterator[Stage]:
    yield from ()


def _onto_grid(rounded: Integers, by: Requantize, bits: int, output_bits: int) -> Iterator[Stage]:
    offset = rounded + by.zero_point
    yield Stage("offset", offset, bits, "rounded + zero point")
    clamped = np.minimum(np.maximum(offset, by.low), by.high)
    yield Stage("clamped", clamped, output_bits, "offset, clamped to low and high: the output")


def _wrapped(values: Integers, bits: int) -> Integers:
    return (values << (64 - bits)) >> (64 - bits)


_STAGES: Final[dict[Rounding, Callable[[Integers, Requantize, int], Iterator[Stage]]]] = {
    "double_round": _double_round,
    "double_round_up": _double_round_up,
    "single_round": _single_round,
    "tosa_double_round": _tosa_double_round,
    "q15_round": _q15_round,
    "float64_away": _float64_away,
    "float32_even": _float32_even,
    "none": _none,
}
