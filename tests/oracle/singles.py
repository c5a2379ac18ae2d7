"""Single precision from its definition, on exact rationals; tensors of any numbers as nested lists.

A float32 here is a Fraction that float32 holds. `single` is the only rounding.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, getcontext
from fractions import Fraction
from itertools import product
from math import floor
from typing import Any

getcontext().prec = 60

HALF = Fraction(1, 2)
Index = tuple[int, ...]


def half_even(value: Fraction) -> int:
    """The nearest integer, ties to even."""
    below = floor(value)
    gap = value - below
    return below + (1 if gap > HALF or (gap == HALF and below % 2) else 0)


def single(value: Fraction | int) -> Fraction:
    """The nearest float32, ties to even: 24 bits, exponents from -149 on; no overflow occurs."""
    exact = Fraction(value)
    if exact == 0:
        return exact
    magnitude = abs(exact)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < Fraction(2) ** exponent:
        exponent -= 1
    step = Fraction(2) ** max(exponent - 23, -149)
    return half_even(exact / step) * step


def to_single(value: Decimal) -> Fraction:
    """A number of 60 digits to float32."""
    return single(Fraction(value))


def decimal(value: Fraction) -> Decimal:
    """A rational to 60 digits."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def square_root(value: Fraction) -> Fraction:
    """The float32 square root."""
    return to_single(decimal(value).sqrt())


def exact(value: float) -> Fraction:
    """A float as it is."""
    return Fraction(value)


def clamp(value: int, low: int, high: int) -> int:
    """`value` cut to a range."""
    return min(max(value, low), high)


def on_grid(real: Fraction, zero: int, low: int, high: int) -> int:
    """clamp(round(real) + zero point), ties to even."""
    return clamp(half_even(real) + zero, low, high)


def shape_of(nested: Any) -> Index:
    """Lengths from the outside in; () for a number."""
    return () if not isinstance(nested, list) else (len(nested), *shape_of(nested[0]))


def every(shape: Index) -> Iterator[Index]:
    """Every index of a shape, the last axis fastest."""
    return product(*map(range, shape))


def at(nested: Any, index: Index) -> Any:
    """The number at a broadcast index: missing leading axes and axes of one read all alike."""
    shape = shape_of(nested)
    for i, n in zip(index[len(index) - len(shape) :], shape, strict=True):
        nested = nested[i if n > 1 else 0]
    return nested


def broadcast(*nested: Any) -> Index:
    """The shape that several tensors broadcast to."""
    shapes = [shape_of(x) for x in nested]
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(s)) + s for s in shapes]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))


def parameter(nested: Any, index: Index, axis: int, block: int) -> Any:
    """A scale or zero point at an element: one for all, one an index of an axis, or blocked."""
    shape = shape_of(nested)
    if not shape:
        return nested
    if len(shape) == 1 and not block:
        return nested[index[axis]] if shape[0] > 1 else nested[0]
    if block:
        index = (*index[:axis], index[axis] // block, *index[axis + 1 :])
    return at(nested, index)


def starts(size: int, kernel: int, stride: int, dilation: int, ends: Sequence[int]) -> list[int]:
    """The first element under each window of an axis with `ends` elements of padding around."""
    before, after = ends
    reach = (kernel - 1) * dilation + 1
    return list(range(-before, size + after - reach + 1, stride))


def windows(operator: Any, x: Any) -> Iterator[tuple[Any, list[tuple[int, int, Index | None]]]]:
    """(image, taps) of every output position: each tap is (ky, kx, (row, column) or None)."""
    (ky, kx), (sy, sx) = operator.windows.kernel, operator.windows.stride
    (dy, dx), (top, left, bottom, right) = operator.windows.dilation, operator.windows.padding
    rows, columns = len(x[0]), len(x[0][0])
    for image in x:
        for y in starts(rows, ky, sy, dy, (top, bottom)):
            for z in starts(columns, kx, sx, dx, (left, right)):
                taps: list[tuple[int, int, Index | None]] = []
                for i in range(ky):
                    for j in range(kx):
                        r, c = y + i * dy, z + j * dx
                        inside = 0 <= r < rows and 0 <= c < columns
                        taps.append((i, j, (r, c) if inside else None))
                yield image, taps


def pooled_shape(operator: Any, x: Any) -> Index:
    """(n, oy, ox, c)."""
    (ky, kx), (sy, sx) = operator.windows.kernel, operator.windows.stride
    (dy, dx), (top, left, bottom, right) = operator.windows.dilation, operator.windows.padding
    oy = len(starts(len(x[0]), ky, sy, dy, (top, bottom)))
    ox = len(starts(len(x[0][0]), kx, sx, dx, (left, right)))
    return len(x), oy, ox, len(x[0][0][0])
