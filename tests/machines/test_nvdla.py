"""NVDLA's large configuration beside NVIDIA's own spreadsheet: equal, or different for a reason."""

import numpy as np
import pytest

from tests.machines.nvdla_rows import rows


@pytest.mark.parametrize("figure", ["macs", "bytes"])
def test_every_layer_is_equal_or_different_for_a_reason(figure: str) -> None:
    """Cycles of the array and bytes of DRAM, exactly."""
    equal = 0
    for row in rows():
        ours, theirs = getattr(row, f"ours_{figure}"), getattr(row, f"theirs_{figure}")
        assert (ours == theirs) == (figure not in row.why), (row.name, ours, theirs, row.why)
        equal += ours == theirs
    assert len(rows()) == 65
    assert equal == {"macs": 59, "bytes": 50}[figure]


def test_the_rounding_that_the_spreadsheet_leaves_out_is_all_there_is() -> None:
    """48 channels stand for 64 and 1000 filters for 1024; first layers are another matter."""
    ratios = {
        row.ours_macs / row.theirs_macs
        for row in rows()
        if row.why.get("macs", "").startswith("not rounded")
    }
    assert ratios == {64 / 48, 1024 / 1000}


def test_cycles_in_all_where_the_same_layer_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The spreadsheet overlaps everything and moves a KiB in 100 cycles, 2.4 % sooner than we."""
    chosen = [row for row in rows() if row.alone and not row.why]
    off = np.array([row.ours / row.theirs - 1 for row in chosen])
    with capsys.disabled():
        print(f"\nNVDLA: {len(chosen)} layers without Winograd, addition or pooling: ", end="")
        print(f"cycles {off.min():+.1%} to {off.max():+.1%}, mean {np.abs(off).mean():.1%}")
    assert len(chosen) > 15
    assert 0.02399 < off.min() <= off.max() < 0.02405
