"""Every requantizer on plain integers alone, fast enough for millions of cases.

The same definitions as in `tests.oracle.primitives`, where rationals stand: here a rational is a
numerator over a positive denominator, and a rounding is one floored division.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Final

INT32_LARGEST: Final = 2**31 - 1
SINGLE_BITS: Final = 24
DOUBLE_BITS: Final = 53


def up(numerator: int, denominator: int) -> int:
    """The nearest integer, ties towards plus infinity: the floor of the ratio plus a half."""
    return (2 * numerator + denominator) // (2 * denominator)


def away(numerator: int, denominator: int) -> int:
    """The nearest integer, ties away from zero."""
    magnitude = up(abs(numerator), denominator)
    return magnitude if numerator >= 0 else -magnitude


def even(numerator: int, denominator: int) -> int:
    """The nearest integer, ties to the even one."""
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest == denominator:
        return quotient + quotient % 2
    return quotient + (2 * rest > denominator)


def wrapped(value: int, bits: int) -> int:
    """The number congruent modulo 2^bits that two's complement of that width holds."""
    span: int = 2**bits
    rest = value % span
    return rest - span if 2 * rest >= span else rest


def rounded_to(bits: int, value: int, exponent: int) -> tuple[int, int]:
    """Value 2^exponent with at most `bits` significant bits, ties to even: (integer, exponent)."""
    excess = max(abs(value).bit_length() - bits, 0)
    return even(value, 2**excess), exponent + excess


def parts_of(real: float) -> tuple[int, int]:
    """A float as integer times power of two, exactly."""
    ratio = Fraction(real)
    return ratio.numerator, 1 - ratio.denominator.bit_length()


def ratio_of(value: int, exponent: int) -> tuple[int, int]:
    """Value 2^exponent as numerator and denominator."""
    return (value * 2**exponent, 1) if exponent >= 0 else (value, 2**-exponent)


def high_product(value: int, multiplier: int, shift: int) -> int:
    """Value 2^max(shift, 0) in 32 bits, times multiplier / 2^31, ties up (gemmlowp SRDHM)."""
    lifted = wrapped(value * 2 ** max(shift, 0), 32)
    return min(up(lifted * multiplier, 2**31), INT32_LARGEST)


def double_round(value: int, multiplier: int, shift: int) -> int:
    """The high product, then its right shift, ties away (LiteRT internal/common.cc:81)."""
    return away(high_product(value, multiplier, shift), 2 ** max(-shift, 0))


def double_round_up(value: int, multiplier: int, shift: int) -> int:
    """The high product, then its right shift, ties up (ruy on x86)."""
    return up(high_product(value, multiplier, shift), 2 ** max(-shift, 0))


def single_round(value: int, multiplier: int, shift: int) -> int:
    """The exact product, rounded once, ties up."""
    return up(*ratio_of(value * multiplier, shift - 31))


def q15_round(value: int, multiplier: int, shift: int) -> int:
    """The multiplier in 16 bits (ties up, at most 2^15 - 1), the product rounded once, ties up."""
    narrow = min(up(multiplier, 2**16), 2**15 - 1)
    return wrapped(up(*ratio_of(value * narrow, shift - 15)), 32)


def tosa_double_round(value: int, multiplier: int, shift: int) -> int:
    """TOSA 1.0 apply_scale_32, double_round: value m / 2^s + 1/2, floored.

    Where s > 31 the half is raised by 2^(30 - s) for values >= 0, else lowered by it.
    """
    places = 31 - shift
    nudge = 0 if places <= 31 else 2**30 if value >= 0 else -(2**30)
    unit: int = 2**places
    return (2 * (value * multiplier + nudge) + unit) // (2 * unit)


def float64_away(value: int, scale: float) -> int:
    """The value as a double, the product as a double, rounded half away."""
    integer, exponent = parts_of(scale)
    held, power = rounded_to(DOUBLE_BITS, value, 0)
    return away(*ratio_of(*rounded_to(DOUBLE_BITS, held * integer, power + exponent)))


def float32_even(value: int, scale: float) -> int:
    """The value, the scale and their product as float32, rounded half to even; nothing vanishes."""
    factor = rounded_to(SINGLE_BITS, *parts_of(scale))
    held, power = rounded_to(SINGLE_BITS, value, 0)
    product = rounded_to(SINGLE_BITS, held * factor[0], power + factor[1])
    return even(*ratio_of(*product))


FIXED_POINT: Final[dict[str, Callable[[int, int, int], int]]] = {
    "double_round": double_round,
    "double_round_up": double_round_up,
    "single_round": single_round,
    "q15_round": q15_round,
    "tosa_double_round": tosa_double_round,
}
"""(value, multiplier, shift) to the rounded product, before zero point and clamp."""

REAL: Final[dict[str, Callable[[int, float], int]]] = {
    "float64_away": float64_away,
    "float32_even": float32_even,
}
"""(value, scale) to the rounded product."""

SHIFTS: Final[dict[str, range]] = {
    "double_round": range(-31, 31),
    "double_round_up": range(-31, 31),
    "single_round": range(-31, 31),
    "q15_round": range(-31, 8),
    "tosa_double_round": range(-31, 30),
}
"""The shifts each is defined for (q15: common.cc:100; TOSA: 2 <= 31 - shift <= 62)."""
