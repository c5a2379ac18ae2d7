"""Fixed-point arithmetic from its definitions, on unbounded integers and exact rationals.

Slow and readable on purpose: nothing here shares a formula with the kernels it judges. Roundings
are named by what they do to a real number, never by shifts and masks.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Protocol

HALF = Fraction(1, 2)
INT32_LARGEST = 2**31 - 1


class Blocks(Protocol):
    """Neighbours that are rounded together, and what they are neighbours along."""

    @property
    def size(self) -> int: ...
    @property
    def over(self) -> str: ...


class Requantizer(Protocol):
    """What an oracle reads of a requantizer: the real scale, never its fixed-point form."""

    @property
    def rounding(self) -> str: ...
    @property
    def scale(self) -> tuple[float, ...]: ...
    @property
    def zero_point(self) -> int: ...
    @property
    def low(self) -> int: ...
    @property
    def high(self) -> int: ...
    @property
    def blocks(self) -> Blocks | None: ...


def wrap(value: int, bits: int) -> int:
    """The number congruent to `value` modulo 2^bits in [-2^(bits-1), 2^(bits-1))."""
    half: int = 2 ** (bits - 1)
    return (value + half) % (2 * half) - half


def clamp(value: int, low: int, high: int) -> int:
    """`value`, or the bound it lies beyond."""
    return sorted((low, value, high))[1]


def saturate(value: int, bits: int) -> int:
    """`value` clamped to a signed range."""
    return clamp(value, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def half_up(value: Fraction) -> int:
    """The nearest integer, ties towards plus infinity."""
    return floor(value + HALF)


def half_away(value: Fraction) -> int:
    """The nearest integer, ties away from zero."""
    return half_up(value) if value >= 0 else -half_up(-value)


def srdhm(a: int, b: int) -> int:
    """Product of two Q0.31 numbers in Q0.31; only -1 * -1 does not fit and saturates."""
    return min(half_up(Fraction(a * b, 2**31)), INT32_LARGEST)


def rdbpot(value: int, exponent: int) -> int:
    """The quotient value / 2^exponent, ties away from zero."""
    return half_away(Fraction(value, 2**exponent))


def multiplier_of(scale: float) -> tuple[int, int]:
    """(m, s) with scale ~ m 2^(s - 31) and m in [2^30, 2^31), from the double's exact value.

    LiteRT quantization_util.cc:53 as BIT_EXACT.md states it, shifts above 31 masked as x86 does.
    """
    if scale == 0:
        return 0, 0
    mantissa, shift = Fraction(scale), 0
    while mantissa >= 1:
        mantissa, shift = mantissa / 2, shift + 1
    while mantissa < HALF:
        mantissa, shift = mantissa * 2, shift - 1
    multiplier = half_away(mantissa * 2**31)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift < -31:
        return 0, 0
    return multiplier, shift if shift <= 31 else shift % 32


def double_round(value: int, multiplier: int, shift: int) -> int:
    """Rounded after the 31-bit product (up) and again after the right shift (away)."""
    lifted = wrap(value * 2 ** max(shift, 0), 32)
    return rdbpot(srdhm(lifted, multiplier), max(-shift, 0))


def single_round(value: int, multiplier: int, shift: int) -> int:
    """The exact product rounded once, ties up."""
    return half_up(value * multiplier * Fraction(2) ** (shift - 31))


def double_product(value: int, scale: float) -> Fraction:
    """The IEEE double nearest to value * scale (ties to even), as an exact number."""
    return Fraction(float(Fraction(value) * Fraction(scale)))


def float64_away(value: int, scale: float) -> int:
    """The product as a double, then rounded half away from zero."""
    return half_away(double_product(value, scale))


def requantize(value: int, by: Requantizer, channel: int = 0) -> int:
    """An accumulator on the output grid, clamped."""
    scale = by.scale[channel % len(by.scale)]
    if by.rounding == "float64_away":
        rounded = float64_away(value, scale)
    else:
        kernel = {"double_round": double_round, "single_round": single_round}[by.rounding]
        rounded = kernel(value, *multiplier_of(scale))
    return clamp(rounded + by.zero_point, by.low, by.high)


class TrapError(Exception):
    """A sum did not fit an accumulator that traps: which product group did it (None: the bias)."""

    def __init__(self, tap: int | None) -> None:
        super().__init__(tap)
        self.tap = tap


@dataclass(frozen=True)
class Accumulator:
    """A signed register of `bits` that takes `dot_width` products at a time."""

    bits: int = 32
    overflow: str = "wrap"
    dot_width: int = 1

    def fit(self, value: int, tap: int | None) -> int:
        """What the register holds after it was given `value`."""
        if wrap(value, self.bits) == value:
            return value
        if self.overflow == "trap":
            raise TrapError(tap)
        return {"wrap": wrap, "saturate": saturate}[self.overflow](value, self.bits)

    def sum(self, start: int, products: list[int]) -> int:
        """start, then the products in order, `dot_width` of them added exactly each time."""
        held = self.fit(start, None)
        for tap in range(0, len(products), self.dot_width):
            held = self.fit(held + sum(products[tap : tap + self.dot_width]), tap)
        return held


WRAP32 = Accumulator()
