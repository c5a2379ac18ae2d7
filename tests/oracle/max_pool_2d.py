"""Maximum pooling as the largest of the elements a window covers."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.max_pool_2d import MaxPool2D
from tests.ops.structure import ACTIVATIONS, QUANTIZED, Case, OneNode, cases_of, like, tensor_of
from tests.oracle.primitives import clamp
from tests.oracle.windows import positions


def pool_nodes(rng: Random, op: str, largest: int) -> Iterator[OneNode]:
    """Windows that hang over edges, skip elements or cover the whole input."""
    while True:
        padding = rng.choice(["SAME", "VALID"])
        kernel = [rng.randint(1, 5), rng.randint(1, 5)]
        stride = [rng.randint(1, 4), rng.randint(1, 4)]
        size = [rng.randint(k if padding == "VALID" else 1, max(k, largest)) for k in kernel]
        batch, channels = rng.randint(1, 2), rng.randint(1, 4)
        axes = zip(size, kernel, stride, strict=True)
        plane = [len(positions(n, k, s, 1, padding)) for n, k, s in axes]
        x = tensor_of(rng, (batch, *size, channels), rng.choice(QUANTIZED))
        options = {
            "padding": padding,
            "filter_height": kernel[0],
            "filter_width": kernel[1],
            "stride_h": stride[0],
            "stride_w": stride[1],
            "fused_activation_function": rng.choice(ACTIVATIONS),
        }
        yield OneNode(op, options, (x,), (like(x.kind, (batch, *plane, channels)),))


def one_ops(rng: Random, largest: int = 7) -> Iterator[OneNode]:
    """Maximum pools."""
    return pool_nodes(rng, "MAX_POOL_2D", largest)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: MaxPool2D, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape."""
    (x,) = inputs
    rows, columns, channels = len(x[0]), len(x[0][0]), len(x[0][0][0])
    (ky, kx), (sy, sx) = operator.kernel, operator.stride
    padding = operator.padding
    assert isinstance(padding, str)
    tops, lefts = positions(rows, ky, sy, 1, padding), positions(columns, kx, sx, 1, padding)
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
                    largest = max(pixel[k] for pixel in covered)
                    flat.append(clamp(largest, operator.low, operator.high))
    return flat, (len(x), len(tops), len(lefts), channels)
