"""A box of a tensor, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.slice import Slice
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


def one_ops(rng: Random, largest: int = 5) -> Iterator[OneNode]:
    """Any box; a size that reaches to the end is sometimes -1."""
    while True:
        shape = shape_of_rank(rng, rng.randint(1, 4), largest)
        begin = [rng.randrange(n) for n in shape]
        size = [rng.randint(1, n - b) for n, b in zip(shape, begin, strict=True)]
        x = tensor_of(rng, shape, rng.choice(MOVED))
        output = like(x.kind, tuple(size))
        ends = zip(shape, begin, size, strict=True)
        named = [-1 if b + s == n and rng.random() < 0.5 else s for n, b, s in ends]
        yield OneNode("SLICE", {}, (x, stored(begin), stored(named)), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Slice, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The elements from begin on."""
    x, begin, size = inputs
    axes = zip(shape_of(x), begin, size, strict=True)
    shape = tuple(n - b if s == -1 else s for n, b, s in axes)
    return build(shape, lambda i: at(x, tuple(b + k for b, k in zip(begin, i, strict=True))))
