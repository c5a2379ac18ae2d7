"""Logarithm of the softmax of rows of 8 bits, in LiteRT's two forms."""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.functions import (
    count_leading_zeros_32,
    exp_on_negative_values,
    one_over_one_plus_x,
    saturating_shift_left,
)
from simulator.numeric.reals import log
from simulator.numeric.requantize import quantize_multiplier
from simulator.numeric.rounding import (
    INT32_MIN,
    multiply_double_round,
    rounding_divide_by_power_of_two,
    saturate,
    saturating_rounding_doubling_high_mul,
)
from simulator.numeric.rows import RowFunction
from simulator.numeric.softmax import exp_table, ordered_sum

# In Q0.31, t being 2^(-1/4): log(2), t, sqrt(1/2), and the coefficients of a rational function.
LOG_2: Final = 1488522236
FOURTH_ROOT_HALF: Final = 1805811301
SQRT_HALF: Final = 1518500250
ALPHA_N: Final = 117049297  # 11/240 / t
ALPHA_D: Final = 127690142  # 1/20 / t
ALPHA_I: Final = 1057819769  # 2 t - 1 / t
ALPHA_F: Final = 638450708  # 1/4 / t
QUARTER_Q6: Final = 1 << 23

OUTPUT_SHIFT: Final = 31 - 5 - 4
"""From Q5.26 to units of 1/16."""


@njit
def _log_q5(z: Any) -> Any:
    """The logarithm of a number in Q12.19 that is at least 1, in Q5.26 (internal/common.h).

    z = 2^n r with r near 2^(-1/4), from z or from z sqrt(1/2), whichever is nearer; log(r) is a
    quotient of polynomials in r - 2^(-1/4). n is kept in Q6.25.
    """
    mul = saturating_rounding_doubling_high_mul
    headroom_a = count_leading_zeros_32(z)
    r_a = saturating_shift_left(
        mul(saturating_shift_left(z, headroom_a - 1), np.int64(SQRT_HALF)), np.int64(1)
    )
    power_a = saturate(saturating_shift_left(12 - headroom_a, 25) + QUARTER_Q6, 32)
    headroom_b = count_leading_zeros_32(mul(z, np.int64(SQRT_HALF))) - 1
    r_b = saturating_shift_left(z, headroom_b)
    power_b = saturate(saturating_shift_left(12 - headroom_b, 25) - QUARTER_Q6, 32)
    r, power = min(r_a, r_b), max(power_a, power_b)
    p = (r + FOURTH_ROOT_HALF + 1) >> 1
    q = 2 * (r - FOURTH_ROOT_HALF)
    square = mul(q, q)
    numerator = mul(q, r) + mul(mul(q, square), np.int64(ALPHA_N))
    inner = ALPHA_I + q + mul(np.int64(ALPHA_D), square)
    reciprocal = one_over_one_plus_x(mul(p, inner) + mul(np.int64(ALPHA_F), q))
    scaled = mul(rounding_divide_by_power_of_two(numerator, np.int64(6)), reciprocal)
    return saturating_shift_left(mul(power, np.int64(LOG_2)) + scaled, np.int64(1))


@njit
def _log_softmax_rows(
    x: Any, multiplier: int, shift: int, smallest: int, reverse: Any, low: int, out: Any
) -> None:
    reverse_multiplier, reverse_shift = reverse
    for row in range(x.shape[0]):
        largest = np.int64(x[row].max())
        total = np.int64(0)
        for k in range(x.shape[1]):
            difference = np.int64(x[row, k]) - largest
            if difference >= smallest:
                e = exp_on_negative_values(multiply_double_round(difference, multiplier, shift))
                total += rounding_divide_by_power_of_two(e, np.int64(12))
        log_total = _log_q5(total)
        # Below this the result would not fit Q5.26.
        least = multiply_double_round(log_total + INT32_MIN, reverse_multiplier, reverse_shift)
        for k in range(x.shape[1]):
            difference = np.int64(x[row, k]) - largest
            value = np.int64(low)
            if difference > max(smallest - 1, least):
                scaled = multiply_double_round(difference, multiplier, shift) - log_total
                value += 255 + rounding_divide_by_power_of_two(scaled, np.int64(OUTPUT_SHIFT))
            out[row, k] = min(max(value, low), low + 255)


@dataclass(frozen=True)
class FixedPointLogSoftmax(RowFunction):
    """x - max - log(sum of exp(x - max)) in units of 1/16 below the dtype's greatest code.

    `multiplier`, `shift` and `smallest` as in `FixedPointSoftmax`; `reverse` is the multiplier and
    shift of the opposite scaling. LiteRT integer_ops/log_softmax.h; uint8 the same.
    """

    # An exponential as in `FixedPointSoftmax` (25), scaling (4, twice), difference, sum, clamp.
    operations: ClassVar[int] = 38

    multiplier: int
    shift: int
    smallest: int
    reverse: tuple[int, int]
    low: int

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """Row by row."""
        out = np.empty_like(x)
        scaling = (self.multiplier, self.shift, self.smallest)
        _log_softmax_rows(x, *scaling, self.reverse, self.low, out)
        return out


def opposite_scaling(multiplier: int, shift: int) -> tuple[int, int]:
    """The multiplier and shift that take a Q5.26 difference back to a difference of codes."""
    return quantize_multiplier(2.0 ** (31 - shift) / multiplier)


@dataclass(frozen=True)
class FloatTableLogSoftmax(RowFunction):
    """(s_x (x - max) - log(sum)) / s_y in float32, ties to even (optimized_ops.h LogSoftmax)."""

    # The maximum is of codes; sum, product, offset, rounding, zero point and clamp (2) of reals.
    operations: ClassVar[int] = 8
    lookups: ClassVar[int] = 1
    real_multiplications: ClassVar[int] = 1
    real_additions: ClassVar[int] = 6

    x_scale: float
    y_scale: float
    y_zero_point: int

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """All rows, column by column: the sum is taken in order."""
        x_scale, y_scale = np.float32(self.x_scale), np.float32(self.y_scale)
        largest = x.max(axis=1).astype(np.int64)
        e = exp_table(-self.x_scale)[largest[:, None] - x]
        offset = (x_scale * largest.astype(np.float32) + log(ordered_sum(e))) / y_scale
        real = (x_scale / y_scale) * x.astype(np.float32) - offset[:, None]
        codes = np.rint(real) + np.float32(self.y_zero_point)
        limits = np.iinfo(x.dtype)
        return np.asarray(np.clip(codes, limits.min, limits.max).astype(x.dtype))
