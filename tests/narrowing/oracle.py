"""Grids of other widths in plain Python fractions, from their definitions."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np


class Grid(NamedTuple):
    """real = scale (code - zero), least <= code <= greatest; the scale a float32 exactly."""

    scale: Fraction
    zero: int
    least: int
    greatest: int


def single(value: Fraction) -> Fraction:
    """The nearest float32."""
    return Fraction(float(np.float32(float(value))))


def ends(bits: int, *, signed: bool) -> tuple[int, int]:
    """The least and greatest code of a width."""
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def is_power_of_two(value: Fraction) -> bool:
    """Whether a number is 2^k for an integer k, negative ones too."""
    return 1 in (value.numerator, value.denominator) and (
        value.numerator & (value.numerator - 1) == 0
        and value.denominator & (value.denominator - 1) == 0
    )


def narrower(old: Grid, bits: int, fewer: int, *, signed: bool) -> Grid:
    """The same real range in fewer bits; of a fixed-point grid, the upper bits."""
    least, greatest = ends(fewer, signed=signed)
    factor = Fraction(2**bits - 1, 2**fewer - 1)
    if is_power_of_two(old.scale):
        factor = Fraction(2 ** (bits - fewer))
    zero = least + min(round((old.zero - old.least) / factor), 2**fewer - 1)
    return Grid(single(old.scale * factor), zero, least, greatest)


def symmetric(old: Grid, bits: int, fewer: int) -> Grid:
    """+-(2^(bits - 1) - 1) stay where they are."""
    factor = Fraction(2 ** (bits - 1) - 1, 2 ** (fewer - 1) - 1)
    return Grid(single(old.scale * factor), 0, *ends(fewer, signed=True))


def moved(code: int, old: Grid, new: Grid) -> int:
    """A code's real value on another grid: Python rounds fractions half to even."""
    exact = (code - old.zero) * old.scale / new.scale
    return min(max(round(exact) + new.zero, new.least), new.greatest)
