"""Cycles of Gemmini's RTL with its mappings, beside what Timeloop said of the same rows."""

import numpy as np
import pytest

from analysis.against_rtl import Row, errors_of, fit, predict, rows_of
from tests.shared import absence, shared_folder


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    return rows_of(folder / "reference/peers/gemmini_rtl_public.csv")


def test_nearer_to_the_rtl_than_timeloop(rows: list[Row]) -> None:
    """Fitted on the even rows; the odd ones are held out."""
    measured = np.array([float(row["rtl_cycles_firesim"]) for row in rows])
    timeloop = np.array([float(row["model_cycles_timeloop"]) for row in rows])
    ours = predict(rows, "gemmini_like")
    for part in (slice(None), slice(1, None, 2)):
        mine, theirs = (errors_of(x[part], measured[part]) for x in (ours, timeloop))
        print(mine, theirs)
        assert mine.mean < 0.75 * theirs.mean
        assert mine.median < 0.5 * theirs.median
        assert mine.spearman > theirs.spearman
    assert errors_of(ours, measured).spearman >= 0.98
    assert len(rows) == 74


@pytest.mark.slow
def test_the_shipped_rate_is_the_fit(rows: list[Row]) -> None:
    assert fit(rows[::2], "gemmini_like") == (48, 0)
