"""NVDLA's mapping as MAESTRO costs it: the same layers rank alike. Trends, not figures to meet."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from tests.machines.maestro_rows import published, rows


def test_the_layers_are_the_same() -> None:
    assert [row.macs for row in rows()] == [int(row["num_macs"]) for row in published()]
    assert len(rows()) == 132


@pytest.mark.parametrize("units", [256, 1024])
def test_runtimes_rank_alike(units: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Of layers of one tap the figures agree too; of nine MAESTRO takes a ninth more."""
    chosen = [row for row in rows() if row.units == units]
    ours, theirs = (np.array([getattr(r, k) for r in chosen]) for k in ("ours", "theirs"))
    rank, ratio = float(spearmanr(ours, theirs).statistic), ours / theirs
    with capsys.disabled():
        print(
            f"\nMAESTRO kcp_ws, {units} units, {len(chosen)} layers: Spearman {rank:.3f}, ", end=""
        )
        print(
            f"median {np.median(np.abs(ratio - 1)):.1%}, ratios {ratio.min():.2f} {ratio.max():.2f}"
        )
    assert rank >= 0.95
    # Nobody takes fewer cycles than all units need.
    assert all(row.ours >= row.macs / units for row in chosen)
