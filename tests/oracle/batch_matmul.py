"""Batch matrix product as sums over the inner axis."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.batch_matmul import BatchMatMul
from tests.ops.structure import (
    Case,
    Given,
    OneNode,
    cases_of,
    kind_of,
    single,
    tensor_of,
    zero_point,
)
from tests.oracle.indexing import Index, at, every
from tests.oracle.nested import shape_of
from tests.oracle.primitives import WRAP32, Accumulator
from tests.oracle.rescale import rescale


def one_ops(rng: Random, largest: int = 6) -> Iterator[OneNode]:
    """Leading axes equal, of one or missing; either operand swapped, the second often stored."""
    while True:
        m, k, n = (rng.randint(1, largest) for _ in range(3))
        lead = tuple(rng.randint(1, 3) for _ in range(rng.randint(0, 2)))
        adj_x, adj_y = rng.random() < 0.5, rng.random() < 0.5
        dtype = rng.choice(["int8", "int16"])
        x_lead, y_lead = _leads(rng, lead)
        x = tensor_of(rng, (*x_lead, *((k, m) if adj_x else (m, k))), dtype)
        y = tensor_of(rng, (*y_lead, *((n, k) if adj_y else (k, n))), dtype)
        if rng.random() < 0.3:
            assert y.kind.quant is not None
            y = Given(kind_of(y.kind.shape, dtype, y.kind.quant.scale[0]), y.value)
        if rng.random() < 0.4:
            y = Given(y.kind, y.value, True)
        assert x.kind.quant is not None
        assert y.kind.quant is not None
        spread = 2.0 ** (rng.uniform(13, 17) if dtype == "int16" else rng.uniform(4, 9))
        scale = single(x.kind.quant.scale[0] * y.kind.quant.scale[0] * spread)
        output = kind_of((*lead, m, n), dtype, scale, zero_point(rng, dtype))
        yield OneNode("BATCH_MATMUL", {"adj_x": adj_x, "adj_y": adj_y}, (x, y), (output,))


def _leads(rng: Random, lead: Index) -> tuple[Index, Index]:
    """Two shapes that broadcast to `lead`."""
    kept = [rng.choice(["both", "both", "first", "second"]) for _ in lead]
    first = tuple(1 if kind == "second" else n for kind, n in zip(kept, lead, strict=True))
    second = tuple(1 if kind == "first" else n for kind, n in zip(kept, lead, strict=True))
    return first, second


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def _sizes(operator: BatchMatMul, inputs: Sequence[Any]) -> tuple[Index, int, int, int]:
    """(leading axes, m, k, n)."""
    x, y = (shape_of(value) for value in inputs)
    m, k = (x[-1], x[-2]) if operator.adj_x else x[-2:]
    n = y[-2] if operator.adj_w else y[-1]
    lead = tuple(b if a == 1 else a for a, b in zip(x[:-2], y[:-2], strict=True))
    return lead, m, k, n


def sums(
    operator: BatchMatMul, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[int]]:
    """The accumulators, for every row the columns of one batch after the other."""
    x, y = inputs
    lead, m, k, n = _sizes(operator, inputs)
    zero, (other,) = operator.weighted.input_zero_point, operator.weighted.weight_zero_points

    def element(batch: Index, i: int, j: int) -> int:
        first = tuple(0 if s == 1 else b for b, s in zip(batch, shape_of(x)[:-2], strict=True))
        second = tuple(0 if s == 1 else b for b, s in zip(batch, shape_of(y)[:-2], strict=True))
        products = []
        for t in range(k):
            left = at(x, (*first, t, i) if operator.adj_x else (*first, i, t))
            right = at(y, (*second, j, t) if operator.adj_w else (*second, t, j))
            products.append((left - zero) * (right - other))
        return accumulator.sum(0, products)

    return [[element(batch, i, j) for batch in every(lead) for j in range(n)] for i in range(m)]


def oracle(
    operator: BatchMatMul, inputs: Sequence[Any], accumulator: Accumulator | None = None
) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape; without `accumulator` as wide as the reference's."""
    by = operator.weighted
    lead, m, _, n = _sizes(operator, inputs)
    rows = sums(operator, inputs, accumulator or Accumulator(by.accumulator_bits))
    batches = range(len(rows[0]) // n)
    flat = [
        rescale(rows[i][b * n + j], by.requantize)
        for b in batches
        for i in range(m)
        for j in range(n)
    ]
    return flat, (*lead, m, n)
