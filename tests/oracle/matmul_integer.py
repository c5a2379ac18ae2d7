"""MatMulInteger by its definition."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.matmul_integer import MatMulInteger
from tests.ops.grids import Case, codes, decoded, kind, shape
from tests.oracle.primitives import WRAP32, Accumulator
from tests.oracle.singles import Index, every, shape_of


def cases(rng: Random) -> Iterator[Case]:
    """One matrix of weights or stacks that broadcast; zero points one or one a column; a bias."""
    while True:
        x_dtype, w_dtype = rng.choice([("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")])
        m, k, n = rng.randint(1, 4), rng.randint(1, 6), rng.randint(1, 4)
        lead = shape(rng, rng.randint(0, 2), 3)
        stacked = rng.random() < 0.5
        w_lead = tuple(rng.choice([1, size]) for size in lead) if stacked else ()
        single = not stacked or max(w_lead, default=1) == 1
        values = [
            codes(rng, (*lead, m, k), x_dtype, extreme=rng.random() < 0.2),
            codes(rng, (*w_lead, k, n), w_dtype),
            codes(rng, (n,), "int32") >> 4 if single and rng.random() < 0.5 else None,
            rng.choice([None, codes(rng, (1,), x_dtype)]),
            rng.choice([None, codes(rng, (1,), w_dtype), codes(rng, (n,), w_dtype)]),
        ]
        types = tuple(None if v is None else kind(v.shape, v.dtype.name) for v in values)
        operator = decoded("matmul_integer", {}, types, kind((*lead, m, n), "int32"))
        yield operator, types, tuple(values)


def _element(inputs: Sequence[Any], lead: Index, i: int, j: int, accumulator: Accumulator) -> int:
    x, w, bias, x_zero, w_zero = inputs
    first = 0 if x_zero is None else x_zero[0]
    second = 0 if w_zero is None else w_zero[j if len(w_zero) > 1 else 0]
    products = [
        (_read(x, (*lead, i, k)) - first) * (_read(w, (*lead, k, j)) - second)
        for k in range(shape_of(x)[-1])
    ]
    return accumulator.sum(0 if bias is None else bias[j], products)


def _read(nested: Any, index: Index) -> int:
    """The element of a stack: its leading axes broadcast, its matrix does not."""
    shape_ = shape_of(nested)
    lead = index[len(index) - len(shape_) : -2]
    chosen = tuple(i if n > 1 else 0 for i, n in zip(lead, shape_[:-2], strict=True))
    value = nested
    for i in (*chosen, *index[-2:]):
        value = value[i]
    return int(value)


def _stack(inputs: Sequence[Any]) -> Index:
    leads = [shape_of(v)[:-2] for v in inputs[:2]]
    rank = max(map(len, leads))
    padded = [(1,) * (rank - len(s)) + s for s in leads]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))


def sums(
    operator: MatMulInteger, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> list[list[int]]:
    """The accumulators: rows of every matrix for one matrix of weights, else side by side."""
    x, w = inputs[:2]
    (m, _), n, stack = shape_of(x)[-2:], shape_of(w)[-1], _stack(inputs)
    if max(shape_of(w)[:-2], default=1) == 1:
        return [
            [_element(inputs, lead, i, j, accumulator) for j in range(n)]
            for lead in every(stack)
            for i in range(m)
        ]
    return [
        [_element(inputs, lead, i, j, accumulator) for lead in every(stack) for j in range(n)]
        for i in range(m)
    ]


def oracle(
    operator: MatMulInteger, inputs: Sequence[Any], accumulator: Accumulator = WRAP32
) -> tuple[list[int], Index]:
    """Row times column, every one."""
    whole = (*_stack(inputs), shape_of(inputs[0])[-2], shape_of(inputs[1])[-1])
    flat = [_element(inputs, (*lead,), i, j, accumulator) for *lead, i, j in every(whole)]
    return flat, whole
