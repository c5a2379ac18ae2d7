"""Convolutions and fully connected layers in every pair of operand types that LiteRT multiplies."""

from collections.abc import Iterator
from math import prod
from random import Random
from typing import Any, Final

import numpy as np

from simulator.graph import TensorType
from tests.ops.structure import (
    ACTIVATIONS,
    RANGES,
    Given,
    OneNode,
    codes,
    even_axis,
    kind_of,
    log_uniform,
    single,
    stored,
    tensor_of,
    zero_point,
)
from tests.oracle.windows import positions

PAIRS: Final = (
    ("int8", "int8", "int32"),
    ("int8", "int4", "int32"),
    ("uint8", "uint8", "int32"),
    ("int16", "int8", "int64"),
    ("int16", "int8", "int32"),
    ("int16", "int4", "int64"),
    ("int16", "int4", "int32"),
)
"""Activations, weights and bias."""


def _scale(kind: TensorType) -> float:
    assert kind.quant is not None
    return max(kind.quant.scale)


def _weights(rng: Random, shape: tuple[int, ...], dtype: str, axis: int) -> Given:
    """One scale, or one a filter; a zero point for uint8 alone."""
    extreme = rng.random() < 0.2
    if dtype == "uint8":
        kind = kind_of(shape, dtype, log_uniform(rng, -9, -5), zero_point(rng, dtype))
        return Given(kind, codes(rng, shape, dtype, extreme=extreme), True)
    count = rng.choice([1, shape[axis]])
    if dtype == "int4" and even_axis(shape, axis) is None:
        count = 1
    scales = tuple(log_uniform(rng, -9, -5) for _ in range(count))
    kind = kind_of(shape, dtype, scales, axis=axis)
    return Given(kind, codes(rng, shape, dtype, extreme=extreme), True)


def _bias(rng: Random, x: Given, w: Given, channels: int, dtype: str) -> Given:
    reach = rng.choice([0, 500, 20000, 2**30 if dtype == "int32" else 2**38])
    assert w.kind.quant is not None
    scales = tuple(single(_scale(x.kind) * s) for s in w.kind.quant.scale)
    values = np.array([rng.randint(-reach, reach) for _ in range(channels)], dtype=dtype)
    return Given(kind_of((channels,), dtype, scales), values, True)


def _output(
    rng: Random, shape: tuple[int, ...], x: Given, w: Given, bias: Given | None, taps: int
) -> TensorType:
    """A grid on which the sums fill the range, sometimes over and sometimes under."""
    span = RANGES[x.kind.dtype][1] * RANGES[w.kind.dtype][1] / 3
    reach = max(span * taps**0.5, 0 if bias is None else float(np.abs(bias.value).max()))
    steps = 15 if x.kind.dtype == "int16" else 7
    scale = single(_scale(x.kind) * _scale(w.kind) * reach / 2 ** rng.uniform(steps - 3, steps + 1))
    return kind_of(shape, x.kind.dtype, scale, zero_point(rng, x.kind.dtype))


def _window(rng: Random, largest: int) -> tuple[dict[str, Any], list[int], list[int], list[int]]:
    """(options, kernel, input plane, output plane)."""
    padding = rng.choice(["SAME", "VALID"])
    kernel, stride = [[rng.choice(c) for _ in "hw"] for c in ([1, 2, 3, 4], [1, 1, 2, 3])]
    dilation = [1, 1] if max(stride) > 1 else [rng.choice([1, 1, 2, 3]) for _ in "hw"]
    plane, out = [], []
    for k, s, d in zip(kernel, stride, dilation, strict=True):
        least = (k - 1) * d + 1 if padding == "VALID" else 1
        plane.append(rng.randint(least, max(least, largest)))
        out.append(len(positions(plane[-1], k, s, d, padding)))
    options = {
        "padding": padding,
        "stride_h": stride[0],
        "stride_w": stride[1],
        "dilation_h_factor": dilation[0],
        "dilation_w_factor": dilation[1],
        "fused_activation_function": rng.choice(ACTIVATIONS),
    }
    return options, kernel, plane, out


def _bias_option(pair: tuple[str, str, str]) -> dict[str, Any]:
    """How a file says that an int16 layer accumulates in 32 bits."""
    return {"quantized_bias_type": "INT32"} if pair[0] == "int16" and pair[2] == "int32" else {}


