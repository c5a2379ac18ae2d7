"""Sums of codes of GridConv2D, by their definition.

Its float32 sums are MLAS's own order of adding: an oracle in integers makes no sense for them, and
they are compared with the runtime bit by bit in tests/ops/test_onnx_floats.py.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final

from simulator.ops.grid_conv_2d import GridConv2D
from tests.ops.grids import Case, decoded, kind, operand, window
from tests.oracle.primitives import Accumulator
from tests.oracle.singles import exact, half_even, windows

INSTEAD: Final = "tests/ops/test_onnx_floats.py"
"""Where the outputs are judged."""


def cases(rng: Random) -> Iterator[Case]:
    """Groups, codes of 1 to 8 bits, zero points, one weight scale or one a filter."""
    while True:
        groups, each, block = rng.choice([1, 1, 2]), rng.randint(1, 3), rng.randint(1, 3)
        filters = groups * block
        options = window(rng)
        x = (1, rng.randint(4, 6), rng.randint(4, 6), groups * each)
        w = (filters, *options["kernel"], each)
        (x_kind, x_value), (w_kind, w_value) = (
            operand(rng, x, 0, 1),
            operand(rng, w, 0, rng.choice([1, filters])),
        )
        types = (x_kind, w_kind)
        operator = decoded("grid_conv_2d", options, types, kind(x, "float32"), (), "qonnx")
        yield operator, types, (x_value, w_value)


def sums(operator: GridConv2D, inputs: Sequence[Any], accumulator: Accumulator) -> list[list[int]]:
    """The accumulators of codes, one list of filters for every output position."""
    x, w = inputs
    each = len(w[0][0][0])
    block = len(w) * each // len(x[0][0][0])
    scales = operator.grids.w_scales
    found = []
    for image, taps in windows(operator, x):
        row = []
        for o, filter_ in enumerate(w):
            scale = scales[o if len(scales) > 1 else 0]
            products = []
            for i, j, place in taps:
                for k in range(each):
                    code = 0
                    if place is not None:
                        value = image[place[0]][place[1]][o // block * each + k]
                        code = half_even(exact(value) / exact(operator.grids.x_scale))
                    products.append(code * half_even(exact(filter_[i][j][k]) / exact(scale)))
            row.append(accumulator.sum(0, products))
        found.append(row)
    return found
