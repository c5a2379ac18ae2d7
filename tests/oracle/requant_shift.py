"""RequantShift from its definition."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

import numpy as np

from simulator.ops.requant_shift import RequantShift
from tests.ops.grids import Case, codes, decoded, kind, shape
from tests.oracle.singles import HALF, Index, at, clamp, every, shape_of


def cases(rng: Random) -> Iterator[Case]:
    """One multiplier and addend, or one a channel; no shift at all sometimes."""
    while True:
        x = shape(rng, 3)
        shift = rng.choice([0, 1, 8, 16, 20])
        sums = codes(rng, x, "int32") >> rng.randint(4, 24)
        count = rng.choice([(), (x[-1],), (1, 1, x[-1])])
        size = int(np.prod(count))
        largest = max(int(np.abs(sums).max()), 1)
        gain = max(2**shift * 300 // largest, 1)
        multipliers = np.array([rng.randint(1, gain) for _ in range(size)], np.int64)
        addends = np.array([rng.randint(-(2**shift) * 9, 2**shift * 9) for _ in range(size)])
        signed = rng.random() < 0.5
        options = {"shift": shift, "low": -128 if signed else 0, "high": 127 if signed else 255}
        values = (sums, multipliers.reshape(count), addends.astype(np.int64).reshape(count))
        types = tuple(kind(v.shape, v.dtype.name) for v in values)
        output = kind(x, "int8" if signed else "uint8")
        yield decoded("requant_shift", options, types, output, (), "pulp"), types, values


def oracle(operator: RequantShift, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """floor((x m + a) / 2^shift + 1/2), clamped."""
    x, multiplier, addend = inputs
    flat = []
    for i in every(shape_of(x)):
        real = Fraction(at(x, i) * at(multiplier, i) + at(addend, i), 2**operator.shift)
        flat.append(clamp(floor(real + HALF), operator.low, operator.high))
    return flat, shape_of(x)
