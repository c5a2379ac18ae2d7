"""Transpose, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.transpose import Transpose
from tests.ops.structure import (
    MOVED,
    Case,
    OneNode,
    cases_of,
    like,
    shape_of_rank,
    stored,
    tensor_of,
)
from tests.oracle.indexing import at, build
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Any order of one to five axes."""
    while True:
        rank = rng.randint(1, 5)
        shape = shape_of_rank(rng, rank, largest)
        order = rng.sample(range(rank), rank)
        x = tensor_of(rng, shape, rng.choice(MOVED))
        output = like(x.kind, tuple(shape[k] for k in order))
        yield OneNode("TRANSPOSE", {}, (x, stored(order)), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Transpose, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """Index k of the result is index order[k] of the input."""
    x, order = inputs
    shape = shape_of(x)
    axes = range(len(order))
    return build(
        tuple(shape[k] for k in order), lambda i: at(x, tuple(i[order.index(k)] for k in axes))
    )
