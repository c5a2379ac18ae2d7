"""Convolution by its definition: nested loops over every output, tap and channel."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.conv_2d import Conv2D
from tests.ops.build import (
    ACTIVATIONS,
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
from tests.oracle.primitives import WRAP32, Accumulator, requantize
from tests.oracle.windows import positions


def options(rng: Random) -> dict[str, Any]:
    """Strides, dilations, padding and activation of any convolution."""
    return {
        "padding": rng.choice(["SAME", "VALID"]),
        "stride_h": rng.choice([1, 1, 2, 3]),
        "stride_w": rng.choice([1, 1, 2, 3]),
        "dilation_h_factor": rng.choice([1, 1, 2, 3]),
        "dilation_w_factor": rng.choice([1, 1, 2, 3]),
        "fused_activation_function": rng.choice(ACTIVATIONS),
    }


def sizes(rng: Random, chosen: dict[str, Any], largest: int) -> tuple[list[int], list[int]]:
    """(kernel, input size) along both axes; VALID always leaves at least one window."""
    kernel = [rng.randint(1, 4), rng.randint(1, 4)]
    size = []
    for k, axis in zip(kernel, "hw", strict=True):
        reach = (k - 1) * int(chosen[f"dilation_{axis}_factor"]) + 1
        least = reach if chosen["padding"] == "VALID" else 1
        size.append(rng.randint(least, max(least, largest)))
    return kernel, size


def output_size(chosen: dict[str, Any], kernel: list[int], size: list[int]) -> tuple[int, int]:
    """(oy, ox)."""
    counts = [
        len(
            positions(
                n, k, chosen[f"stride_{a}"], chosen[f"dilation_{a}_factor"], chosen["padding"]
            )
        )
        for n, k, a in zip(size, kernel, "hw", strict=True)
    ]
    return counts[0], counts[1]


def one_ops(rng: Random, largest: int = 8) -> Iterator[OneOp]:
    """Ragged shapes, groups, one scale or one a filter, biases up to 2^30."""
    while True:
        chosen = options(rng)
        kernel, size = sizes(rng, chosen, largest)
        groups, each, block = rng.choice([1, 1, 2, 3]), rng.randint(1, 4), rng.randint(1, 3)
        filters, batch = groups * block, rng.choice([1, 1, 2])
        extreme = rng.random() < 0.2
        x_scale, w_scale = log_uniform(rng, -8, 2), weight_scales(rng, filters)
        bias = biases(rng, filters)
        y_scale = spread(rng, x_scale * max(w_scale), each * kernel[0] * kernel[1], bias)
        shape = (batch, size[0], size[1], groups * each)
        w = codes(rng, (filters, kernel[0], kernel[1], each), extreme=extreme)
        kinds = [
            tensor(shape, x_scale, zero_point(rng)),
            tensor(w.shape, w_scale, axis=0),
            tensor((filters,), tuple(x_scale * s for s in w_scale), dtype="int32", axis=0),
        ]
        values = [codes(rng, shape, extreme=extreme), w, bias]
        inputs = 2 if bias is None else 3
        yield OneOp(
            "CONV_2D",
            chosen,
            tuple(kinds[:inputs]),
            tensor((batch, *output_size(chosen, kernel, size), filters), y_scale, zero_point(rng)),
            tuple(values[:inputs]),
            frozenset({1, 2}),
            # LiteRT conv.cc:411 wants a bias in every quantized convolution.
            refused=bias is None,
        )


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def sums(
    operator: Conv2D, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[int]]:
    """The accumulators, one list of filters for every output position."""
    x, w = inputs[0], inputs[1]
    bias = inputs[2] if len(inputs) > 2 and inputs[2] is not None else [0] * len(w)
    ky, kx, each = len(w[0]), len(w[0][0]), len(w[0][0][0])
    rows, columns = len(x[0]), len(x[0][0])
    block = len(w) // (len(x[0][0][0]) // each)
    (sy, sx), (dy, dx) = operator.stride, operator.dilation
    found: list[list[int]] = []
    for image in x:
        for top in positions(rows, ky, sy, dy, operator.padding):
            for left in positions(columns, kx, sx, dx, operator.padding):
                found.append([])
                for o, taps in enumerate(w):
                    products = []
                    for i in range(ky):
                        for j in range(kx):
                            r, c = top + i * dy, left + j * dx
                            inside = 0 <= r < rows and 0 <= c < columns
                            for k in range(each):
                                value = image[r][c][o // block * each + k] if inside else None
                                real = (
                                    0
                                    if value is None
                                    else value - operator.weighted.input_zero_point
                                )
                                products.append(real * taps[i][j][k])
                    found[-1].append(accumulator.sum(bias[o], products))
    return found


def oracle(
    operator: Conv2D, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape."""
    x, w = inputs[0], inputs[1]
    (sy, sx), (dy, dx), padding = operator.stride, operator.dilation, operator.padding
    shape = (
        len(x),
        len(positions(len(x[0]), len(w[0]), sy, dy, padding)),
        len(positions(len(x[0][0]), len(w[0][0]), sx, dx, padding)),
        len(w),
    )
    rows = sums(operator, inputs, accumulator)
    flat = [
        requantize(v, operator.weighted.requantize, o) for row in rows for o, v in enumerate(row)
    ]
    return flat, shape
