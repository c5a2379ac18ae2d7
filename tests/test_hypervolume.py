"""Hypervolume against counted unit cells, and laws that it keeps."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from analysis.hypervolume import Growing, hypervolume

SIDE = 5


def cells(points: np.ndarray, reference: int) -> int:
    """Unit cells of a grid of integers that some point dominates, counted one by one."""
    corners = itertools.product(range(reference), repeat=points.shape[1])
    return sum(any(all(p <= c for p, c in zip(row, cell, strict=True)) for row in points)
               for cell in corners)  # fmt: skip


sets = st.integers(1, 4).flatmap(
    lambda m: arrays.arrays(np.int64, st.tuples(st.integers(0, 12), st.just(m)),
                            elements=st.integers(-0, SIDE + 1))
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(sets)
def test_the_volume_is_the_number_of_cells(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], float(SIDE))
    expected = cells(points, SIDE)
    assert hypervolume(points.astype(np.float64), reference) == expected
    growing = Growing(reference)
    for row in points.astype(np.float64):
        growing.add(row)
    assert growing.volume == expected


@settings(max_examples=50, deadline=None)
@given(sets)
def test_each_step_is_the_volume_so_far(points: np.ndarray) -> None:
    reference = np.full(points.shape[1], float(SIDE))
    growing = Growing(reference)
    for number, row in enumerate(points.astype(np.float64), 1):
        assert growing.add(row) == cells(points[:number], SIDE)


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_many_points_against_monte_carlo(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    points = rng.random((40, objectives)) ** 0.5
    draws = rng.random((40_000, objectives))
    inside = np.zeros(len(draws), bool)
    for point in points:
        inside |= (draws >= point).all(axis=1)
    share = inside.mean()
    sigma = np.sqrt(share * (1 - share) / len(draws))
    assert abs(hypervolume(points, np.ones(objectives)) - share) < 5 * sigma


def test_what_is_no_number_or_outside_adds_nothing() -> None:
    reference = np.array([2.0, 2.0])
    rows = np.array([[np.nan, 0.0], [0.0, np.inf], [2.0, 0.0], [3.0, -5.0], [1.0, 1.0]])
    assert hypervolume(rows, reference) == 1.0
    assert hypervolume(rows[:4], reference) == 0.0
    growing = Growing(reference)
    assert [growing.add(row) for row in rows] == [0.0, 0.0, 0.0, 0.0, 1.0]
