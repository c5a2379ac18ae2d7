"""Trunc in both versions, from their definitions, every step rounded to float32."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from simulator.ops.trunc import Trunc
from tests.ops.grids import Case, decoded, kind, scale, shape
from tests.oracle.quant import limits, rounded
from tests.oracle.singles import Index, at, every, exact, half_even, shape_of, single


def cases(rng: Random) -> Iterator[Case]:
    """Values on the input's grid; bits dropped by width, or by the ratio of two scales."""
    while True:
        x = shape(rng, 3)
        before = rng.randint(4, 10)
        dropped = rng.randint(0, before - 2)
        step, zero = scale(rng, -5, 1), rng.choice([0, 0, 2])
        drawn = [
            rng.randint(-(2 ** (before - 1)), 2 ** (before - 1) - 1) for _ in range(np.prod(x))
        ]
        values = ((np.array(drawn) - zero) * step).astype(np.float32).reshape(x)
        parameters = [step, zero, before]
        if rng.random() < 0.5:
            parameters += [step * 2**dropped, before - dropped]
        else:
            parameters.append(before - dropped)
        arrays = (values, *(np.array(p, np.float32) for p in parameters))
        options = {"rounding_mode": rng.choice(["FLOOR", "ROUND", "CEIL"]), "signed": 1}
        types = tuple(kind(v.shape, "float32") for v in arrays)
        operator = decoded("trunc", options, types, kind(x, "float32"), (), "qonnx")
        yield operator, types, arrays


def oracle(operator: Trunc, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """Codes divided by a power of two, rounded, and given their scale back."""
    x, s, z, width, *rest = inputs
    scale_, zero = exact(s), exact(z)
    flat = []
    for i in every(shape_of(x)):
        code = Fraction(half_even(single(single(exact(at(x, i)) / scale_) + zero)))
        if operator.version == 1:
            kept = rounded(single(code / 2 ** int(width - rest[0])), operator.rounding)
            flat.append(float(single(single(kept - zero) * scale_)))
            continue
        ratio = Fraction(exact(rest[0]) / scale_)
        low, high = limits(int(rest[1]), signed=operator.signed, narrow=operator.narrow)
        cut = min(max(single(code / ratio), Fraction(low)), Fraction(high))
        kept = rounded(cut, operator.rounding)
        flat.append(float(single(single(kept - single(zero / ratio)) * exact(rest[0]))))
    return flat, shape_of(x)
