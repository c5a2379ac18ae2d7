"""Expand dims: the elements in order, one axis more."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.expand_dims import ExpandDims
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
from tests.oracle.nested import leaves, shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """A new axis anywhere, counted from either end."""
    while True:
        shape = shape_of_rank(rng, rng.randint(1, 4), largest)
        axis = rng.randint(0, len(shape))
        x = tensor_of(rng, shape, rng.choice(MOVED))
        output = like(x.kind, (*shape[:axis], 1, *shape[axis:]))
        named = axis - rng.choice([0, len(shape) + 1])
        yield OneNode("EXPAND_DIMS", {}, (x, stored(named)), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: ExpandDims, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The elements read depth first, and a 1 among the axes."""
    shape = list(shape_of(inputs[0]))
    shape.insert(operator.axis, 1)
    return leaves(inputs[0]), tuple(shape)
