"""Split into parts of given sizes, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.split_v import SplitV
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
    """Sizes of their own, one of them sometimes left to be found."""
    while True:
        rank = rng.randint(1, 4)
        axis = rng.randrange(rank)
        sizes = [rng.randint(1, largest) for _ in range(rng.randint(1, 4))]
        shape = list(shape_of_rank(rng, rank, largest))
        shape[axis] = sum(sizes)
        x = tensor_of(rng, tuple(shape), rng.choice(MOVED))
        outputs = [like(x.kind, (*shape[:axis], s, *shape[axis + 1 :])) for s in sizes]
        if rng.random() < 0.3:
            sizes[rng.randrange(len(sizes))] = -1
        named = axis - rng.choice([0, rank])
        given = (x, stored(sizes), stored(named))
        yield OneNode("SPLIT_V", {"num_splits": len(sizes)}, given, tuple(outputs))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: SplitV, inputs: Sequence[Any]) -> list[tuple[list[int], tuple[int, ...]]]:
    """Each part's elements in order, and its shape; a size of -1 is what the others leave."""
    x, sizes, axis = inputs[0], list(inputs[1]), operator.axis
    shape = shape_of(x)
    if -1 in sizes:
        sizes[sizes.index(-1)] = shape[axis] - (sum(sizes) + 1)
    starts = [sum(sizes[:k]) for k in range(len(sizes))]
    return [part(x, shape, axis, *place) for place in zip(starts, sizes, strict=True)]
