"""Pareto fronts: the designs that no other design beats in every objective."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.constraints import HOLDS, SENSE, Constraint
from simulator.errors import BadConfig

if TYPE_CHECKING:
    import polars as pl


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


def with_derived(points: "pl.DataFrame") -> "pl.DataFrame":
    """The table with metrics that follow from others: `edp`, the energy-delay product in J s."""
    import polars as pl

    return points.with_columns((pl.col("energy_j") * pl.col("latency_s")).alias("edp"))


def constrained(points: "pl.DataFrame", limits: Sequence[Constraint]) -> "pl.DataFrame":
    """The table with a column `outside`: the first constraint that a design breaks, if any.

    A design that runs and has no value of a metric breaks its constraint; a refused one has no cost
    and is outside of nothing.
    """
    import polars as pl

    told = pl.lit(None, pl.String)
    for limit in reversed(limits):
        value = pl.col(limit.metric)
        rule = f"{limit.metric} must be {limit.comparison} {limit.bound:g}"
        text = pl.coalesce(pl.format(f"{rule}; found {{}}", value), pl.lit(f"{rule}; it has none"))
        holds = HOLDS[limit.comparison](value, limit.bound).fill_null(value=False)
        told = pl.when(holds | pl.col("refused").is_not_null()).then(told).otherwise(text)
    return points.with_columns(told.alias("outside")) if limits else points


def on_front(table: "pl.DataFrame", objectives: Sequence[str]) -> NDArray[np.bool_]:
    """Mask of the rows of `table` that no row dominates in the named columns.

    Metrics whose `SENSE` is "max" are maximised, all other columns minimised. Raises BadConfig
    where a column is missing.
    """
    for name in objectives:
        if name not in table.columns:
            raise BadConfig(f"objective '{name}': no such column; there are {table.columns}")
    costs = table.select(objectives).to_numpy().astype(np.float64)
    return non_dominated(costs * [-1.0 if maximised(name) else 1.0 for name in objectives])


def maximised(name: str) -> bool:
    """Whether more of a column is better; a column that is no metric is minimised."""
    return any(metric == name and sense == "max" for metric, sense in SENSE.items())


def pareto(table: "pl.DataFrame", objectives: Sequence[str]) -> "pl.DataFrame":
    """The rows of `table` on the front of the named columns, in their order; see `on_front`."""
    return table.filter(on_front(table, objectives))
