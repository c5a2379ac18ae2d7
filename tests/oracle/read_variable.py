"""Reading a variable: its value, unchanged."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.read_variable import ReadVariable
from tests.ops.build import Case, codes, tensor
from tests.oracle.nested import leaves, shape_of


def cases(rng: Random) -> Iterator[Case]:
    """Variables of one to four dimensions."""
    while True:
        shape = tuple(rng.randint(1, 5) for _ in range(rng.randint(1, 4)))
        yield ReadVariable(), (tensor(shape, 0.5, 3),), (codes(rng, shape),)


def oracle(operator: ReadVariable, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The elements in order, and the shape."""
    return leaves(inputs[0]), shape_of(inputs[0])