def convolutions(rng: Random, pair: tuple[str, str, str], largest: int = 8) -> Iterator[OneNode]:
    """CONV_2D with one to three groups."""
    while True:
        options, kernel, plane, out = _window(rng, largest)
        groups = rng.choice([1, 1, 2, 3])
        each, filters = rng.randint(1, 6), groups * rng.randint(1, 4)
        x = tensor_of(rng, (rng.randint(1, 2), *plane, groups * each), pair[0])
        w = _weights(rng, (filters, *kernel, each), pair[1], 0)
        # The reference refuses a convolution without bias.
        bias = _bias(rng, x, w, filters, pair[2])
        shape = (x.kind.shape[0], *out, filters)
        y = _output(rng, shape, x, w, bias, each * prod(kernel))
        yield OneNode("CONV_2D", {**options, **_bias_option(pair)}, (x, w, bias), (y,))


def depthwise(rng: Random, pair: tuple[str, str, str], largest: int = 8) -> Iterator[OneNode]:
    """DEPTHWISE_CONV_2D with channel multipliers one to three."""
    while True:
        options, kernel, plane, out = _window(rng, largest)
        channels, multiplier = rng.randint(1, 6), rng.choice([1, 1, 2, 3])
        filters = channels * multiplier
        x = tensor_of(rng, (rng.randint(1, 2), *plane, channels), pair[0])
        w = _weights(rng, (1, *kernel, filters), pair[1], 3)
        bias = _bias(rng, x, w, filters, pair[2]) if rng.random() < 0.8 else None
        y = _output(rng, (x.kind.shape[0], *out, filters), x, w, bias, prod(kernel))
        given = (x, w) if bias is None else (x, w, bias)
        yield OneNode("DEPTHWISE_CONV_2D", {**options, "depth_multiplier": multiplier}, given, (y,))


def fully_connected(rng: Random, pair: tuple[str, str, str], largest: int = 6) -> Iterator[OneNode]:
    """FULLY_CONNECTED on inputs of rank 1 to 4, kept or flattened."""
    while True:
        taps, outputs = rng.randint(1, 16 * largest), rng.randint(1, 8)
        lead = tuple(rng.randint(1, 3) for _ in range(rng.randint(1, 3)))
        keep = rng.random() < 0.4
        x = tensor_of(rng, (*lead, taps), pair[0])
        w = _weights(rng, (outputs, taps), pair[1], 0)
        bias = _bias(rng, x, w, outputs, pair[2]) if rng.random() < 0.8 else None
        rows = lead if keep else (prod(lead),)
        y = _output(rng, (*rows, outputs), x, w, bias, taps)
        options = {
            "fused_activation_function": rng.choice(ACTIVATIONS),
            "keep_num_dims": keep,
            "weights_format": "DEFAULT",
            **_bias_option(pair),
        }
        yield OneNode("FULLY_CONNECTED", options, (x, w, bias), (y,))


def spaced(rng: Random, dtype: str) -> Iterator[OneNode]:
    """TRANSPOSE_CONV, SAME, with a stride over the kernel; many sums are halves of the grid."""
    bias_dtype = "int64" if dtype == "int16" else "int32"
    while True:
        kernel, stride = [[rng.randint(1, n) for _ in "hw"] for n in (3, 4)]
        if kernel[0] >= stride[0] and kernel[1] >= stride[1]:
            continue
        plane, channels, filters = [rng.randint(1, 5) for _ in "hw"], rng.randint(1, 5), 20
        size = [p * s - rng.randrange(s) for p, s in zip(plane, stride, strict=True)]
        shape = (rng.randint(1, 2), *size, rng.randint(1, filters))
        x = tensor_of(rng, (shape[0], *plane, channels), dtype)
        weight_dtype = "uint8" if dtype == "uint8" else "int8"
        w = _weights(rng, (shape[3], *kernel, channels), weight_dtype, 0)
        bias = _bias(rng, x, w, shape[3], bias_dtype)
        step = rng.choice([32, 64, 128, 200, 256])
        y_scale = single(_scale(x.kind) * _scale(w.kind) * step)
        y = kind_of(shape, dtype, y_scale, zero_point(rng, dtype))
        options = {
            "padding": "SAME",
            "stride_h": stride[0],
            "stride_w": stride[1],
            "fused_activation_function": rng.choice(ACTIVATIONS[:4]),
        }
        yield OneNode("TRANSPOSE_CONV", options, (stored(shape), w, x, bias), (y,), version=3)
