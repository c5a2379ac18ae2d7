"""Unpack, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.unpack import Unpack
from tests.ops.structure import MOVED, Case, OneNode, cases_of, like, shape_of_rank, tensor_of
from tests.oracle.indexing import part, without
from tests.oracle.nested import shape_of


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Along any axis, counted from either end."""
    while True:
        rank = rng.randint(1, 4)
        axis = rng.randrange(rank)
        shape = shape_of_rank(rng, rank, largest)
        x = tensor_of(rng, shape, rng.choice(MOVED[:4]))
        outputs = (like(x.kind, without(shape, (axis,))),) * shape[axis]
        options = {"axis": axis - rng.choice([0, rank]), "num": shape[axis]}
        yield OneNode("UNPACK", options, (x,), outputs)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Unpack, inputs: Sequence[Any]) -> list[tuple[list[int], tuple[int, ...]]]:
    """For each index of the axis the elements that have it."""
    x, axis = inputs[0], operator.axis
    shape = shape_of(x)
    rest = without(shape, (axis,))
    return [(part(x, shape, axis, k, 1)[0], rest) for k in range(shape[axis])]
