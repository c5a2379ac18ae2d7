"""ConvInteger by its definition: nested loops over every output, tap and channel."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.conv_integer import ConvInteger
from tests.ops.grids import Case, codes, decoded, kind, window
from tests.oracle.primitives import WRAP32, Accumulator
from tests.oracle.singles import Index, pooled_shape, windows


def cases(rng: Random) -> Iterator[Case]:
    """Groups, zero points given or left out, one a filter, a bias."""
    while True:
        x_dtype, w_dtype = rng.choice([("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")])
        groups, each, block = rng.choice([1, 1, 2, 3]), rng.randint(1, 3), rng.randint(1, 3)
        filters = groups * block
        options = window(rng)
        x = (rng.choice([1, 2]), rng.randint(5, 7), rng.randint(4, 6), groups * each)
        w = (filters, *options["kernel"], each)
        extreme = rng.random() < 0.2
        values = [
            codes(rng, x, x_dtype, extreme=extreme),
            codes(rng, w, w_dtype, extreme=extreme),
            rng.choice([None, codes(rng, (filters,), "int32") >> 4]),
            rng.choice([None, codes(rng, (), x_dtype)]),
            rng.choice([None, codes(rng, (), w_dtype), codes(rng, (filters,), w_dtype)]),
        ]
        types = tuple(None if v is None else kind(v.shape, v.dtype.name) for v in values)
        operator = decoded("conv_integer", options, types, kind(x, "int32"))
        yield operator, types, tuple(values)


def sums(
    operator: ConvInteger, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[int]]:
    """The accumulators, one list of filters for every output position."""
    x, w, bias, x_zero, w_zero = inputs
    each = len(w[0][0][0])
    block = len(w) * each // len(x[0][0][0])
    found = []
    for image, taps in windows(operator, x):
        row = []
        for o, filter_ in enumerate(w):
            zero = 0 if w_zero is None else w_zero[o] if isinstance(w_zero, list) else w_zero
            products = []
            for i, j, place in taps:
                for k in range(each):
                    real = 0
                    if place is not None:
                        real = image[place[0]][place[1]][o // block * each + k] - (x_zero or 0)
                    products.append(real * (filter_[i][j][k] - zero))
            row.append(accumulator.sum(0 if bias is None else bias[o], products))
        found.append(row)
    return found


def oracle(
    operator: ConvInteger, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> tuple[list[int], Index]:
    """The sums in order, and their shape."""
    rows = sums(operator, inputs, accumulator)
    n, oy, ox, _ = pooled_shape(operator, inputs[0])
    return [value for row in rows for value in row], (n, oy, ox, len(inputs[1]))
