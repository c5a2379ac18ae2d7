"""Windows of codes on learned bases from the definition."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.lq_conv_2d import LqConv2D
from tests.ops.grids import Case, decoded, kind, window
from tests.oracle.learned import Tap, operands, plane_dots, product_options, real_sum
from tests.oracle.singles import Index, pooled_shape, windows


def cases(rng: Random) -> Iterator[Case]:
    """Groups, strides, dilations and padding; channels of less and more than a word."""
    while True:
        groups, each, block = rng.choice([1, 1, 2]), rng.choice([1, 3, 66]), rng.randint(1, 3)
        options = {**window(rng), **product_options(rng)}
        x = (rng.randint(1, 2), rng.randint(4, 5), rng.randint(4, 5), groups * each)
        filters = groups * block
        types, values = operands(rng, x, (filters, *options["kernel"], each))
        operator = decoded("lq_conv_2d", options, types, kind(x, "float32"), values)
        yield operator, types, values


def sums(operator: LqConv2D, inputs: Sequence[Any]) -> list[list[list[list[int]]]]:
    """The dots of planes of every output position and filter."""
    x, w, u, v = inputs[:4]
    each = len(w[0][0][0])
    block = len(w) * each // len(x[0][0][0])
    planes = (len(v[0]), len(u))
    found = []
    for image, taps in windows(operator, x):
        position = []
        for o, own in enumerate(w):
            pairs: list[Tap] = []
            for i, j, place in taps:
                for k in range(each):
                    code = None
                    if place is not None:
                        code = image[place[0]][place[1]][o // block * each + k]
                    pairs.append((code, own[i][j][k]))
            position.append(plane_dots(pairs, operator, planes))
        found.append(position)
    return found


def oracle(operator: LqConv2D, inputs: Sequence[Any]) -> tuple[list[float], Index]:
    """Every filter of every position."""
    x, w, u, v = inputs[:4]
    bias = inputs[4] if len(inputs) > 4 else [0.0] * len(w)
    flat = [
        real_sum(dots, (v[o if len(v) > 1 else 0], u), bias[o], operator.bounds)
        for position in sums(operator, inputs)
        for o, dots in enumerate(position)
    ]
    return flat, (*pooled_shape(operator, x)[:3], len(w))
