"""Quant from its definition, every step rounded to float32."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, floor
from random import Random
from typing import Any

import numpy as np

from simulator.ops.quant import Quant
from tests.ops.grids import Case, decoded, kind, reals, scale, shape
from tests.oracle.singles import HALF, Index, at, every, exact, half_even, shape_of, single


def rounded(value: Fraction, mode: str) -> int:
    """An integer beside the value, by QONNX's names."""
    sign, size = (1 if value >= 0 else -1), abs(value)
    return {
        "ROUND": half_even(value),
        "HALF_EVEN": half_even(value),
        "CEIL": ceil(value),
        "FLOOR": floor(value),
        "UP": sign * ceil(size),
        "DOWN": sign * floor(size),
        "HALF_UP": sign * floor(single(size + HALF)),
        "HALF_DOWN": sign * ceil(single(size - HALF)),
    }[mode]


MODES = ("ROUND", "HALF_EVEN", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN")


def cases(rng: Random) -> Iterator[Case]:
    """1 to 16 bits, signed and narrow or not, every rounding, one scale or one a channel."""
    while True:
        x = shape(rng, 3)
        bits = rng.choice([1, 2, 3, 4, 5, 8, 12, 16])
        sizes = rng.choice([(), (1, x[1], 1)])
        count = int(np.prod(sizes))
        scales = np.array([scale(rng, -5, 0) for _ in range(count)], np.float32).reshape(sizes)
        zero = np.float32(rng.choice([0, 0, 1, 3]))
        values = (reals(rng, x, 2.0**bits * 0.3, float(scales.reshape(-1)[0])), scales, zero)
        arrays = tuple(np.asarray(v) for v in (*values, np.float32(bits)))
        options = {
            "signed": rng.choice([0, 1]),
            "narrow": rng.choice([0, 1]) if bits > 1 else 0,
            "rounding_mode": rng.choice(MODES),
        }
        types = tuple(kind(v.shape, "float32") for v in arrays)
        operator = decoded("quant", options, types, kind(x, "float32"), (), "qonnx")
        yield operator, types, arrays


def limits(bits: int, *, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and greatest integer."""
    if signed:
        return -(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1
    return 0, 2**bits - 1 - narrow


def oracle(operator: Quant, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """Divide, add, clamp, round, subtract, multiply."""
    x, scales, zeros, widths = inputs
    flat = []
    for i in every(shape_of(x)):
        s, z, bits = (exact(at(p, i)) for p in (scales, zeros, widths))
        real = single(single(exact(at(x, i)) / s) + z)
        if operator.signed and bits == 1:
            code = Fraction(1 if real >= 0 else -1)
        else:
            low, high = limits(int(bits), signed=operator.signed, narrow=operator.narrow)
            code = Fraction(
                rounded(min(max(real, Fraction(low)), Fraction(high)), operator.rounding)
            )
        flat.append(float(single(single(code - z) * s)))
    return flat, shape_of(x)
