"""Nearest-neighbour resizing on float32 positions."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

from simulator.ops.resize_nearest_neighbor import ResizeNearestNeighbor
from tests.ops.structure import Case, OneNode, cases_of
from tests.oracle.indexing import at, build
from tests.oracle.nested import shape_of
from tests.oracle.primitives import half_away
from tests.oracle.rescale import single
from tests.oracle.resize_bilinear import resize_nodes


def one_ops(rng: Random, largest: int = 7) -> Iterator[OneNode]:
    """Each convention, and both."""
    return resize_nodes(rng, "RESIZE_NEAREST_NEIGHBOR", largest, True)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def _nearest(i: int, size: int, out: int, align: bool, half: bool) -> int:
    corners = align and out > 1
    ratio = single(Fraction(size - corners, out - corners))
    position = single((i + (Fraction(1, 2) if half else 0)) * ratio)
    return min(half_away(position) if align else floor(position), size - 1)


def oracle(
    operator: ResizeNearestNeighbor, inputs: Sequence[Any]
) -> tuple[list[int], tuple[int, ...]]:
    """The element at the rounded position."""
    x, size = inputs[0], operator.size
    n, h, w, c = shape_of(x)
    align, half = operator.align_corners, operator.half_pixel
    rows = [_nearest(i, h, size[0], align, half) for i in range(size[0])]
    columns = [_nearest(i, w, size[1], align, half) for i in range(size[1])]
    return build((n, *size, c), lambda i: at(x, (i[0], rows[i[1]], columns[i[2]], i[3])))
