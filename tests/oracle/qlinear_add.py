"""QLinearAdd in its three forms, from their definitions."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

from simulator.ops.qlinear_add import FixedSum, FusedSum, PlainSum, QLinearAdd
from tests.ops.grids import Case, codes, decoded, kind, scale, shape, zero
from tests.oracle.singles import Index, at, broadcast, clamp, every, exact, half_even, single


def cases(rng: Random) -> Iterator[Case]:
    """x86 and NEON, ratios that NEON's multipliers hold and ones that they do not, lifted codes."""
    while True:
        dtype = rng.choice(["int8", "uint8"])
        y = shape(rng, 3)
        a, b = y, rng.choice([y, y[1:], (1, *y[1:])])
        first = scale(rng)
        apart = rng.choice([0.5, 4, 18])
        second = scale(rng, -apart, apart) * first
        scales = (first, float(second), max(first, second) * 2 ** rng.uniform(-3, 3))
        shapes = zip((a, b, y), scales, strict=True)
        types = [kind(s, dtype, float_of(v), zero(rng, dtype)) for s, v in shapes]
        options = {
            "lift": 128 if dtype == "int8" and rng.random() < 0.5 else 0,
            "swapped": rng.random() < 0.3,
        }
        dialect = rng.choice(["onnxruntime", "onnxruntime-arm"])
        operator = decoded("qlinear_add", options, types[:2], types[2], (), dialect)
        values = (codes(rng, a, dtype), codes(rng, b, dtype))
        yield operator, tuple(types[:2]), values


def float_of(value: float) -> float:
    """The nearest float32."""
    return float(single(Fraction(value)))


def _away(value: Fraction) -> int:
    return floor(abs(value) + Fraction(1, 2)) * (1 if value >= 0 else -1)


def _sum(by: Any, a: int, b: int) -> int:
    if isinstance(by, FusedSum):
        first, second = (b, a) if by.swapped else (a, b)
        inner = single(exact(by.ratios[1]) * second + exact(by.offset))
        return half_even(single(exact(by.ratios[0]) * first + inner))
    if isinstance(by, FixedSum):
        total = by.multipliers[0] * (a - by.zeros[0]) + by.multipliers[1] * (b - by.zeros[1])
        return _away(Fraction(total, 2**by.shift)) + by.zeros[2]
    assert isinstance(by, PlainSum)
    left, right = (
        single(exact(s) * (q - z))
        for s, q, z in zip(by.scales[:2], (a, b), by.zeros[:2], strict=True)
    )
    real = single(single(left + right) / exact(by.scales[2]))
    return half_even(single(real + by.zeros[2]))


def oracle(operator: QLinearAdd, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """Codes lifted, added, clamped, lowered."""
    a, b = inputs
    lift = operator.lift
    low, high = operator.low + lift, operator.high + lift
    whole = broadcast(a, b)
    flat = [
        clamp(_sum(operator.by, at(a, i) + lift, at(b, i) + lift), low, high) - lift
        for i in every(whole)
    ]
    return flat, whole
