"""Tensors as nested lists, read and rebuilt index by index."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

Index = tuple[int, ...]


def every(shape: Index) -> Iterator[Index]:
    """Every index of a shape, the last axis fastest."""
    return product(*map(range, shape))


def at(nested: Any, index: Index) -> int:
    """The element at `index`."""
    for i in index:
        nested = nested[i]
    assert isinstance(nested, int)
    return nested


def build(shape: Index, element: Callable[[Index], int]) -> tuple[list[int], Index]:
    """The elements `element(index)` in order, and the shape."""
    return [element(index) for index in every(shape)], shape


def without(index: Index, axes: Index) -> Index:
    """`index` with the entries of `axes` left out."""
    return tuple(i for k, i in enumerate(index) if k not in axes)


def part(nested: Any, shape: Index, axis: int, start: int, size: int) -> tuple[list[int], Index]:
    """`size` indices of one axis from `start` on, with the shape they have."""
    small = (*shape[:axis], size, *shape[axis + 1 :])
    return build(small, lambda i: at(nested, (*i[:axis], i[axis] + start, *i[axis + 1 :])))
