"""Arg min: the first place of the extreme."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.arg_min import ArgMin
from tests.ops.structure import Case, OneNode, cases_of
from tests.oracle.nested import shape_of
from tests.oracle.reductions import args, groups, reduced


def one_ops(rng: Random, largest: int = 5) -> Iterator[OneNode]:
    """Any axis; indices of 32 and of 64 bits."""
    return args(rng, "ARG_MIN", largest)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: ArgMin, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape."""
    x, axes = inputs[0], (operator.axis,)
    shape = reduced(shape_of(x), axes, False)
    return [group.index(min(group)) for group in groups(x, axes)], shape
