"""What oracles of products on learned bases share: planes one bit at a time, sums in rationals."""

from collections.abc import Sequence
from fractions import Fraction
from math import inf
from random import Random
from typing import Any

import numpy as np

from simulator.graph import TensorType
from tests.ops.grids import kind
from tests.oracle.primitives import saturate, wrap
from tests.oracle.singles import half_even, single

Tap = tuple[int | None, int]
"""An activation's code, None where there is none, and a weight's."""


def bit_value(code: int | None, plane: int, code_set: str) -> int:
    """What a bit of a code stands for; 0 where there is no code."""
    if code is None:
        return 0
    bit = code >> plane & 1
    return bit if code_set == "binary" else 2 * bit - 1


def plane_dots(taps: Sequence[Tap], operator: Any, planes: tuple[int, int]) -> list[list[int]]:
    """The dot of every plane of weights and every plane of activations."""
    return [
        [
            sum(
                bit_value(x, j, operator.x_codes) * bit_value(w, i, operator.w_codes)
                for x, w in taps
            )
            for j in range(planes[1])
        ]
        for i in range(planes[0])
    ]


def real_sum(
    dots: list[list[int]],
    bases: tuple[Sequence[float], Sequence[float]],
    bias: float,
    bounds: tuple[float, float],
) -> float:
    """In float64 in the order of planes, then the bias, rounded once to float32, cut."""
    v, u = bases
    total = 0.0
    for i, row in enumerate(dots):
        for j, dot in enumerate(row):
            total += (v[i] * u[j]) * dot
    return bounded(float(single(Fraction(total + bias))), bounds)


def bounded(value: float, bounds: tuple[float, float]) -> float:
    """Cut to a fused activation."""
    return min(max(value, bounds[0]), bounds[1])


def fixed(values: Sequence[float], fraction: int) -> list[int]:
    """Each value at so many fraction bits, ties to even."""
    return [half_even(Fraction(v) * Fraction(2) ** fraction) for v in values]


def widest_fraction(values: Sequence[float], bits: int) -> int:
    """The greatest fraction at which every value fits, by trying from above."""
    return next(
        f
        for f in range(200, -200, -1)
        if all(abs(code) <= 2 ** (bits - 1) - 1 for code in fixed(values, f))
    )


def accumulated(
    dots: list[list[int]], m: list[int], n: list[int], register: tuple[int, str]
) -> int:
    """Each weighted dot added to a register of so many bits that wraps or saturates."""
    bits, overflow = register
    total = 0
    for i, row in enumerate(dots):
        for j, dot in enumerate(row):
            total += m[i] * n[j] * dot
            total = wrap(total, bits) if overflow == "wrap" else saturate(total, bits)
    return total


def operands(
    rng: Random, x: tuple[int, ...], w: tuple[int, ...]
) -> tuple[tuple[TensorType | None, ...], tuple[Any, ...]]:
    """Types and values of codes of 1 to 4 bits, bases of either sign and dtype, a bias or none."""
    wide, narrow = rng.randint(1, 4), rng.randint(1, 4)
    rows, dtype = rng.choice([1, w[0]]), rng.choice(["float32", "float64"])

    def codes(shape: tuple[int, ...], bits: int) -> Any:
        drawn = [rng.randrange(2**bits) for _ in range(int(np.prod(shape)))]
        return np.array(drawn, np.uint8).reshape(shape)

    def reals(shape: tuple[int, ...], dtype: str) -> Any:
        drawn = [rng.gauss(0, 2 ** rng.randint(-3, 2)) for _ in range(int(np.prod(shape)))]
        return np.array(drawn, dtype).reshape(shape)

    values = [codes(x, narrow), codes(w, wide), reals((narrow,), dtype), reals((rows, wide), dtype)]
    types: list[TensorType | None] = [
        kind(x, "uint8", bits=narrow),
        kind(w, "uint8", bits=wide),
        kind((narrow,), dtype),
        kind((rows, wide), dtype),
    ]
    if rng.random() < 0.5:
        values.append(reals(w[:1], "float32"))
        types.append(kind(w[:1], "float32"))
    return tuple(types), tuple(values)


def product_options(rng: Random) -> dict[str, Any]:
    """Either set for each operand, a fused activation or none."""
    found: dict[str, Any] = {n: rng.choice(["binary", "bipolar"]) for n in ("x_codes", "w_codes")}
    return {**found, "bounds": rng.choice([(-inf, inf), (-inf, inf), (0.0, inf), (-1.5, 2.0)])}
