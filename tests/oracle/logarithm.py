"""LOG_SOFTMAX of bytes in fixed point, its constants from their meaning.

LiteRT reference/integer_ops/log_softmax.h and internal/common.h log_x_for_x_greater_than_or_equal
_to_1: a number z = 2^n r, r near 2^(-1/4), has the logarithm n log(2) + log(r), the latter a
quotient of polynomials. Q m.n is an integer in steps of 2^-n.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Final

from tests.oracle.pointwise import RANGES
from tests.oracle.primitives import (
    clamp,
    double_round,
    half_away,
    multiplier_of,
    rdbpot,
    saturate,
    srdhm,
)
from tests.oracle.softmax import exp_of, reciprocal_of


def q31(real: Decimal) -> int:
    """A constant in Q0.31."""
    return half_away(Fraction(real) * 2**31)


FOURTH_ROOT: Final = Decimal("0.5").sqrt().sqrt()
NEAR: Final = q31(FOURTH_ROOT)
HALF_ROOT: Final = q31(Decimal("0.5").sqrt())
LOG_2: Final = q31(Decimal(2).ln())
CUBIC: Final = q31(Decimal(11) / 240 / FOURTH_ROOT)
SQUARE: Final = q31(Decimal(1) / 20 / FOURTH_ROOT)
CONSTANT: Final = q31(2 * FOURTH_ROOT - 1 / FOURTH_ROOT)
LINEAR: Final = q31(Decimal(1) / 4 / FOURTH_ROOT)
QUARTER: Final = 2**23
"""1/4 in Q6.25."""


def leading_zeros(value: int) -> int:
    """Of a positive number in 32 bits."""
    return 32 - value.bit_length()


def log_of(z: int) -> int:
    """The logarithm in Q5.26 of a number in Q12.19 that is at least 1."""
    above = leading_zeros(z)
    r_above = saturate(srdhm(z * 2 ** (above - 1), HALF_ROOT) * 2, 32)
    n_above = saturate((12 - above) * 2**25, 32) + QUARTER
    below = leading_zeros(srdhm(z, HALF_ROOT)) - 1
    r_below = saturate(z * 2**below, 32)
    n_below = saturate((12 - below) * 2**25, 32) - QUARTER
    r, n = min(r_above, r_below), max(n_above, n_below)
    p, q = (r + NEAR + 1) // 2, 2 * (r - NEAR)
    square = srdhm(q, q)
    numerator = srdhm(q, r) + srdhm(srdhm(q, square), CUBIC)
    denominator = srdhm(p, CONSTANT + q + srdhm(SQUARE, square)) + srdhm(LINEAR, q)
    quotient = srdhm(rdbpot(numerator, 6), reciprocal_of(denominator))
    return saturate((srdhm(n, LOG_2) + quotient) * 2, 32)


def log_softmax(row: Sequence[int], scale: float, dtype: str) -> list[int]:
    """In units of 1/16 below the greatest code."""
    low, high = RANGES[dtype]
    forward = multiplier_of(min(scale * 2.0**26, 2.0**31 - 1))
    multiplier, shift = forward
    back = multiplier_of(2.0 ** (31 - shift) / multiplier)
    smallest = -floor(Fraction(31 * 2**26) / 2**shift)
    differences = [q - max(row) for q in row]
    total = sum(rdbpot(exp_of(double_round(d, *forward)), 12) for d in differences if d >= smallest)
    log_total = log_of(total)
    least = max(smallest - 1, double_round(log_total - 2**31, *back))
    return [
        clamp(high + rdbpot(double_round(d, *forward) - log_total, 22), low, high)
        if d > least
        else low
        for d in differences
    ]
