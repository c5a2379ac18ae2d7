"""Squeeze: the elements in order, axes of one left out."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.squeeze import Squeeze
from tests.ops.structure import MOVED, Case, OneNode, cases_of, like, shape_of_rank, tensor_of
from tests.oracle.nested import leaves, shape_of


def one_ops(rng: Random, largest: int = 3) -> Iterator[OneNode]:
    """All axes of one, or some named from either end."""
    while True:
        shape = tuple(rng.choice([1, n]) for n in shape_of_rank(rng, rng.randint(1, 5), largest))
        ones = [k for k, n in enumerate(shape) if n == 1]
        axes = rng.sample(ones, rng.randint(0, len(ones)))
        dropped = axes or ones
        x = tensor_of(rng, shape, rng.choice(MOVED))
        output = like(x.kind, tuple(n for k, n in enumerate(shape) if k not in dropped))
        named = [k - rng.choice([0, len(shape)]) for k in axes]
        yield OneNode("SQUEEZE", {"squeeze_dims": named}, (x,), (output,))


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: Squeeze, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The elements read depth first, and the other axes."""
    kept = [n for k, n in enumerate(shape_of(inputs[0])) if k not in operator.axes]
    return leaves(inputs[0]), tuple(kept)
