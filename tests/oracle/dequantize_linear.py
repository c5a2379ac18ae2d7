"""DequantizeLinear by its definition."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from simulator.ops.dequantize_linear import DequantizeLinear
from tests.ops.grids import Case, codes, decoded, kind, scale, shape
from tests.oracle.singles import Index, at, every, exact, parameter, shape_of, single


def cases(rng: Random) -> Iterator[Case]:
    """Codes and accumulators; one scale, an axis of them, or blocks."""
    while True:
        dtype = rng.choice(["int8", "uint8", "int16", "uint16", "int32"])
        x = shape(rng, 3)
        axis, form = rng.randrange(3), rng.choice(["one", "axis", "block"])
        block = rng.randint(1, 3) if form == "block" else 0
        sizes: Index = {"one": (), "axis": (x[axis],)}.get(
            form,
            tuple(-(-n // block) if k == axis else n for k, n in enumerate(x)) if block else (),
        )
        scales = [scale(rng, -12, 3) for _ in range(int(np.prod(sizes)))]
        values = [codes(rng, x, dtype), np.array(scales, np.float32).reshape(sizes)]
        if dtype != "int32" and rng.random() < 0.7:
            values.append(codes(rng, sizes, dtype))
        kinds = [kind(v.shape, v.dtype.name) for v in values]
        options = {"axis": axis, "block_size": block}
        output = kind(x, "float32")
        yield decoded("dequantize_linear", options, kinds, output), tuple(kinds), tuple(values)


def oracle(operator: DequantizeLinear, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """f32(f32(x - zero point) * scale)."""
    x, scales, *zeros = inputs
    flat = []
    for index in every(shape_of(x)):
        s, *z = (parameter(p, index, operator.axis, operator.block) for p in (scales, *zeros))
        centred = single(at(x, index) - (z[0] if z else 0))
        flat.append(float(single(centred * exact(s))))
    return flat, shape_of(x)
