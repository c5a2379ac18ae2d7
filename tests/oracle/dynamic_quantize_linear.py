"""DynamicQuantizeLinear by its definition."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import Any

import numpy as np

from simulator.ops.dynamic_quantize_linear import DynamicQuantizeLinear
from tests.ops.grids import Case, decoded, kind, reals, shape
from tests.oracle.singles import Index, at, every, exact, on_grid, shape_of, single


def cases(rng: Random) -> Iterator[Case]:
    """Values around zero, on one side of it, all zero."""
    while True:
        x = reals(rng, shape(rng, 2, 9), 10 ** rng.uniform(-3, 3))
        x = rng.choice([x, x, x, np.abs(x), -np.abs(x), x * np.float32(0)])
        types = (kind(x.shape, "float32"),)
        operator = decoded("dynamic_quantize_linear", {}, types, kind(x.shape, "uint8"))
        yield operator, types, (x,)


def oracle(
    operator: DynamicQuantizeLinear, inputs: Sequence[Any]
) -> list[tuple[list[float], Index]]:
    """Codes, scale, zero point; the range always holds zero."""
    (x,) = inputs
    values = [exact(at(x, index)) for index in every(shape_of(x))]
    low, high = min([Fraction(0), *values]), max([Fraction(0), *values])
    scale = single(single(high - low) / 255) if high > low else Fraction(1)
    zero = on_grid(single(0 - single(low / scale)), 0, 0, 255)
    codes: list[float] = [on_grid(single(v / scale), zero, 0, 255) for v in values]
    return [(codes, shape_of(x)), ([float(scale)], ()), ([zero], ())]
