"""Depthwise convolution by its definition; options and sizes are those of any convolution."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.depthwise_conv_2d import DepthwiseConv2D
from tests.ops.build import (
    Case,
    OneOp,
    biases,
    cases_of,
    codes,
    log_uniform,
    spread,
    tensor,
    weight_scales,
    zero_point,
)
from tests.oracle.conv_2d import options, output_size, sizes
from tests.oracle.primitives import WRAP32, Accumulator, requantize
from tests.oracle.windows import positions


def one_ops(rng: Random, largest: int = 6) -> Iterator[OneOp]:
    """As convolutions, with channel multipliers 1 to 3."""
    while True:
        chosen = options(rng)
        kernel, size = sizes(rng, chosen, largest)
        channels, multiplier, batch = rng.randint(1, 5), rng.choice([1, 1, 2, 3]), rng.randint(1, 2)
        filters = channels * multiplier
        extreme = rng.random() < 0.2
        x_scale, w_scale = log_uniform(rng, -8, 2), weight_scales(rng, filters)
        bias = biases(rng, filters)
        y_scale = spread(rng, x_scale * max(w_scale), kernel[0] * kernel[1], bias)
        shape = (batch, size[0], size[1], channels)
        w = codes(rng, (1, kernel[0], kernel[1], filters), extreme=extreme)
        kinds = [
            tensor(shape, x_scale, zero_point(rng)),
            tensor(w.shape, w_scale, axis=3),
            tensor((filters,), tuple(x_scale * s for s in w_scale), dtype="int32", axis=0),
        ]
        values = [codes(rng, shape, extreme=extreme), w, bias]
        inputs = 2 if bias is None else 3
        yield OneOp(
            "DEPTHWISE_CONV_2D",
            {**chosen, "depth_multiplier": multiplier},
            tuple(kinds[:inputs]),
            tensor((batch, *output_size(chosen, kernel, size), filters), y_scale, zero_point(rng)),
            tuple(values[:inputs]),
            frozenset({1, 2}),
        )


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def sums(
    operator: DepthwiseConv2D, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[int]]:
    """The accumulators, one list of output channels for every output position."""
    x, w = inputs[0], inputs[1][0]
    ky, kx, filters = len(w), len(w[0]), len(w[0][0])
    bias = inputs[2] if len(inputs) > 2 and inputs[2] is not None else [0] * filters
    rows, columns, multiplier = len(x[0]), len(x[0][0]), filters // len(x[0][0][0])
    (sy, sx), (dy, dx) = operator.stride, operator.dilation
    found: list[list[int]] = []
    for image in x:
        for top in positions(rows, ky, sy, dy, operator.padding):
            for left in positions(columns, kx, sx, dx, operator.padding):
                found.append([])
                for o in range(filters):
                    products = []
                    for i in range(ky):
                        for j in range(kx):
                            r, c = top + i * dy, left + j * dx
                            # Padding has the value of the zero point: a product of nothing.
                            real = 0
                            if r in range(rows) and c in range(columns):
                                real = (
                                    image[r][c][o // multiplier]
                                    - operator.weighted.input_zero_point
                                )
                            products.append(real * w[i][j][o])
                    found[-1].append(accumulator.sum(bias[o], products))
    return found


def oracle(
    operator: DepthwiseConv2D, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape."""
    x, w = inputs[0], inputs[1][0]
    (sy, sx), (dy, dx), padding = operator.stride, operator.dilation, operator.padding
    shape = (
        len(x),
        len(positions(len(x[0]), len(w), sy, dy, padding)),
        len(positions(len(x[0][0]), len(w[0]), sx, dx, padding)),
        len(w[0][0]),
    )
    rows = sums(operator, inputs, accumulator)
    flat = [
        requantize(v, operator.weighted.requantize, o) for row in rows for o, v in enumerate(row)
    ]
    return flat, shape
