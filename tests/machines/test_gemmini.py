"""Cycles of Gemmini's RTL with its mappings, beside what Timeloop said of the same rows."""

from pathlib import Path

import numpy as np
import pytest

import hwconfigs
from analysis.against_rtl import (
    Errors,
    Row,
    candidates,
    errors_of,
    fit,
    held_out,
    least_tile_cycles,
    measured_cycles,
    predict,
    random_halves,
    rows_of,
)
from simulator.machines.spatial import Spatial
from tests.shared import absence, shared_folder

EVEN, ODD = slice(None, None, 2), slice(1, None, 2)


@pytest.fixture(scope="module")
def file() -> Path:
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    return folder / "reference/peers/gemmini_rtl_public.csv"


@pytest.fixture(scope="module")
def rows(file: Path) -> list[Row]:
    return rows_of(file)


def shipped() -> Spatial:
    machine = hwconfigs.load("gemmini_like")
    assert isinstance(machine, Spatial)
    return machine


def test_nearer_to_the_rtl_than_timeloop(rows: list[Row]) -> None:
    """Fitted on the even rows; the odd ones are held out."""
    measured = measured_cycles(rows)
    timeloop = np.array([float(row["model_cycles_timeloop"]) for row in rows])
    ours = predict(rows, "gemmini_like")
    for part in (slice(None), ODD):
        mine, theirs = (errors_of(x[part], measured[part]) for x in (ours, timeloop))
        print(mine, theirs)
        assert mine.mean < 0.45 * theirs.mean
        assert mine.median < 0.25 * theirs.median
        assert mine.p90 < 0.5 * theirs.p90
        assert mine.spearman > theirs.spearman
        assert mine.mean < 0.15
        assert mine.spearman > 0.98
    assert len(rows) == 74


def test_the_fit_and_what_it_holds_out(file: Path, rows: list[Row]) -> None:
    """The shipped numbers are the fit's; halves swapped and random halves do as well."""
    tried, measured = candidates(rows, "gemmini_like"), measured_cycles(rows)
    machine = shipped()
    assert machine.array.commands is not None
    found = machine.memory[3].bits_per_cycle, machine.array.commands.issue_cycles
    assert fit(tried, measured, EVEN) == found
    refill = machine.memory[2].refill_cycles
    assert least_tile_cycles(file) == pytest.approx(refill, rel=0.01)
    even, odd = np.arange(0, 74, 2), np.arange(1, 74, 2)
    for part in (even, odd):
        assert held_out(tried, measured, part).mean < 0.15
        assert held_out(tried, measured, part).spearman > 0.98
    halves = random_halves(tried, measured)
    assert np.median([half.mean for half in halves]) < 0.15
    assert np.median([half.spearman for half in halves]) > 0.98


def test_the_source_tells_the_held_out_figures(rows: list[Row]) -> None:
    errors = errors_of(predict(rows, "gemmini_like")[ODD], measured_cycles(rows)[ODD])
    told = shipped().source["memory.3.bits_per_cycle"]
    assert isinstance(errors, Errors)
    assert f"mean error {100 * errors.mean:.1f} %, median {100 * errors.median:.1f} %" in told
    assert f"ninth decile {100 * errors.p90:.1f} %, Spearman {errors.spearman:.3f}" in told
