"""MultiThreshold from its definition."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.multi_threshold import MultiThreshold
from tests.ops.grids import Case, decoded, kind, reals, shape
from tests.oracle.singles import Index, at, every, exact, shape_of, single


def cases(rng: Random) -> Iterator[Case]:
    """One row of thresholds or one a channel, sorted or not, values that meet them."""
    while True:
        x, axis = shape(rng, 3), rng.randrange(3)
        thresholds = reals(rng, (rng.choice([1, x[axis]]), rng.randint(1, 15)))
        values = reals(rng, x, 1.5)
        values.reshape(-1)[0] = thresholds.reshape(-1)[0]
        options = {
            "axis": axis,
            "out_scale": rng.choice([1.0, 0.25, 0.3]),
            "out_bias": rng.choice([0.0, -4.0, 0.7]),
        }
        arrays = (values, thresholds)
        types = tuple(kind(v.shape, "float32") for v in arrays)
        operator = decoded("multi_threshold", options, types, kind(x, "float32"), (), "qonnx")
        yield operator, types, arrays


def oracle(operator: MultiThreshold, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """Thresholds that the element reaches, counted, scaled, shifted."""
    x, thresholds = inputs
    flat = []
    scale, bias = single(exact(operator.scale)), single(exact(operator.bias))
    for index in every(shape_of(x)):
        row = thresholds[index[operator.axis] if len(thresholds) > 1 else 0]
        count = sum(at(x, index) >= t for t in row)
        flat.append(float(single(single(scale * count) + bias)))
    return flat, shape_of(x)
