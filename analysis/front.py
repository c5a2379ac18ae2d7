"""Pareto fronts: the designs that no other design beats in every objective."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simulator.errors import BadConfig

if TYPE_CHECKING:
    import polars as pl

    from analysis.spec import Metric


def non_dominated(costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of the rows of `costs` (points, objectives), all minimised, that no row dominates.

    A row dominates another where it is no worse in every objective and better in one; equal rows
    do not dominate each other. Rows with a value that is not finite are never on the front. Work
    and memory are O(points * front).
    """
    front = np.zeros(len(costs), dtype=bool)
    alive = np.flatnonzero(np.isfinite(costs).all(axis=1))
    # In lexicographic order no row is dominated by a later one, so its first survivor is final.
    alive = alive[np.lexsort(costs[alive].T[::-1])]
    while alive.size:
        best = costs[alive[0]]
        front[alive[0]] = True
        rest = alive[1:]
        keep = (costs[rest] < best).any(axis=1) | (costs[rest] == best).all(axis=1)
        alive = rest[keep]
    return front


def kept(points: "pl.DataFrame") -> "pl.DataFrame":
    """The designs of a sweep that run the network and hold its constraints."""
    import polars as pl

    ran = points.filter(pl.col("refused").is_null())
    return ran.filter(pl.col("outside").is_null()) if "outside" in ran.columns else ran


def constrained(points: "pl.DataFrame", most: "Mapping[Metric, float]") -> "pl.DataFrame":
    """The table with a column `outside`: the first constraint that a design breaks, if any."""
    import polars as pl

    told = pl.lit(None, pl.String)
    for name, bound in reversed(list(most.items())):
        text = pl.format(f"{name} must be <= {bound:g}; found {{}}", pl.col(name))
        told = pl.when(pl.col(name) > bound).then(text).otherwise(told)
    return points.with_columns(told.alias("outside")) if most else points


def pareto(table: "pl.DataFrame", objectives: Sequence[str]) -> "pl.DataFrame":
    """The rows of `table` on the front of the named columns, all minimised, in their order.

    Raises BadConfig where a column is missing.
    """
    for name in objectives:
        if name not in table.columns:
            raise BadConfig(f"objective '{name}': no such column; there are {table.columns}")
    costs = table.select(objectives).to_numpy().astype(np.float64)
    return table.filter(non_dominated(costs))
