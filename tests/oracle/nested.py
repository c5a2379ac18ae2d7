"""Arrays as nested lists of integers."""

from typing import Any


def shape_of(nested: Any) -> tuple[int, ...]:
    """Lengths from the outside in; () for a number."""
    return () if isinstance(nested, int) else (len(nested), *shape_of(nested[0]))


def leaves(nested: Any) -> list[int]:
    """The numbers, depth first."""
    if isinstance(nested, int):
        return [nested]
    return [leaf for part in nested for leaf in leaves(part)]
