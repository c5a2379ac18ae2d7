"""1 / sqrt of an integer as a multiplier and a shift, by Newton's method in fixed point.

LiteRT internal/common.h GetInvSqrtQuantizedMultiplierExp, for RSQRT and L2_NORMALIZATION.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.functions import count_leading_zeros_32, saturating_shift_left
from simulator.numeric.rounding import (
    INT32_MAX,
    multiply_double_round,
    rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_mul,
)
from simulator.numeric.rows import RowFunction

HALF_SQRT_2: Final = 1518500250  # round(sqrt(1/2) * 2^31)
ONE_Q3: Final = 1 << 28
THREE_HALVES_Q3: Final = (1 << 28) + (1 << 27)
ITERATIONS: Final = 5

ROOT_FRACTION_BITS: Final = 20
"""`inverse_roots` gives 1 / sqrt(x) in units of 2^-20."""

NORM_FRACTION_BITS: Final = 7
"""Normalized values are in units of 1/128."""


@njit
def inverse_root(value: Any) -> Any:
    """(multiplier, shift) with 1 / sqrt(value) ~ multiplier 2^(shift - 31); 0 counts as 1."""
    if value <= 1:
        return np.int64(INT32_MAX), np.int64(0)
    mul = saturating_rounding_doubling_high_mul
    shift = np.int64(11)
    while value >= 1 << 29:
        value //= 4
        shift += 1
    # Into [2^27, 2^29) by an even number of bits: the root's shift is half of it.
    pairs = (count_leading_zeros_32(value) - 1) // 2 - 1
    shift -= pairs
    operand = (value << (2 * pairs)) >> 1
    half = rounding_divide_by_power_of_two(operand, np.int64(1))
    x = np.int64(ONE_Q3)
    for _ in range(ITERATIONS):
        cube = saturating_shift_left(mul(mul(x, x), x), np.int64(6))
        x = saturating_shift_left(mul(np.int64(THREE_HALVES_Q3), x) - mul(half, cube), np.int64(3))
    x = mul(x, np.int64(HALF_SQRT_2))
    if shift < 0:
        return x << -shift, np.int64(0)
    return x, -shift


@njit
def _inverse_roots(x: Any, out: Any) -> None:
    for i in range(x.size):
        multiplier, shift = inverse_root(np.int64(x[i]))
        out[i] = multiply_double_round(np.int64(1), multiplier, shift + ROOT_FRACTION_BITS)


def inverse_roots(x: NDArray[np.int32]) -> NDArray[np.int32]:
    """2^20 / sqrt(x) of positive integers, rounded."""
    out = np.empty(x.size, dtype=np.int32)
    _inverse_roots(np.ascontiguousarray(x).reshape(-1), out)
    return out.reshape(x.shape)


@njit
def _normalize(
    x: Any, zero_point: int, left: int, low: int, high: int, middle: int, out: Any
) -> None:
    for row in range(x.shape[0]):
        squares = np.int64(0)
        for k in range(x.shape[1]):
            value = np.int64(x[row, k]) - zero_point
            squares += value * value
        multiplier, shift = inverse_root(squares)
        for k in range(x.shape[1]):
            value = (np.int64(x[row, k]) - zero_point) << left
            scaled = multiply_double_round(value, multiplier, shift + NORM_FRACTION_BITS - left)
            out[row, k] = min(max(scaled + middle, low), high)


@dataclass(frozen=True)
class Normalization(RowFunction):
    """128 x / |x|, the norm from the sum of squares; `middle` is the output's zero point.

    `left_shift` is how much of the factor 128 goes before the multiplication: none for int8, all
    of it for uint8 (integer_ops/l2normalization.h, reference/l2normalization.h).
    """

    # Difference (twice), square, sum; shift, product, rounding, clamp.
    operations: ClassVar[int] = 10

    zero_point: int
    left_shift: int
    middle: int
    low: int
    high: int

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """Row by row."""
        out = np.empty_like(x)
        _normalize(x, self.zero_point, self.left_shift, self.low, self.high, self.middle, out)
        return out
