"""Mean over groups of elements, the count inside the multiplier."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import floor, log2
from random import Random
from typing import Any

from simulator.ops.mean import Mean
from tests.ops.structure import Case, OneNode, cases_of
from tests.oracle.nested import shape_of
from tests.oracle.primitives import clamp, double_round, multiplier_of, single_round, wrap
from tests.oracle.reductions import groups, reduced, totals
from tests.oracle.rescale import affine


def one_ops(rng: Random, largest: int = 4) -> Iterator[OneNode]:
    """Any axes, kept or dropped."""
    return totals(rng, "MEAN", largest)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def mean_of(group: list[int], zero_point: int, by: Any) -> int:
    """The sum less its zero points, times floor(m 2^k / n) 2^(s - k - 31), rounded."""
    count = len(group)
    multiplier, shift = multiplier_of(float(Fraction(by.scale[0]) * count))
    exponent = min(floor(log2(count)), 32, 31 + shift)
    multiplier = floor(Fraction(multiplier * 2**exponent, count))
    kernel = {"double_round": double_round, "single_round": single_round}[by.rounding]
    total = wrap(sum(group) - count * zero_point, 32)
    return clamp(kernel(total, multiplier, shift - exponent) + by.zero_point, by.low, by.high)


def oracle(operator: Mean, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """The outputs in order, and their shape."""
    x, axes = inputs[0], operator.axes
    by: Any = operator.rescale
    found = groups(x, axes)
    shape = reduced(shape_of(x), axes, operator.keep_dims)
    if operator.single_precision:
        return [affine(sum(group), by) for group in found], shape
    return [mean_of(group, operator.input_zero_point, by) for group in found], shape
