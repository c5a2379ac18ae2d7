"""Reshape: the same elements in the same order."""

from collections.abc import Iterator, Sequence
from math import prod
from random import Random
from typing import Any

import numpy as np

from simulator.ops.reshape import Reshape
from tests.ops.build import Case, OneOp, cases_of, codes, tensor
from tests.oracle.nested import leaves


def _split(rng: Random, count: int) -> tuple[int, ...]:
    """A random shape of `count` elements."""
    shape: list[int] = []
    while count > 1 and len(shape) < 4:
        part = rng.choice([n for n in range(1, count + 1) if count % n == 0])
        shape.append(part)
        count //= part
    return (*shape, count) if count > 1 or not shape else tuple(shape)


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneOp]:
    """To any shape of as many elements, given by a tensor as converters write it."""
    while True:
        shape = tuple(rng.randint(1, largest) for _ in range(rng.randint(1, 4)))
        target = _split(rng, prod(shape))
        yield OneOp(
            "RESHAPE",
            {"new_shape": target},
            (tensor(shape, 0.5, 3), tensor((len(target),), dtype="int32")),
            tensor(target, 0.5, 3),
            (codes(rng, shape), np.array(target, dtype=np.int32)),
            frozenset({1}),
        )


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Reshape, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The elements read depth first, and the shape asked for."""
    return leaves(inputs[0]), operator.shape
