"""Shapes as integers of any size: NumPy's own rule refuses what it could not hold in memory."""

from collections.abc import Sequence


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that shapes broadcast to, as `numpy.broadcast_shapes`; ValueError where none is."""
    rank = max(map(len, shapes))
    joined = []
    for sizes in zip(*((1,) * (rank - len(s)) + tuple(s) for s in shapes), strict=True):
        others = {size for size in sizes if size != 1}
        if len(others) > 1:
            raise ValueError(f"sizes {sizes} of one dimension do not broadcast")
        joined.append(others.pop() if others else 1)
    return tuple(joined)
