"""BipolarQuant from its definition."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from simulator.ops.bipolar_quant import BipolarQuant
from tests.ops.grids import Case, decoded, kind, reals, scale, shape
from tests.oracle.singles import Index, at, every, shape_of


def cases(rng: Random) -> Iterator[Case]:
    """One scale or one a channel; zeros of both signs."""
    while True:
        x = shape(rng, 3)
        sizes = rng.choice([(), (1, x[1], 1)])
        scales = [scale(rng) for _ in range(int(np.prod(sizes)))]
        values = reals(rng, x)
        values.reshape(-1)[0] = rng.choice([0.0, -0.0, 1.0])
        arrays = (values, np.array(scales, np.float32).reshape(sizes))
        types = tuple(kind(v.shape, "float32") for v in arrays)
        operator = decoded("bipolar_quant", {}, types, kind(x, "float32"), (), "qonnx")
        yield operator, types, arrays


def oracle(operator: BipolarQuant, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """The scale with the sign of x; zero counts as positive."""
    x, scales = inputs
    flat = [at(scales, i) * (1 if at(x, i) >= 0 else -1) for i in every(shape_of(x))]
    return flat, shape_of(x)
