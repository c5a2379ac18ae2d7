"""Functions of codes by table and by fixed point: LiteRT's definitions on exact rationals.

A real function is computed to 60 digits and rounded to `bits` significant bits, 24 for float32 and
53 for double, as is every step of a table.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import isqrt
from typing import Final

from tests.oracle.pointwise import RANGES, Grid
from tests.oracle.primitives import (
    INT32_LARGEST,
    clamp,
    double_round,
    half_away,
    multiplier_of,
    rdbpot,
    saturate,
    srdhm,
    wrap,
)
from tests.oracle.requantizers import even
from tests.oracle.singles import decimal

Real = Callable[[Fraction], Fraction]
Codes = Callable[[int], int]


class Precision:
    """Binary floating point of that many significant bits; exponents have no bounds."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def round(self, value: Fraction | Decimal | float | int) -> Fraction:
        """The nearest number, ties to even."""
        exact = Fraction(value)
        if exact == 0:
            return exact
        power = exact.numerator.bit_length() - exact.denominator.bit_length() - self.bits
        unit = Fraction(2) ** power
        while abs(exact) / unit >= 2**self.bits:
            unit *= 2
        ratio = exact / unit
        return even(ratio.numerator, ratio.denominator) * unit

    def exp(self, x: Fraction) -> Fraction:
        """The exponential."""
        return self.round(decimal(x).exp())

    def logistic(self, x: Fraction) -> Fraction:
        """1 / (1 + exp(-x)), a rounding after each step."""
        return self.round(1 / self.round(1 + self.exp(-x)))

    def tanh(self, x: Fraction) -> Fraction:
        """The hyperbolic tangent, rounded once."""
        power = decimal(2 * x).exp()
        return self.round((power - 1) / (power + 1))

    def elu(self, x: Fraction) -> Fraction:
        """expm1 below zero."""
        return x if x >= 0 else self.round(decimal(x).exp() - 1)

    def gelu(self, x: Fraction) -> Fraction:
        """The product x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, rounded every step."""
        factor, cubic = self.round(0.7978845608028654), self.round(0.044715)
        power = self.round(self.round(self.round(cubic * x) * x) * x)
        inner = self.round(factor * self.round(x + power))
        return self.round(self.round(x / 2) * self.round(1 + self.tanh(inner)))


SINGLE: Final = Precision(24)
DOUBLE: Final = Precision(53)


def bounded_log(y: Grid, dtype: str) -> Real:
    """The logarithm; of what is not positive, the least real value of the output's grid."""
    least = SINGLE.round(SINGLE.round(RANGES[dtype][0] - y.zero) * Fraction(y.scale))
    return lambda x: SINGLE.round(decimal(x).ln()) if x > 0 else least


def by_byte_table(function: Real, x: Grid, y: Grid, dtype: str) -> Codes:
    """away(f32(f(f32(s_x (q - z_x))) f32(1 / s_y))) + z_y (LiteRT common.h LUTPopulate, 8 bits)."""
    inverse = SINGLE.round(1 / Fraction(y.scale))

    def code(q: int) -> int:
        real = function(SINGLE.round(Fraction(x.scale) * (q - x.zero)))
        return clamp(half_away(SINGLE.round(real * inverse)) + y.zero, *RANGES[dtype])

    return code


def table_of_513(function: Real, x: Grid, y: Grid, by: Precision) -> list[int]:
    """Entries at 513 codes, equally spaced, lowered by half the error in the middle of their step.

    LiteRT common.h LUTPopulate for int16; every step in the precision `by`.
    """
    low, high = RANGES["int16"]
    x_low, x_high = (by.round(Fraction(x.scale) * (end - x.zero)) for end in (low, high))
    y_low, y_high = (by.round(Fraction(y.scale) * (end - y.zero)) for end in (low, high))
    step = by.round(by.round(x_high - x_low) / 512)
    inverse = by.round(2**16 / by.round(y_high - y_low))

    def scaled(at: Fraction) -> Fraction:
        return by.round(function(at) * inverse)

    entries = []
    for i in range(512):
        at, after = (by.round(x_low + by.round(k * step)) for k in (i, i + 1))
        here = half_away(scaled(at))
        chord = half_away(by.round(by.round(scaled(after) + here) / 2))
        middle = half_away(scaled(by.round(at + by.round(step / 2))))
        entries.append(clamp(here - half_away(Fraction(chord - middle, 2)), low, high))
    return [*entries, clamp(half_away(scaled(x_high)), low, high)]


