"""Transposed convolution as a scatter: every input element meets its filter in the output."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from simulator.ops.transpose_conv import TransposeConv
from tests.ops.structure import (
    QUANTIZED,
    Case,
    Given,
    OneNode,
    cases_of,
    codes,
    kind_of,
    log_uniform,
    single,
    stored,
    tensor_of,
    zero_point,
)
from tests.oracle.nested import shape_of
from tests.oracle.primitives import WRAP32, Accumulator
from tests.oracle.rescale import rescale

ACTIVATIONS = ("NONE", "NONE", "RELU", "RELU6")


def one_ops(rng: Random, largest: int = 5) -> Iterator[OneNode]:
    """Strides up to three, kernels smaller and larger than the stride, biases of 32 and 64 bits."""
    largest = min(largest, 6)
    while True:
        padding = rng.choice(["SAME", "VALID"])
        kernel = [rng.randint(1, 4), rng.randint(1, 4)]
        stride = [rng.randint(1, 3), rng.randint(1, 3)]
        plane = [rng.randint(1, largest), rng.randint(1, largest)]
        n, ic, oc = rng.randint(1, 2), rng.randint(1, 4), rng.randint(1, 4)
        size = [_size(rng, p, k, s, padding) for p, k, s in zip(plane, kernel, stride, strict=True)]
        dtype = rng.choice(QUANTIZED)
        x = tensor_of(rng, (n, *plane, ic), dtype)
        weights = _weights(rng, (oc, *kernel, ic), dtype)
        given = [stored([n, *size, oc]), weights, x]
        if rng.random() < 0.6:
            given.append(_bias(rng, x, weights, oc))
        spread = 2.0 ** rng.uniform(8, 12) if dtype == "int16" else 2.0 ** rng.uniform(4, 8)
        assert x.kind.quant is not None
        assert weights.kind.quant is not None
        y_scale = single(x.kind.quant.scale[0] * max(weights.kind.quant.scale) * spread)
        output = kind_of((n, *size, oc), dtype, y_scale, zero_point(rng, dtype))
        options = {
            "padding": padding,
            "stride_h": stride[0],
            "stride_w": stride[1],
            "fused_activation_function": rng.choice(ACTIVATIONS),
        }
        yield OneNode("TRANSPOSE_CONV", options, tuple(given), (output,))


def _size(rng: Random, plane: int, kernel: int, stride: int, padding: str) -> int:
    """An output size that a convolution with this stride brings back to `plane`."""
    if padding == "SAME":
        return plane * stride - rng.randrange(stride)
    return (plane - 1) * stride + kernel + rng.randrange(stride)


def _weights(rng: Random, shape: tuple[int, ...], dtype: str) -> Given:
    if dtype == "uint8":
        kind = kind_of(shape, dtype, log_uniform(rng, -9, -5), zero_point(rng, dtype))
        return Given(kind, codes(rng, shape, dtype), True)
    scales = tuple(log_uniform(rng, -9, -5) for _ in range(rng.choice([1, shape[0]])))
    return Given(kind_of(shape, "int8", scales), codes(rng, shape, "int8"), True)


def _bias(rng: Random, x: Given, weights: Given, channels: int) -> Given:
    assert x.kind.quant is not None
    assert weights.kind.quant is not None
    dtype = "int64" if x.kind.dtype == "int16" else "int32"
    scales = tuple(single(x.kind.quant.scale[0] * s) for s in weights.kind.quant.scale)
    values = np.array([rng.randint(-20000, 20000) for _ in range(channels)], dtype=dtype)
    return Given(kind_of((channels,), dtype, scales), values, True)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def _before(size: int, kernel: int, stride: int, padding: object) -> int:
    """How much of the scatter lies before the output."""
    if padding == "VALID":
        return 0
    assert padding == "SAME"
    steps = (size + stride - 1) // stride
    return max((steps - 1) * stride + kernel - size, 0) // 2


def _scattered(operator: TransposeConv, image: Any, w: Any) -> dict[Any, list[list[int]]]:
    """By output place and tap: for each filter its products with the pixel that reaches there."""
    oc, ky, kx, ic = shape_of(w)
    (height, width), (sy, sx) = operator.size, operator.stride
    zero, zeros = operator.weighted.input_zero_point, operator.weighted.weight_zero_points
    above = _before(height, ky, sy, operator.padding)
    before = _before(width, kx, sx, operator.padding)
    found = {}
    for row, line in enumerate(image):
        for column, pixel in enumerate(line):
            for i in range(ky):
                for j in range(kx):
                    y, z = row * sy + i - above, column * sx + j - before
                    if y in range(height) and z in range(width):
                        found[y, z, i, j] = [
                            [
                                (pixel[k] - zero) * (w[o][i][j][k] - zeros[o % len(zeros)])
                                for k in range(ic)
                            ]
                            for o in range(oc)
                        ]
    return found


def sums(
    operator: TransposeConv, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[int]]:
    """The accumulators, one list of filters for every output position.

    Input elements come in ascending order, so taps in descending; one that meets no element
    takes its turn with nothing.
    """
    w, x = inputs[1], inputs[2]
    oc, ky, kx, ic = shape_of(w)
    bias = inputs[3] if len(inputs) > 3 else [0] * oc
    nothing = [[0] * ic] * oc
    found = []
    for image in x:
        products = _scattered(operator, image, w)
        for y in range(operator.size[0]):
            for z in range(operator.size[1]):
                taps = [
                    products.get((y, z, i, j), nothing)
                    for i in reversed(range(ky))
                    for j in reversed(range(kx))
                ]
                found.append(
                    [
                        accumulator.sum(bias[o], [value for tap in taps for value in tap[o]])
                        for o in range(oc)
                    ]
                )
    return found


def oracle(
    operator: TransposeConv, inputs: Sequence[Any], accumulator: Accumulator | None = None
) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape; without `accumulator` as wide as the reference's."""
    by = operator.weighted
    rows = sums(operator, inputs, accumulator or Accumulator(by.accumulator_bits))
    flat = [
        rescale(v, by.requantize, o, _place(by.requantize, r, o, len(rows), len(row)))
        for r, row in enumerate(rows)
        for o, v in enumerate(row)
    ]
    return flat, (len(inputs[2]), *operator.size, len(inputs[1]))


def _place(by: Any, row: int, filter_: int, rows: int, filters: int) -> tuple[int, int]:
    """Index and number of a sum along what the runtime's vector code works on."""
    if by.blocks is not None and by.blocks.over == "elements":
        return row * filters + filter_, rows * filters
    return filter_, filters
