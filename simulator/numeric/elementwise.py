"""How sums of two tensors on different grids are brought onto a third: three forms, all data.

Each form is a left shift of both operands, a `Requantize` of each and one of their sum.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.numeric.dialect import Rule
from simulator.numeric.requantize import Requantize, make_requantize
from simulator.numeric.rounding import INT32_MAX, INT32_MIN

LEFT_SHIFT_8: Final = 20
LEFT_SHIFT_16: Final = 15
"""Bits of headroom that 8-bit and 16-bit operands gain before they are rescaled (add.cc)."""

SHARED_MULTIPLIER_BITS: Final = 20
"""The larger multiplier of `shared_shift_sum` lies in [2^20, 2^21)."""

LARGEST_NEGATED: Final = 2.0**7 - 2.0**-8
"""The greatest -scale of which XNNPACK takes a multiple."""

POWER_TOLERANCE: Final = 1e-3
"""How far log2 of a scale may be from an integer (LiteRT quantization_util.cc CheckedLog2)."""


@dataclass(frozen=True)
class SumGrids:
    """Scales of the two operands; scale, zero point and clamp of the output."""

    scales: tuple[float, float]
    y_scale: float
    y_zero_point: int
    low: int
    high: int


@dataclass(frozen=True)
class SumScaling:
    """y = requantize(rescale[0]((x1 - z1) << left_shift) +- rescale[1](the same of x2))."""

    left_shift: int
    rescale: tuple[Requantize, Requantize]
    requantize: Requantize


def rescaled_sum(grids: SumGrids, operands: Rule, total: Rule, dtype: str) -> SumScaling:
    """Onto the grid of T = 2 max(s1, s2), then to the output's: s / T and T / (2^L s_y).

    LiteRT add.cc, sub.cc; the halving keeps the sum within 32 bits.
    """
    left_shift = LEFT_SHIFT_16 if dtype == "int16" else LEFT_SHIFT_8
    twice_larger = 2.0 * max(grids.scales)
    first, second = (_to_int32(operands, scale / twice_larger) for scale in grids.scales)
    output = twice_larger / ((1 << left_shift) * grids.y_scale)
    return SumScaling(
        left_shift,
        (first, second),
        make_requantize(total.rounding, (output,), grids.y_zero_point, grids.low, grids.high),
    )


def shared_shift_sum(grids: SumGrids, ratios: tuple[float, float]) -> SumScaling:
    """Integer multiples of both, one rounding shift: (a (x1 - z1) +- b (x2 - z2) + 2^(n-1)) >> n.

    `ratios` are f32(s / s_y); a = lrint(s1 / s_y 2^n), n = 20 - floor(log2 of the larger ratio).
    XNNPACK src/microparams-init.c:906. The products are exact in either rounding named here.
    """
    shift = SHARED_MULTIPLIER_BITS + 1 - math.frexp(max(ratios))[1]
    exact = Rule("single_round")
    first, second = (_to_int32(exact, float(np.rint(ratio * 2.0**shift))) for ratio in ratios)
    output = make_requantize(
        "single_round", (2.0**-shift,), grids.y_zero_point, grids.low, grids.high
    )
    return SumScaling(0, (first, second), output)


def power_of_two_sum(grids: SumGrids, right_shifts: tuple[int, int]) -> SumScaling:
    """Each operand shifted right, ties away from zero, and the sum clamped (LiteRT add.h, sub.h).

    The left shift makes the first of the two roundings exact.
    """
    rule = Rule("double_round")
    first, second = (_to_int32(rule, 2.0 ** -(LEFT_SHIFT_16 + n)) for n in right_shifts)
    output = make_requantize("double_round", (1.0,), grids.y_zero_point, grids.low, grids.high)
    return SumScaling(LEFT_SHIFT_16, (first, second), output)


def nearest_power_of_two(scale: float) -> int | None:
    """log2 of a scale where that is an integer to within `POWER_TOLERANCE`, in float32."""
    exponent = np.log(np.float32(scale)) * (np.float32(1) / np.log(np.float32(2)))
    nearest = float(np.rint(exponent))
    return int(nearest) if abs(float(exponent) - nearest) < POWER_TOLERANCE else None


def multiple_of_256th(scale: float) -> Requantize | None:
    """For y = (x m + 128) >> 8 with m = lrint(256 scale); None where XNNPACK does not take it.

    XNNPACK src/microparams-init.c, qs8-vlrelu and qs8-vcvt: 2^-8 <= |scale|, and m must fit 16
    bits. Zero point and clamp of the answer are to be filled in.
    """
    if not (abs(scale) >= 2.0**-8 and -LARGEST_NEGATED <= scale <= 2.0**7):
        return None
    multiple = float(np.rint(np.float32(256) * np.float32(scale)))
    return make_requantize("single_round", (multiple / 256,), 0, INT32_MIN, INT32_MAX)


def _to_int32(rule: Rule, scale: float) -> Requantize:
    return make_requantize(rule.rounding, (scale,), 0, INT32_MIN, INT32_MAX)