def interpolated(entries: Sequence[int], q: int) -> int:
    """Between two of 513 entries by the lower 7 bits, ties up; the slope is of 16 bits."""
    step, within = divmod(q + 2**15, 2**7)
    slope = wrap(entries[step + 1] - entries[step], 16)
    return entries[step] + (slope * within + 2**6) // 2**7


def softmax_16(row: Sequence[int], scale: float, exps: list[int], roots: list[int]) -> list[int]:
    """Q0.15 of int16, by tables of exp on [-10, 0] and 1 / (1 + x) on [0, 1] (softmax.h:169)."""
    multiplier, shift = multiplier_of(scale / (10.0 / 65535))
    e = []
    for q in row:
        place = double_round(q - max(row), multiplier, shift) + 2**15 - 1
        e.append(interpolated(exps, saturate(place, 16)))
    total = sum(e)
    spare = 32 - total.bit_length()
    fraction = (total * 2 ** (spare - 1) + 2**13) // 2**14 - 2**16 - 2**15
    reciprocal = interpolated(roots, saturate(fraction, 16))
    places = 31 - spare
    return [clamp((v * reciprocal + 2 ** (places - 1)) // 2**places, 0, 2**15 - 1) for v in e]


def softmax_tables() -> tuple[list[int], list[int]]:
    """The two tables, made in double."""
    width = 2.0 / 65535
    exps = table_of_513(DOUBLE.exp, Grid(10.0 / 65535, 2**15 - 1), Grid(width, 0), DOUBLE)

    def reciprocal(x: Fraction) -> Fraction:
        return DOUBLE.round(1 / DOUBLE.round(1 + x))

    return exps, table_of_513(reciprocal, Grid(1.0 / 65535, -(2**15)), Grid(width, 0), DOUBLE)


def inverse_root(value: int) -> tuple[int, int]:
    """(m, s) with 1 / sqrt(value) ~ m 2^(s - 31), by five Newton steps in Q3.28.

    LiteRT common.h GetInvSqrtQuantizedMultiplierExp: the value is brought into [2^27, 2^29) by an
    even number of bits, and 2^-1/2 makes up for the odd one.
    """
    if value <= 1:
        return INT32_LARGEST, 0
    halvings = 11
    while value >= 2**29:
        value, halvings = value // 4, halvings + 1
    while value < 2**27:
        value, halvings = value * 4, halvings - 1
    half = rdbpot(value // 2, 1)
    one, three_halves = 2**28, 3 * 2**27
    x = one
    for _ in range(5):
        cube = saturate(srdhm(srdhm(x, x), x) * 2**6, 32)
        x = saturate((srdhm(three_halves, x) - srdhm(half, cube)) * 2**3, 32)
    x = srdhm(x, isqrt(2**61) + 1)
    return (x * 2**-halvings, 0) if halvings < 0 else (x, -halvings)


def normalized(row: Sequence[int], zero: int, dtype: str) -> list[int]:
    """128 x / |x| around the middle of the range (integer_ops/l2normalization.h and reference/)."""
    low, high = RANGES[dtype]
    multiplier, shift = inverse_root(sum((q - zero) ** 2 for q in row))
    before, after = (2**7, 0) if dtype == "uint8" else (1, 7)
    middle = (low + high + 1) // 2
    values = (double_round((q - zero) * before, multiplier, shift + after) for q in row)
    return [clamp(value + middle, low, high) for value in values]


def rsqrt(x: Grid, y: Grid) -> Codes:
    """int8: the root in units of 2^-20, requantized; 0 gives the greatest code."""
    root = SINGLE.round(decimal(Fraction(x.scale)).sqrt())
    divisor = SINGLE.round(root * Fraction(y.scale))
    pair = multiplier_of(float(DOUBLE.round(2**-20 / divisor)))

    def code(q: int) -> int:
        if q == x.zero:
            return 127
        multiplier, shift = inverse_root(q - x.zero)
        return clamp(
            double_round(double_round(1, multiplier, shift + 20), *pair) + y.zero, -128, 127
        )

    return code


def sqrt(x: Grid, y: Grid, dtype: str) -> Codes:
    """The root in float32, cut to a code."""

    def code(q: int) -> int:
        square = SINGLE.round(Fraction(x.scale) * (q - x.zero))
        real = SINGLE.round(SINGLE.round(decimal(square).sqrt()) / Fraction(y.scale))
        return clamp(int(real) + y.zero, *RANGES[dtype])

    return code
