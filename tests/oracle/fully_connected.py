"""A fully connected layer as dot products of rows."""

from collections.abc import Iterator, Sequence
from math import prod
from random import Random
from typing import Any

from simulator.ops.fully_connected import FullyConnected
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
from tests.oracle.nested import leaves, shape_of
from tests.oracle.primitives import WRAP32, Accumulator, requantize


def one_ops(rng: Random, largest: int = 6) -> Iterator[OneOp]:
    """Inputs of rank 1 to 4, kept or flattened; biases absent, left out or up to 2^30."""
    while True:
        taps, outputs = rng.randint(1, 8 * largest), rng.randint(1, 5)
        lead = tuple(rng.randint(1, 3) for _ in range(rng.randint(1, 3)))
        keep = rng.random() < 0.4
        shape = (*lead, taps)
        extreme = rng.random() < 0.2
        x_scale, w_scale = log_uniform(rng, -8, 2), weight_scales(rng, outputs)
        bias = biases(rng, outputs)
        kinds = [
            tensor(shape, x_scale, zero_point(rng)),
            tensor((outputs, taps), w_scale, axis=0),
            None
            if bias is None
            else tensor((outputs,), tuple(x_scale * s for s in w_scale), dtype="int32", axis=0),
        ]
        values = [
            codes(rng, shape, extreme=extreme),
            codes(rng, (outputs, taps), extreme=extreme),
            bias,
        ]
        inputs = 2 if bias is None and rng.random() < 0.5 else 3
        rows = lead if keep else (prod(lead),)
        yield OneOp(
            "FULLY_CONNECTED",
            {
                "fused_activation_function": rng.choice(ACTIVATIONS),
                "keep_num_dims": keep,
                "weights_format": "DEFAULT",
            },
            tuple(kinds[:inputs]),
            tensor(
                (*rows, outputs), spread(rng, x_scale * max(w_scale), taps, bias), zero_point(rng)
            ),
            tuple(values[:inputs]),
            frozenset({1, 2}),
        )


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def sums(
    operator: FullyConnected, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[int]]:
    """The accumulators, one list of outputs for every row."""
    w, flat = inputs[1], leaves(inputs[0])
    bias = inputs[2] if len(inputs) > 2 and inputs[2] is not None else [0] * len(w)
    taps = len(w[0])
    found = []
    for start in range(0, len(flat), taps):
        row = [value - operator.weighted.input_zero_point for value in flat[start : start + taps]]
        found.append(
            [
                accumulator.sum(b, [a * v for a, v in zip(row, weights, strict=True)])
                for b, weights in zip(bias, w, strict=True)
            ]
        )
    return found


def oracle(
    operator: FullyConnected, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape."""
    rows = sums(operator, inputs, accumulator)
    lead = shape_of(inputs[0])[:-1] if operator.keep_dims else (len(rows),)
    flat = [
        requantize(v, operator.weighted.requantize, o) for row in rows for o, v in enumerate(row)
    ]
    return flat, (*lead, len(inputs[1]))
