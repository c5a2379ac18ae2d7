"""Elementwise operators of TFLite, from codes to a code, on integers and exact rationals.

LiteRT's reference kernels as BIT_EXACT.md and their sources state them: which product is formed in
float32, which in double, what is shifted before it is scaled. An element at a time; broadcasting
is judged elsewhere.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from tests.oracle.primitives import clamp, multiplier_of
from tests.oracle.requantizers import away, double_round, up, wrapped

RANGES: Final = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1)}


@dataclass(frozen=True)
class Grid:
    """real = scale (code - zero)."""

    scale: float
    zero: int


def single(value: float) -> float:
    """The float32 nearest to a double."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def ratio(*factors: float, over: float) -> float:
    """A product from left to right, then a quotient, each rounded to float32."""
    product = factors[0]
    for factor in factors[1:]:
        product = single(product * factor)
    return single(product / over)


def scaling(scale: float) -> Callable[[int], int]:
    """The product with a real scale of either sign, rounded twice; each is computed once."""
    multiplier, shift = multiplier_of(abs(scale))
    signed = multiplier if scale >= 0 else -multiplier
    return cache(lambda value: double_round(value, signed, shift))


def onto(value: int, y: Grid, dtype: str) -> int:
    """The zero point added, clamped to the dtype."""
    return clamp(value + y.zero, *RANGES[dtype])


Element = Callable[[tuple[int, ...]], int]
"""From the codes of the operands to the output's."""


def total(sign: int, grids: tuple[Grid, ...], dtype: str) -> Element:
    """ADD and SUB: both operands on the grid of twice the larger scale (add.cc, sub.cc)."""
    a, b, y = grids
    left = 2**15 if dtype == "int16" else 2**20
    twice = 2 * max(a.scale, b.scale)

    from_a, from_b = scaling(a.scale / twice), scaling(b.scale / twice)
    to_output = scaling(twice / (left * y.scale))

    def element(codes: tuple[int, ...]) -> int:
        first, second = from_a((codes[0] - a.zero) * left), from_b((codes[1] - b.zero) * left)
        return onto(to_output(first + sign * second), y, dtype)

    return element


def add(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """The sum."""
    return total(1, grids, dtype)


def sub(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """The difference."""
    return total(-1, grids, dtype)


def mul(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """The product (reference/integer_ops/mul.h)."""
    a, b, y = grids
    to_output = scaling(ratio(a.scale, b.scale, over=y.scale))
    return lambda codes: onto(to_output((codes[0] - a.zero) * (codes[1] - b.zero)), y, dtype)


def squared_difference(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """As SUB with 7 bits of headroom, then the square (squared_difference.cc)."""
    a, b, y = grids
    twice = 2 * max(a.scale, b.scale)

    from_a, from_b = scaling(a.scale / twice), scaling(b.scale / twice)
    to_output = scaling(twice * twice / (2**14 * y.scale))

    def element(codes: tuple[int, ...]) -> int:
        first, second = from_a((codes[0] - a.zero) * 2**7), from_b((codes[1] - b.zero) * 2**7)
        return onto(to_output((first - second) ** 2), y, dtype)

    return element


def prelu(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """Negative values times alpha, a tensor (reference/prelu.h)."""
    x, a, y = grids
    above = scaling(ratio(x.scale, over=y.scale))
    below = scaling(ratio(x.scale, a.scale, over=y.scale))

    def element(codes: tuple[int, ...]) -> int:
        value, slope = codes[0] - x.zero, codes[1] - a.zero
        return onto(above(value) if value >= 0 else below(value * slope), y, dtype)

    return element


def leaky_relu(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """Negative values times a constant (reference/leaky_relu.h)."""
    x, y = grids
    above = scaling(ratio(x.scale, over=y.scale))
    below = scaling(ratio(x.scale, single(alpha), over=y.scale))

    def element(codes: tuple[int, ...]) -> int:
        value = codes[0] - x.zero
        return onto(above(value) if value >= 0 else below(value), y, dtype)

    return element


def _between(least: float, greatest: float | None) -> Callable[..., Element]:
    def make(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
        x, y = grids
        low, high = RANGES[dtype]
        low = max(low, y.zero + _nearest(single(least / y.scale)))
        if greatest is not None:
            high = min(high, y.zero + _nearest(single(greatest / y.scale)))
        rescaled = scaling(ratio(x.scale, over=y.scale))
        return lambda codes: min(max(rescaled(codes[0] - x.zero) + y.zero, low), high)

    return make


def _nearest(real: float) -> int:
    numerator, denominator = real.as_integer_ratio()
    return away(numerator, denominator)


def magnitude(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """ABS (elementwise.cc)."""
    x, y = grids
    rescaled = scaling(ratio(x.scale, over=y.scale))
    return lambda codes: onto(rescaled(abs(codes[0] - x.zero)), y, dtype)


def quantize(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """From one grid to another, the ratio in double (reference/requantize.h)."""
    x, y = grids
    rescaled = scaling(x.scale / y.scale)
    return lambda codes: onto(rescaled(codes[0] - x.zero), y, dtype)


def neg(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """The opposite code, in two's complement; grids are not looked at."""
    bits = 16 if dtype == "int16" else 8
    return lambda codes: wrapped(-codes[0], bits)


def _high_16(a: int, b: int) -> int:
    """round(a b / 2^15) of int16, ties up, saturated (gemmlowp SRDHM of 16 bits)."""
    return min(up(a * b, 2**15), 2**15 - 1)


def _multiplier_16(scale: float) -> tuple[int, int]:
    multiplier, shift = multiplier_of(scale)
    return min(up(multiplier, 2**16), 2**15 - 1), shift


def hard_swish(grids: tuple[Grid, ...], dtype: str, alpha: float) -> Element:
    """The product x relu6(x + 3) / 6 in 16-bit products (reference/hard_swish.h)."""
    x, y = grids
    to_output, output_shift = _multiplier_16(ratio(x.scale, 2.0**-7, over=y.scale))
    to_gate, gate_shift = _multiplier_16(ratio(x.scale, 2.0**-7, over=3 / 2**15))

    def saturated(value: int) -> int:
        return clamp(value, -(2**15), 2**15 - 1)

    def element(codes: tuple[int, ...]) -> int:
        fine = (codes[0] - x.zero) * 2**7
        gate = saturated(fine * 2 ** (gate_shift - 1)) if gate_shift > 0 else fine
        gate = _high_16(gate, to_gate)
        gate = saturated(gate * 2) if gate_shift > 0 else away(gate, 2**-gate_shift)
        # From [-1, 1] in Q0.15 to [0, 1].
        gate = (gate + 2**15) // 2
        product = gate * _high_16(fine, to_output)
        towards_zero = abs(product) // 2**15 * (1 if product >= 0 else -1)
        return onto(away(towards_zero, 2**-output_shift), y, dtype)

    return element


ELEMENTS: Final[dict[str, Callable[[tuple[Grid, ...], str, float], Element]]] = {
    "abs": magnitude,
    "add": add,
    "hard_swish": hard_swish,
    "leaky_relu": leaky_relu,
    "maximum": lambda grids, dtype, alpha: max,
    "minimum": lambda grids, dtype, alpha: min,
    "mul": mul,
    "neg": neg,
    "prelu": prelu,
    "quantize": quantize,
    "relu": _between(0.0, None),
    "relu6": _between(0.0, 6.0),
    "relu_n1_to_1": _between(-1.0, 1.0),
    "squared_difference": squared_difference,
    "sub": sub,
}
"""By operator kind: from the grids (operands, output), the dtype and alpha to the element."""
