"""Hypervolume: the part of objective space that a set of points dominates, exactly.

Every objective is minimised and the reference point bounds the space from above (Zitzler and
Thiele, PPSN 1998). Not an indicator of spread: two fronts of equal volume may look unlike.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.front import non_dominated

Floats = NDArray[np.float64]


def hypervolume(points: Floats, reference: Floats) -> float:
    """Volume that `points` [N, M] dominate below `reference` [M], for any M >= 1.

    Points that do not lie below the reference in every objective add nothing, nor do those with a
    value that is not finite. By exclusive volumes, as WFG (While, Bradstreet, Barone, IEEE TEVC
    16(1), 2012, equations 6 and 7); two objectives by one sweep.
    """
    inside = points[(points < reference).all(axis=1) & np.isfinite(points).all(axis=1)]
    return _volume(_front(inside), reference)


class Growing:
    """The hypervolume of a set to which points are added one by one.

    Each step costs the new point's exclusive volume, not the volume of the whole set.
    """

    def __init__(self, reference: Floats) -> None:
        self.reference = reference
        self.front: Floats = np.zeros((0, len(reference)))
        self.volume = 0.0

    def add(self, point: Floats) -> float:
        """Add a point [M]; the volume of the set with it."""
        if not (point < self.reference).all() or not np.isfinite(point).all():
            return self.volume
        if (self.front <= point).all(axis=1).any():
            return self.volume
        self.volume += _exclusive(point, self.front, self.reference)
        rest = self.front[(self.front < point).any(axis=1)]
        self.front = np.concatenate([rest, point[None]])
        return self.volume


def _front(points: Floats) -> Floats:
    """The distinct points that no other dominates, in lexicographic order."""
    return np.unique(points[non_dominated(points)], axis=0)


def _exclusive(point: Floats, others: Floats, reference: Floats) -> float:
    """Volume that `point` dominates and none of `others` does."""
    own = float(np.prod(reference - point))
    return own - _volume(_front(np.maximum(others, point)), reference) if len(others) else own


def _volume(front: Floats, reference: Floats) -> float:
    """Volume of a front [N, M], distinct and in lexicographic order."""
    if len(front) == 0:
        return 0.0
    if front.shape[1] == 1:
        return float(reference[0] - front[0, 0])
    if front.shape[1] == 2:
        heights = np.concatenate([reference[1:], front[:-1, 1]]) - front[:, 1]
        return float((reference[0] - front[:, 0]) @ heights)
    # The last in order has no later one to share with; the sum runs from it backwards.
    return sum(_exclusive(front[i], front[i + 1 :], reference) for i in reversed(range(len(front))))
