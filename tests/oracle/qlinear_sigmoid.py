"""QLinearSigmoid: the logistic function to 60 digits, rounded twice."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import Any

from simulator.ops.qlinear_sigmoid import QLinearSigmoid
from tests.ops.grids import Case, codes, decoded, ends, kind, scale, shape, zero
from tests.oracle.singles import (
    Index,
    at,
    decimal,
    every,
    exact,
    on_grid,
    shape_of,
    single,
    to_single,
)

GRIDS: dict[int, tuple[float, int, float, int]] = {}
"""(s_x, z_x, s_y, z_y) of each operator made here: a table does not say what it was made of."""


def cases(rng: Random) -> Iterator[Case]:
    """Any grids."""
    while True:
        dtype = rng.choice(["int8", "uint8"])
        x = shape(rng, 2, 8)
        s_x, s_y = scale(rng, -7, -2), scale(rng, -9, -4)
        z_x, z_y = zero(rng, dtype), zero(rng, dtype)
        types = (kind(x, dtype, s_x, z_x),)
        operator = decoded("qlinear_sigmoid", {}, types, kind(x, dtype, s_y, z_y))
        assert isinstance(operator, QLinearSigmoid)
        GRIDS[hash(operator)] = (s_x, z_x, s_y, z_y)
        yield operator, types, (codes(rng, x, dtype),)


def _function(x: Fraction) -> Fraction:
    grown = (-decimal(x)).exp()
    return to_single(1 / (1 + grown))


def oracle(operator: QLinearSigmoid, inputs: Sequence[Any]) -> tuple[list[int], Index]:
    """The function of every real value, onto the output's grid."""
    (x,) = inputs
    s_x, z_x, s_y, z_y = GRIDS[hash(operator)]
    low, high = ends(operator.dtype)
    flat = []
    for index in every(shape_of(x)):
        real = _function(single(exact(s_x) * (at(x, index) - z_x)))
        flat.append(on_grid(single(real / exact(s_y)), z_y, low, high))
    return flat, shape_of(x)
