"""Split into equal parts, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.split import Split
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
from tests.oracle.indexing import part
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """One to four parts along any axis, counted from either end."""
    while True:
        rank = rng.randint(1, 4)
        axis, parts = rng.randrange(rank), rng.randint(1, 4)
        shape = list(shape_of_rank(rng, rank, largest))
        small = tuple(shape)
        shape[axis] *= parts
        x = tensor_of(rng, tuple(shape), rng.choice(MOVED))
        named = axis - rng.choice([0, rank])
        outputs = (like(x.kind, small),) * parts
        yield OneNode("SPLIT", {"num_splits": parts}, (stored(named), x), outputs)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Split, inputs: Sequence[Any]) -> list[tuple[list[int], tuple[int, ...]]]:
    """Each part's elements in order, and its shape."""
    x, axis = inputs[1], operator.axis
    shape = shape_of(x)
    parts = len(operator.sizes)
    size = shape[axis] // parts
    return [part(x, shape, axis, k * size, size) for k in range(parts)]
