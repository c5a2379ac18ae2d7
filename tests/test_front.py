"""Pareto fronts against the definition, point by point."""

import math
from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import analysis
from analysis.front import non_dominated, pareto
from simulator.errors import BadConfig

Row = tuple[float, ...]


def dominates(a: Row, b: Row) -> bool:
    """No worse in every objective and better in one."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def oracle(rows: list[Row]) -> list[bool]:
    """Every row against every other."""
    finite = [all(math.isfinite(v) for v in row) for row in rows]
    return [
        finite[i] and not any(finite[j] and dominates(rows[j], rows[i]) for j in range(len(rows)))
        for i in range(len(rows))
    ]


few = st.integers(-3, 3).map(float)
odd = st.sampled_from([0.0, -0.0, 1e-300, 1e300, 5e-324, math.inf, -math.inf, math.nan])
values = few | odd | st.floats(-10, 10)
tables = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.tuples(*[values] * width), min_size=1, max_size=40)
)


@settings(max_examples=400, deadline=None)
@given(tables)
def test_the_front_is_the_definition(rows: list[Row]) -> None:
    costs = np.array(rows, dtype=np.float64)
    assert non_dominated(costs).tolist() == oracle(rows)


@settings(max_examples=100, deadline=None)
@given(tables, st.randoms())
def test_order_and_copies_change_nothing(rows: list[Row], random: Random) -> None:
    mask = non_dominated(np.array(rows, dtype=np.float64))
    places = list(range(len(rows)))
    random.shuffle(places)
    shuffled = non_dominated(np.array([rows[i] for i in places], dtype=np.float64))
    assert shuffled.tolist() == [mask[i] for i in places]
    twice = non_dominated(np.array(rows * 2, dtype=np.float64))
    assert twice.tolist() == mask.tolist() * 2


def test_a_large_front() -> None:
    """Points of a circle do not dominate each other; the points behind them are dominated."""
    angle = np.linspace(0.01, math.pi / 2 - 0.01, 500)
    circle = np.stack([1 - np.cos(angle), 1 - np.sin(angle)], axis=1)
    mask = non_dominated(np.concatenate([circle + 0.5, circle, circle + 1e-9]))
    assert mask.tolist() == [False] * 500 + [True] * 500 + [False] * 500


def test_no_points() -> None:
    assert non_dominated(np.empty((0, 3))).tolist() == []


def test_pareto_keeps_rows_and_their_order() -> None:
    table = pl.DataFrame(
        {
            "id": [7, 8, 9, 10],
            "a": [3.0, 1.0, 2.0, None],
            "b": [1, 3, 3, 0],
            "c": ["w", "x", "y", "z"],
        }
    )
    front = analysis.pareto(table, ["a", "b"])
    assert front.rows() == [(7, 3.0, 1, "w"), (8, 1.0, 3, "x")]
    assert front.columns == table.columns
    assert pareto(table, ["b"])["id"].to_list() == [10]


def test_an_objective_that_is_no_column() -> None:
    table = pl.DataFrame({"a": [1.0], "b": [2.0]})
    with pytest.raises(BadConfig) as caught:
        pareto(table, ["a", "energy"])
    assert str(caught.value) == "objective 'energy': no such column; there are ['a', 'b']"
