"""Reduce max over groups of elements."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from simulator.ops.reduce_max import ReduceMax
from tests.ops.structure import Case, OneNode, cases_of
from tests.oracle.nested import shape_of
from tests.oracle.reductions import extremes, groups, reduced


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Any axes, kept or dropped."""
    return extremes(rng, "REDUCE_MAX", largest)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def oracle(operator: ReduceMax, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape."""
    x, axes = inputs[0], operator.axes
    shape = reduced(shape_of(x), axes, operator.keep_dims)
    return [max(group) for group in groups(x, axes)], shape
