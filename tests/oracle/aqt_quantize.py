"""AQT's quantizer by its definition: a product, a clip, a sum, each rounded to float32."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

import numpy as np

from simulator.ops.aqt_quantize import AqtQuantize
from tests.ops.grids import Case, decoded, kind, reals, scale, shape
from tests.oracle.singles import HALF, Index, every, exact, shape_of, single


def cases(rng: Random) -> Iterator[Case]:
    """Every width of both forms; one scale, or one a channel."""
    while True:
        form = rng.choice(["signed", "unsigned"])
        bits = rng.randint(2 if form == "signed" else 1, 8)
        x = shape(rng, 3)
        sizes: Index = rng.choice([(), (x[2],)])
        steps = [scale(rng, -4, 3) for _ in range(int(np.prod(sizes)))]
        values = [
            reals(rng, x, 2.0**bits * 0.7, float(steps[0])),
            (1 / np.array(steps, np.float32)).reshape(sizes),
        ]
        kinds = [kind(v.shape, v.dtype.name) for v in values]
        output = kind(x, "int8" if form == "signed" else "uint8", bits=bits)
        options = {"form": form, "bits": bits}
        yield decoded("aqt_quantize", options, kinds, output), tuple(kinds), tuple(values)


def oracle(operator: AqtQuantize, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """The code of every element."""
    x, scales = inputs
    flat: list[float] = []
    for index in every(shape_of(x)):
        elem = x
        for i in index:
            elem = elem[i]
        s = scales[index[-1]] if isinstance(scales, list) and len(scales) > 1 else scales
        s = s[0] if isinstance(s, list) else s
        product = single(exact(elem) * exact(s))
        if operator.form == "unsigned":
            flat.append(min(max(floor(product), 0), 2**operator.bits - 1))
        else:
            top = 2 ** (operator.bits - 1) - 1
            cut = min(max(product, Fraction(-top)), Fraction(top))
            flat.append(floor(single(cut + HALF)))
    return flat, shape_of(x)
