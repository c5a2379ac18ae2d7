"""Tile, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.tile import Tile
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
    """One to three copies along each axis."""
    while True:
        shape = shape_of_rank(rng, rng.randint(1, 4), largest)
        multiples = [rng.randint(1, 3) for _ in shape]
        x = tensor_of(rng, shape, rng.choice(MOVED))
        output = like(x.kind, tuple(n * m for n, m in zip(shape, multiples, strict=True)))
        yield OneNode("TILE", {}, (x, stored(multiples)), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Tile, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """Indices start again where the tensor ends."""
    x, multiples = inputs
    shape = shape_of(x)
    return build(
        tuple(n * m for n, m in zip(shape, multiples, strict=True)),
        lambda index: at(x, tuple(i % n for i, n in zip(index, shape, strict=True))),
    )
