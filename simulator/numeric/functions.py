"""Transcendental functions in fixed point, as gemmlowp's `fixedpoint.h` has them.

Q m.n is an int32 with n fractional bits, here on an int64 carrier; its product with a Q0.31 number
is `saturating_rounding_doubling_high_mul`.
"""

from typing import Any, Final

import numpy as np

from simulator.jit import njit
from simulator.numeric.rounding import (
    INT32_MAX,
    INT32_MIN,
    rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_mul,
)

# round(exp(-2^k) * 2^31) for k = -2 ... 4: exp of each bit of a remainder in Q5.26.
EXP_OF_MINUS_POWER: Final = (
    1672461947,
    1302514674,
    790015084,
    290630308,
    39332535,
    720401,
    242,
)
EXP_MINUS_EIGHTH: Final = 1895147668  # round(exp(-1/8) * 2^31)
ONE_THIRD: Final = 715827883  # round(2^31 / 3)
FORTY_EIGHT_17THS: Final = 1515870810  # round(48/17 * 2^29)
MINUS_THIRTY_TWO_17THS: Final = -1010580540  # round(-32/17 * 2^29)


@njit
def saturating_shift_left(value: int, exponent: int) -> Any:
    """Value * 2^exponent clamped to int32."""
    wide = np.int64(value) << np.int64(exponent)
    if wide > INT32_MAX:
        return np.int64(INT32_MAX)
    if wide < INT32_MIN:
        return np.int64(INT32_MIN)
    return wide


@njit
def _exp_between_minus_quarter_and_0(a: int) -> Any:
    # Taylor polynomial of degree 4 around -1/8, a and result in Q0.31.
    mul = saturating_rounding_doubling_high_mul
    x = a + (np.int64(1) << 28)
    x2 = mul(x, x)
    x3 = mul(x2, x)
    x4 = mul(x2, x2)
    cubic = mul(rounding_divide_by_power_of_two(x4, 2) + x3, np.int64(ONE_THIRD))
    series = rounding_divide_by_power_of_two(cubic + x2, 1)
    constant = np.int64(EXP_MINUS_EIGHTH)
    return constant + mul(constant, x + series)


@njit
def exp_on_negative_values(a: int) -> Any:
    """exp(a) in Q0.31 for a <= 0 in Q5.26 (gemmlowp fixedpoint.h)."""
    if a == 0:
        return np.int64(INT32_MAX)
    quarter = np.int64(1) << 24
    a_mod_quarter = (a & (quarter - 1)) - quarter
    result = _exp_between_minus_quarter_and_0(a_mod_quarter << 5)
    remainder = a_mod_quarter - a
    for k in range(7):
        if remainder & (np.int64(1) << (24 + k)):
            result = saturating_rounding_doubling_high_mul(result, np.int64(EXP_OF_MINUS_POWER[k]))
    return result


@njit
def one_over_one_plus_x(a: int) -> Any:
    """1 / (1 + a) in Q0.31 for a in [0, 1) in Q0.31: three Newton-Raphson steps."""
    mul = saturating_rounding_doubling_high_mul
    # Rounding half sum of two non-negative numbers.
    half_denominator = (a + INT32_MAX + 1) >> 1
    x = np.int64(FORTY_EIGHT_17THS) + mul(half_denominator, np.int64(MINUS_THIRTY_TWO_17THS))
    for _ in range(3):
        one_minus = (np.int64(1) << 29) - mul(half_denominator, x)
        x = x + saturating_shift_left(mul(x, one_minus), 2)
    return saturating_shift_left(x, 1)


@njit
def count_leading_zeros_32(value: int) -> Any:
    """Leading zero bits of a non-negative number below 2^32, seen as 32 bits wide."""
    count = np.int64(32)
    while value > 0:
        value >>= 1
        count -= 1
    return count


@njit
def softmax_rows(
    x: Any, multiplier: int, shift: int, smallest: int, low: int, high: int, bits: int, out: Any
) -> None:
    """Softmax of each row of 8-bit `x`, output scale 2^-bits with zero point `low`.

    e = exp(multiplier 2^shift (x - max)) in Q0.31; the sum is kept in Q12.19. Differences below
    `smallest` count as exp = 0. LiteRT reference/softmax.h; TFLM and CMSIS-NN give the same bits.
    """
    mul = saturating_rounding_doubling_high_mul
    for row in range(x.shape[0]):
        largest = np.int64(x[row].max())
        total = np.int64(0)
        for k in range(x.shape[1]):
            difference = np.int64(x[row, k]) - largest
            if difference >= smallest:
                e = exp_on_negative_values(mul(difference << shift, multiplier))
                total += rounding_divide_by_power_of_two(e, np.int64(12))
        headroom = count_leading_zeros_32(total)
        reciprocal = one_over_one_plus_x((total << headroom) - (np.int64(1) << 31))
        exponent = np.int64(12) - headroom + 31 - bits
        for k in range(x.shape[1]):
            difference = np.int64(x[row, k]) - largest
            value = np.int64(low)
            if difference >= smallest:
                e = exp_on_negative_values(mul(difference << shift, multiplier))
                value += rounding_divide_by_power_of_two(mul(reciprocal, e), exponent)
            out[row, k] = min(max(value, low), high)
