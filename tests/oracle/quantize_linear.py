"""QuantizeLinear by its definition: one division, one rounding to the grid."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from simulator.ops.quantize_linear import QuantizeLinear
from tests.ops.grids import Case, codes, decoded, kind, reals, scale, shape
from tests.oracle.singles import (
    Index,
    every,
    exact,
    half_even,
    on_grid,
    parameter,
    shape_of,
    single,
)

MINIFLOATS = {
    "float8e4m3fn": (3, -6, Fraction(448)),
    "float8e5m2": (2, -14, Fraction(57344)),
    "float4e2m1": (1, 0, Fraction(6)),
}
"""Stored mantissa bits, least exponent of a normal number, greatest value."""


def cases(rng: Random) -> Iterator[Case]:
    """Integers of 2 to 16 bits and small floats; one scale, an axis of them, or blocks."""
    while True:
        element = rng.choice(["int2", "uint4", "int8", "uint8", "int16", "uint16", *MINIFLOATS])
        real = element in MINIFLOATS
        bits = int(element.strip("uint")) if not real else 8
        sign = "u" if element.startswith("u") else ""
        dtype = "float32" if real else f"{sign}int{16 if bits == 16 else 8}"
        x = shape(rng, 3)
        axis, form = rng.randrange(3), rng.choice(["one", "axis", "block"])
        block = rng.randint(1, 3) if form == "block" else 0
        sizes: Index = {"one": (), "axis": (x[axis],)}.get(
            form,
            tuple(-(-n // block) if k == axis else n for k, n in enumerate(x)) if block else (),
        )
        scales = np.array([scale(rng, -4, 3) for _ in range(int(np.prod(sizes)))], np.float32)
        values = [reals(rng, x, 2.0**bits * 0.7, float(scales[0])), scales.reshape(sizes)]
        if not real and rng.random() < 0.7:
            low = 0 if sign else -(2 ** (bits - 1))
            points = codes(rng, sizes, "int8").astype(np.int64) % 2**bits + low
            values.append(points.astype(dtype))
        kinds = [kind(v.shape, v.dtype.name) for v in values]
        options = {
            "axis": axis,
            "block_size": block,
            "saturate": True,
            "element": element,
        }
        output = kind(x, dtype, bits=bits)
        yield decoded("quantize_linear", options, kinds, output), tuple(kinds), tuple(values)


def _minifloat(value: Fraction, mantissa: int, least: int, greatest: Fraction) -> Fraction:
    """The nearest value of a small format, saturating."""
    exponent = least
    while Fraction(2) ** (exponent + 1) <= abs(value):
        exponent += 1
    step = Fraction(2) ** (exponent - mantissa)
    return min(max(half_even(value / step) * step, -greatest), greatest)


def oracle(operator: QuantizeLinear, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """The quotient in float32, then the nearest code."""
    x, scales, *zeros = inputs
    flat: list[float] = []
    for index in every(shape_of(x)):
        s, *z = (parameter(p, index, operator.axis, operator.block) for p in (scales, *zeros))
        elem = x
        for i in index:
            elem = elem[i]
        real = single(exact(elem) / exact(s))
        if operator.minifloat:
            flat.append(float(_minifloat(real, *MINIFLOATS[operator.minifloat])))
        else:
            flat.append(on_grid(real, z[0] if z else 0, operator.low, operator.high))
    return flat, shape_of(x)
