"""What a search compares: losses to minimise and how far a design is from what is allowed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.constraints import SENSE, Constraint, Metric

if TYPE_CHECKING:
    import polars as pl

Floats = NDArray[np.float64]

LINEAR: Final = frozenset({"accuracy", "sqnr_db", "utilization", "overflow_rate"})
"""Metrics compared by difference; all others by ratio, as their logarithm to base 10."""
REFUSED: Final = 1e9
"""Violation of a design that cannot run at all: more than that of any that can."""
_LEAST: Final = 1e-300
_MOST_OF_ONE: Final = 1e6


def losses(points: "pl.DataFrame", objectives: Sequence[Metric]) -> Floats:
    """Losses [P, M] of a table of points, each smaller where better; NaN where there is no value.

    The logarithm to base 10 of a metric, or the metric itself where it is one of `LINEAR`;
    negated where more is better.
    """
    columns = []
    for name in objectives:
        value = points[name].cast(float).to_numpy().astype(np.float64)
        scaled = value if name in LINEAR else np.log10(np.maximum(value, _LEAST))
        columns.append(scaled if SENSE[name] == "min" else -scaled)
    return np.stack(columns, axis=1)


def violations(points: "pl.DataFrame", constraints: Sequence[Constraint]) -> Floats:
    """How far each design [P] breaks the constraints: 0 where it holds them all.

    The sum of the distances to the bounds as parts of the bounds; at least 1e-9 for each broken
    one, so that a bound met where it must be passed counts. `REFUSED` for a design that cannot run.
    """
    total = np.zeros(len(points))
    for constraint in constraints:
        values = points[constraint.metric].to_list()
        for row, value in enumerate(values):
            if constraint.broken(value):
                total[row] += _distance(value, constraint.bound)
    ran = points["refused"].is_null().to_numpy()
    return np.where(ran, total, REFUSED)


def _distance(value: float | None, bound: float) -> float:
    if value is None or not np.isfinite(value):
        return _MOST_OF_ONE
    return min(abs(value - bound) / max(abs(bound), _LEAST), _MOST_OF_ONE) + 1e-9
