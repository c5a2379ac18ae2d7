"""Average pooling as the exact mean of the elements a window covers."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import Any

from simulator.ops.average_pool_2d import AveragePool2D
from tests.ops.build import (
    ACTIVATIONS,
    Case,
    OneOp,
    cases_of,
    codes,
    log_uniform,
    tensor,
    zero_point,
)
from tests.oracle.primitives import clamp, half_away
from tests.oracle.windows import positions


def one_ops(rng: Random, largest: int = 7) -> Iterator[OneOp]:
    """Windows that hang over edges, skip elements or cover the whole input."""
    while True:
        padding = rng.choice(["SAME", "VALID"])
        kernel = [rng.randint(1, 5), rng.randint(1, 5)]
        stride = [rng.randint(1, 4), rng.randint(1, 4)]
        size = [rng.randint(k if padding == "VALID" else 1, max(k, largest)) for k in kernel]
        if rng.random() < 0.2:
            kernel = list(size)
        batch, channels = rng.randint(1, 2), rng.randint(1, 4)
        output = [
            len(positions(n, k, s, 1, padding))
            for n, k, s in zip(size, kernel, stride, strict=True)
        ]
        scale, zero = log_uniform(rng, -7, 1), zero_point(rng)
        shape = (batch, size[0], size[1], channels)
        yield OneOp(
            "AVERAGE_POOL_2D",
            {
                "padding": padding,
                "filter_height": kernel[0],
                "filter_width": kernel[1],
                "stride_h": stride[0],
                "stride_w": stride[1],
                "fused_activation_function": rng.choice(ACTIVATIONS),
            },
            (tensor(shape, scale, zero),),
            tensor((batch, output[0], output[1], channels), scale, zero),
            (codes(rng, shape, extreme=rng.random() < 0.2),),
        )


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: AveragePool2D, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape."""
    (x,) = inputs
    rows, columns, channels = len(x[0]), len(x[0][0]), len(x[0][0][0])
    (ky, kx), (sy, sx) = operator.kernel, operator.stride
    tops = positions(rows, ky, sy, 1, operator.padding)
    lefts = positions(columns, kx, sx, 1, operator.padding)
    flat = []
    for image in x:
        for top in tops:
            for left in lefts:
                covered = [
                    image[r][c]
                    for r in range(top, top + ky)
                    for c in range(left, left + kx)
                    if r in range(rows) and c in range(columns)
                ]
                for k in range(channels):
                    mean = Fraction(sum(pixel[k] for pixel in covered), len(covered))
                    flat.append(clamp(half_away(mean), operator.low, operator.high))
    return flat, (len(x), len(tops), len(lefts), channels)
