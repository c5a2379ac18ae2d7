"""Broadcasting to a shape, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.broadcast_to import BroadcastTo
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
    """Axes of one repeated, leading axes added."""
    while True:
        target = shape_of_rank(rng, rng.randint(1, 5), largest)
        shape = tuple(rng.choice([1, n]) for n in target)[rng.randint(0, len(target) - 1) :]
        x = tensor_of(rng, shape, rng.choice(MOVED))
        output = like(x.kind, target)
        yield OneNode("BROADCAST_TO", {}, (x, stored(target)), (output,), version=2)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: BroadcastTo, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """An axis of one has the same element at every index."""
    x, target = inputs
    shape = shape_of(x)

    def element(index: tuple[int, ...]) -> int:
        own = index[len(index) - len(shape) :]
        return at(x, tuple(0 if n == 1 else i for i, n in zip(own, shape, strict=True)))

    return build(tuple(target), element)
