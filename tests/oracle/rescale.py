"""From a sum to a code, in every arithmetic the runtimes use, on exact rationals.

`tests.oracle.primitives` has the roundings; here are the 16-bit multiplier and float32, whose every
operation is rounded once, ties to even.
"""

from fractions import Fraction
from math import floor
from typing import Any

from tests.oracle.primitives import (
    Requantizer,
    clamp,
    double_round,
    float64_away,
    half_away,
    half_up,
    multiplier_of,
    single_round,
    wrap,
)


def half_even(value: Fraction) -> int:
    """The nearest integer, ties to the even one."""
    below = floor(value)
    gap = value - below
    return below + (gap > Fraction(1, 2) or (gap == Fraction(1, 2) and below % 2 == 1))


def single(value: Fraction) -> Fraction:
    """The float32 nearest to a rational of ordinary size, as an exact number."""
    if value == 0:
        return value
    step = Fraction(1)
    while abs(value) / step >= 2**24:
        step *= 2
    while abs(value) / step < 2**23:
        step /= 2
    return half_even(value / step) * step


def q15_round(value: int, multiplier: int, shift: int) -> int:
    """The multiplier cut to 16 bits, the product rounded once, ties up."""
    narrow = min(half_up(Fraction(multiplier, 2**16)), 2**15 - 1)
    return wrap(half_up(value * narrow * Fraction(2) ** (shift - 15)), 32)


def float32_even(value: int, scale: float) -> Fraction:
    """The sum as a float32, times a float32."""
    return single(single(Fraction(value)) * single(Fraction(scale)))


def up_round(value: int, multiplier: int, shift: int) -> int:
    """The product rounded at bit 31, then its shift to the right with ties up."""
    high = double_round(value, multiplier, max(shift, 0))
    return half_up(high * Fraction(2) ** min(shift, 0))


def rescale(
    value: int, by: Requantizer, channel: int = 0, place: tuple[int, int] | None = None
) -> int:
    """A sum on the output grid, clamped.

    `place` is its index and their number along what vector code works on.
    """
    rounding = by.rounding
    if by.blocks is not None:
        assert place is not None
        index, count = place
        if index // by.blocks.size == count // by.blocks.size:
            rounding = "double_round"
    scale = by.scale[channel % len(by.scale)]
    if rounding == "float64_away":
        rounded = float64_away(value, scale)
    elif rounding == "float32_even":
        rounded = half_even(float32_even(value, scale))
    else:
        kernels = {
            "double_round": double_round,
            "double_round_up": up_round,
            "single_round": single_round,
            "q15_round": q15_round,
        }
        rounded = kernels[rounding](value, *multiplier_of(scale))
    return clamp(rounded + by.zero_point, by.low, by.high)


def affine(value: int, by: Any) -> int:
    """round(f32(f32(value) * scale) + offset) + zero point, clamped."""
    product = single(single(Fraction(value)) * Fraction(by.scale))
    real = single(product + Fraction(by.offset))
    rounded = half_even(real) if by.ties == "even" else half_away(real)
    return clamp(rounded + by.zero_point, by.low, by.high)
