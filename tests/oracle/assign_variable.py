"""Assigning a variable: no outputs; the new value is the second input, whatever the first held."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.assign_variable import AssignVariable
from tests.ops.build import Case, codes, tensor
from tests.oracle.nested import leaves, shape_of


def cases(rng: Random) -> Iterator[Case]:
    """Variables of one to four dimensions."""
    while True:
        shape = tuple(rng.randint(1, 5) for _ in range(rng.randint(1, 4)))
        kind = tensor(shape, 0.5, 3)
        yield AssignVariable(), (kind, kind), (codes(rng, shape), codes(rng, shape))


def oracle(operator: AssignVariable, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The variable's elements in order, and its shape."""
    return leaves(inputs[1]), shape_of(inputs[1])
