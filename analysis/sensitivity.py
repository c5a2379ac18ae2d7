"""Which axis of a design space moves which objective: first-order Sobol indices, from the table.

S_i = Var(E[y | x_i]) / Var(y), the share of the variance of y that x_i explains alone (Saltelli et
al., "Global Sensitivity Analysis. The Primer", Wiley 2008, chapter 4, variance-based methods). A
grid holds every combination, each once: the means are exact and nothing is sampled. On a part of a
grid the same quotient is the correlation ratio, and axes may share what they explain.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from analysis.page import Point, ReportData


@dataclass(frozen=True)
class Sensitivity:
    """`shares[i][j]`: of the variance of objective j, what axis i explains alone; 0 to 1.

    `together[j]` is what remains to interactions on a whole grid. `logarithmic[j]`: the variance is
    that of the logarithm, as it is where every value is positive. None: objective j never moves.
    `partial` are the axes that do not apply to every point, each judged among those that it
    applies to: of all points it would explain what its condition does.
    """

    axes: tuple[str, ...]
    objectives: tuple[str, ...]
    shares: tuple[tuple[float | None, ...], ...]
    together: tuple[float | None, ...]
    logarithmic: tuple[bool, ...]
    whole_grid: bool
    points: int
    partial: tuple[str, ...] = ()


def first_order(column: Sequence[Hashable], response: NDArray[np.float64]) -> float:
    """Var(E[y | x]) / Var(y) of `response` [P] under the values of one axis [P]; 0 to 1.

    Raises ValueError where the response does not vary.
    """
    total = float(response.var())
    if not total > 0:
        raise ValueError("first_order: the response does not vary; there is nothing to share out")
    groups: dict[Hashable, int] = {}
    index = np.array([groups.setdefault(value, len(groups)) for value in column])
    counts = np.bincount(index)
    means = np.bincount(index, weights=response) / counts
    between = float((counts * (means - response.mean()) ** 2).sum()) / len(response)
    return min(between / total, 1.0)


def sensitivity_of(data: ReportData) -> Sensitivity | None:
    """The sensitivity of every objective to every axis; None without two values on some axis."""
    points = [p for p in data.points if all(_finite(p, o.key) for o in data.objectives)]
    columns = {axis: [_key(p.value(axis, _ABSENT)) for p in points] for axis in data.axes}
    moving = {axis: c for axis, c in columns.items() if len(set(c) - {_ABSENT}) > 1}
    if not moving:
        return None
    cells = math.prod(len(set(column)) for column in moving.values())
    whole = len(set(zip(*moving.values(), strict=True))) == len(points) == cells
    found = [_objective(points, o.key, list(moving.values())) for o in data.objectives]
    return Sensitivity(
        axes=tuple(moving),
        objectives=tuple(o.label for o in data.objectives),
        shares=tuple(tuple(shares[i] for shares, _ in found) for i in range(len(moving))),
        together=tuple(_rest(shares) if whole else None for shares, _ in found),
        logarithmic=tuple(log for _, log in found),
        whole_grid=whole,
        points=len(points),
        partial=tuple(axis for axis, column in moving.items() if _ABSENT in column),
    )


def _objective(
    points: Sequence[Point], key: str, columns: Sequence[Sequence[Hashable]]
) -> tuple[list[float | None], bool]:
    values = np.array([p.metrics[key] for p in points], np.float64)
    logarithmic = bool((values > 0).all())
    response = np.log(values) if logarithmic else values
    # Equal values of which the mean is rounded do not vary.
    if np.ptp(values) == 0:
        return [None] * len(columns), logarithmic
    return [_share(column, response) for column in columns], logarithmic


def _share(column: Sequence[Hashable], response: NDArray[np.float64]) -> float | None:
    """`first_order` among the points that the axis applies to; None where those do not vary."""
    applies = np.array([value is not _ABSENT for value in column])
    own = response[applies]
    if np.ptp(own) == 0:
        return None
    return first_order([value for value in column if value is not _ABSENT], own)


def _rest(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return max(0.0, 1.0 - sum(known)) if known else None


def _finite(point: Point, key: str) -> bool:
    value = point.metrics.get(key)
    return value is not None and math.isfinite(value)


class _Absent:
    """The axis does not apply to this point."""


_ABSENT = _Absent()


def _key(value: object) -> Hashable:
    """A value as a key: 4 and 4.0 are one value, lists are their text."""
    if isinstance(value, bool | int | float | str | _Absent) or value is None:
        return value
    return repr(value)
