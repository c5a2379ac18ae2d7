"""SVDF as two sums over plain lists: features of the newest input, then rank and time of a unit."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import numpy as np

from simulator.ops.svdf import Svdf
from tests.ops.build import Case, OneOp, cases_of, codes, log_uniform, single, tensor, zero_point
from tests.oracle.nested import leaves
from tests.oracle.primitives import WRAP32, Accumulator, requantize

LARGEST = {"int8": 127, "int16": 32767}


def one_ops(rng: Random, largest: int = 6) -> Iterator[OneOp]:
    """Ranks 1 to 3, histories of 1 to 6 steps in int16 or int8, biases present or left out."""
    while True:
        dtype, n, taps = (
            rng.choice(["int16", "int16", "int8"]),
            rng.randint(1, 3),
            rng.randint(1, 8),
        )
        rank, units, memory = rng.randint(1, 3), rng.randint(1, largest), rng.randint(1, largest)
        filters, reach = rank * units, LARGEST[dtype]
        x_scale, w_scale = log_uniform(rng, -8, -3), log_uniform(rng, -9, -5)
        state_scale = single(x_scale * w_scale * 5000 * taps**0.5 / reach * rng.uniform(0.5, 4))
        time_scale = log_uniform(rng, -15, -9)
        step = state_scale * time_scale
        spread = step * (reach * 0.4) ** 2 * (rank * memory) ** 0.5
        y_scale = single(spread / 2 ** rng.uniform(4, 8))
        bias = None
        if rng.random() < 0.8:
            limit = int(reach**2 * 0.3)
            drawn = [rng.randint(-limit, limit) for _ in range(units)]
            bias = np.array(drawn, dtype=np.int32)
        wide = [rng.randint(-reach - 1, reach) for _ in range(filters * memory * (n + 1))]
        values = (
            codes(rng, (n, taps)),
            codes(rng, (filters, taps), extreme=rng.random() < 0.2),
            np.array(wide[: filters * memory], dtype=dtype).reshape(filters, memory),
            bias,
            np.array(wide[filters * memory :], dtype=dtype).reshape(n, -1),
        )
        yield OneOp(
            "SVDF",
            {"rank": rank, "fused_activation_function": "RELU"},
            (
                tensor((n, taps), x_scale, zero_point(rng)),
                tensor((filters, taps), w_scale),
                tensor((filters, memory), time_scale, dtype=dtype),
                None if bias is None else tensor((units,), single(step), dtype="int32"),
                tensor((n, filters * memory), state_scale, dtype=dtype),
            ),
            tensor((n, units), y_scale, zero_point(rng)),
            values,
            frozenset({1, 2, 3}),
        )


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values; the history is random."""
    return cases_of(one_ops(rng))


def history(
    operator: Svdf, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[list[int]]]:
    """By batch and feature: the old values but the oldest, then the new one."""
    x, wf, wt, _, state = inputs
    memory = len(wt[0])
    found: list[list[list[int]]] = []
    for row, old in zip(x, state, strict=True):
        found.append([])
        for f, weights in enumerate(wf):
            real = [value - operator.input_zero_point for value in row]
            total = accumulator.sum(0, [a * b for a, b in zip(real, weights, strict=True)])
            kept = old[f * memory + 1 : (f + 1) * memory]
            found[-1].append([*kept, requantize(total, operator.feature)])
    return found


def sums(
    operator: Svdf, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[int]]:
    """The accumulators of the units, one list a batch."""
    wt, bias = inputs[2], inputs[3]
    units = len(wt) // operator.rank
    found: list[list[int]] = []
    for features in history(operator, inputs, accumulator):
        found.append([])
        for u in range(units):
            products = [
                a * b
                for f in range(u * operator.rank, (u + 1) * operator.rank)
                for a, b in zip(features[f], wt[f], strict=True)
            ]
            found[-1].append(accumulator.sum(0 if bias is None else bias[u], products))
    return found


def oracle(
    operator: Svdf, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[tuple[list[int], tuple[int, ...]]]:
    """The outputs in order and their shape, then those of the new state."""
    rows, state = sums(operator, inputs, accumulator), inputs[4]
    flat = [requantize(v, operator.requantize) for row in rows for v in row]
    kept = leaves(history(operator, inputs, accumulator))
    return [(flat, (len(rows), len(rows[0]))), (kept, (len(state), len(state[0])))]
