"""Padding with one code, element by element."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.pad import Pad
from tests.ops.structure import (
    MOVED,
    Case,
    Given,
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
    """Up to three elements on each side; PADV2 with a code of its own."""
    while True:
        rank = rng.randint(1, 4)
        shape = shape_of_rank(rng, rank, largest)
        dtype = rng.choice(MOVED)
        x = tensor_of(rng, shape, dtype)
        pads = [[rng.choice([0, 1, 3]), rng.choice([0, 1, 2])] for _ in range(rank)]
        output = like(x.kind, tuple(a + n + b for n, (a, b) in zip(shape, pads, strict=True)))
        if rng.random() < 0.5:
            yield OneNode("PAD", {}, (x, stored(pads)), (output,))
            continue
        fill = tensor_of(rng, (), dtype).value
        given = (x, stored(pads), Given(like(x.kind, ()), fill, True))
        yield OneNode("PADV2", {}, given, (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Pad, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The element, or the fill where the index lies outside the tensor."""
    x, pads = inputs[0], inputs[1]
    shape = shape_of(x)
    fill = inputs[2] if len(inputs) > 2 else operator.fill

    def element(index: tuple[int, ...]) -> int:
        inner = tuple(i - before for i, (before, _) in zip(index, pads, strict=True))
        if all(i in range(n) for i, n in zip(inner, shape, strict=True)):
            return at(x, inner)
        return int(fill)

    whole = tuple(n + before + after for n, (before, after) in zip(shape, pads, strict=True))
    return build(whole, element)
