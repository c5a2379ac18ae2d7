"""Pack, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.pack import Pack
from tests.ops.structure import (
    MOVED,
    Case,
    Given,
    OneNode,
    cases_of,
    like,
    shape_of_rank,
    tensor_of,
)
from tests.oracle.indexing import at, build, without
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """One to four tensors along any new axis."""
    while True:
        rank, count = rng.randint(1, 3), rng.randint(1, 4)
        axis = rng.randint(0, rank)
        shape = shape_of_rank(rng, rank, largest)
        dtype = rng.choice(MOVED)
        first = tensor_of(rng, shape, dtype)
        rest = [Given(first.kind, tensor_of(rng, shape, dtype).value) for _ in range(count - 1)]
        options = {"axis": axis - rng.choice([0, rank + 1]), "values_count": count}
        output = like(first.kind, (*shape[:axis], count, *shape[axis:]))
        yield OneNode("PACK", options, (first, *rest), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Pack, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The element of tensor k at the other indices."""
    axis, shape = operator.axis, shape_of(inputs[0])
    whole = (*shape[:axis], len(inputs), *shape[axis:])
    return build(whole, lambda i: at(inputs[i[axis]], without(i, (axis,))))
