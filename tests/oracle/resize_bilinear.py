"""Bilinear resizing on exact positions rounded as each form says."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import ceil, floor
from random import Random
from typing import Any

from simulator.ops.resize_bilinear import ResizeBilinear
from tests.ops.structure import QUANTIZED, Case, OneNode, cases_of, like, stored, tensor_of
from tests.oracle.indexing import Index, at, build
from tests.oracle.nested import shape_of
from tests.oracle.primitives import half_away, half_up
from tests.oracle.rescale import half_even, single

Place = tuple[int, int, Fraction]
"""Lower and upper index, and the weight of the upper one."""


def resize_nodes(rng: Random, op: str, largest: int, both: bool) -> Iterator[OneNode]:
    """Larger and smaller planes, single rows and columns, each convention."""
    while True:
        n, h, w, c = (rng.randint(1, k) for k in (2, largest, largest, 3))
        size = [rng.randint(1, 2 * largest), rng.randint(1, 2 * largest)]
        align, half = rng.choice([(False, False), (True, False), (False, True), (True, both)])
        x = tensor_of(rng, (n, h, w, c), rng.choice(QUANTIZED))
        options = {"align_corners": align, "half_pixel_centers": half}
        yield OneNode(op, options, (x, stored(size)), (like(x.kind, (n, *size, c)),))


def one_ops(rng: Random, largest: int = 7) -> Iterator[OneNode]:
    """Never both conventions at once."""
    return resize_nodes(rng, "RESIZE_BILINEAR", largest, False)


def cases(rng: Random) -> Iterator[Case]:
    """Decoded operators with types and values."""
    return cases_of(one_ops(rng))


def _between(position: Fraction, size: int) -> Place:
    lower = max(floor(position), 0)
    return lower, min(ceil(position), size - 1), position - lower


def q10_place(i: int, size: int, out: int, align: bool, half: bool) -> Place:
    """The scale in 1024ths, rounded; a position in 1024ths."""
    corners = align and out > 1
    ratio = Fraction(1024 * (size - corners), out - corners)
    scale = half_up(ratio)
    position = i * scale + (scale // 2 - 512 if half else 0)
    return _between(Fraction(position, 1024), size)


def _ratio(size: int, out: int, align: bool) -> Fraction:
    corners = align and out > 1
    return single(Fraction(size - corners, out - corners))


def q11_place(i: int, size: int, out: int, align: bool, half: bool) -> Place:
    """A float32 position, kept inside; its fraction in 2048ths."""
    ratio = _ratio(size, out, align)
    position = single(i * ratio)
    if half:
        offset = single(single(ratio / 2) - Fraction(1, 2))
        position = min(max(single(position + offset), Fraction(0)), Fraction(size - 1))
    lower = floor(position)
    weight = Fraction(half_even(single(position - lower) * 2048), 2048)
    return lower, min(lower + 1, size - 1), weight


def float32_place(i: int, size: int, out: int, align: bool, half: bool) -> Place:
    """A float32 position."""
    ratio = _ratio(size, out, align)
    if half:
        position = single(single((i + Fraction(1, 2)) * ratio) - Fraction(1, 2))
    else:
        position = single(i * ratio)
    lower, upper, weight = _between(position, size)
    return lower, upper, single(weight)


PLACES = {"q10": q10_place, "q11": q11_place, "float32": float32_place}


def blend(corners: list[int], y: Fraction, x: Fraction, form: str) -> int:
    """Top left, top right, bottom left, bottom right, weighed and rounded."""
    top_left, top_right, bottom_left, bottom_right = corners
    if form != "float32":
        top = top_left * (1 - x) + top_right * x
        bottom = bottom_left * (1 - x) + bottom_right * x
        exact = top * (1 - y) + bottom * y
        return half_away(exact) if form == "q10" else half_up(exact)
    near_y, near_x = single(1 - y), single(1 - x)
    terms = [
        single(single(top_left * near_y) * near_x),
        single(single(bottom_left * y) * near_x),
        single(single(top_right * near_y) * x),
        single(single(bottom_right * y) * x),
    ]
    total = Fraction(0)
    for term in terms:
        total = single(total + term)
    return int(single(total + Fraction(1, 2)))


def oracle(operator: ResizeBilinear, inputs: Sequence[Any]) -> tuple[list[int], tuple[int, ...]]:
    """Each output from its four neighbours."""
    x, size = inputs[0], operator.size
    n, h, w, c = shape_of(x)
    align, half, place = operator.align_corners, operator.half_pixel, PLACES[operator.form]
    rows = [place(i, h, size[0], align, half) for i in range(size[0])]
    columns = [place(i, w, size[1], align, half) for i in range(size[1])]

    def element(index: Index) -> int:
        image, row, column, channel = index
        top, bottom, y = rows[row]
        left, right, z = columns[column]
        corners = [at(x, (image, r, k, channel)) for r in (top, bottom) for k in (left, right)]
        return blend(corners, y, z, operator.form)

    return build((n, *size, c), element)
