"""Accumulators times one float32 factor a channel, from its definition."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from simulator.ops.requantize_linear import RequantizeLinear
from tests.ops.grids import Case, codes, decoded, kind, scale, shape
from tests.oracle.singles import Index, at, every, exact, on_grid, shape_of, single


def cases(rng: Random) -> Iterator[Case]:
    """Sums small and large, one weight scale or one a channel."""
    while True:
        dtype = rng.choice(["int8", "uint8"])
        x = shape(rng, 3)
        count = rng.choice([1, x[-1]])
        sums = codes(rng, x, "int32") >> rng.randint(0, 24)
        s_x, s_y = scale(rng), scale(rng)
        s_w = np.array([scale(rng) for _ in range(count)], np.float32)
        fitting = np.float32(s_x * float(s_w.max()) * (float(np.abs(sums).max()) + 1) / 100)
        y = np.float32(s_y) if rng.random() < 0.2 else fitting
        values = (sums, np.float32(s_x), s_w, y, codes(rng, (), dtype))
        arrays = tuple(np.asarray(v) for v in values)
        kinds = tuple(kind(v.shape, v.dtype.name) for v in arrays)
        yield decoded("requantize_linear", {}, kinds, kind(x, dtype)), kinds, arrays


def oracle(operator: RequantizeLinear, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """round(f32(f32(sum) f32(f32(s_x s_w) / s_y))) + z."""
    sums, s_x, s_w, s_y, zero = inputs
    flat = []
    for index in every(shape_of(sums)):
        weight = exact(s_w[index[-1] if len(s_w) > 1 else 0])
        factor = single(single(exact(s_x) * weight) / exact(s_y))
        real = single(single(at(sums, index)) * factor)
        flat.append(on_grid(real, zero, operator.low, operator.high))
    return flat, shape_of(sums)
