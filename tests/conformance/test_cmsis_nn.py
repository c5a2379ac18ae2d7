"""CMSIS-NN's own unit tests: 0 differing values, every case counted."""

from collections import Counter
from typing import Final

import numpy as np
import pytest

from tests.conformance.cases import CaseFile, cases_root, find_cases, is_shared, skip_if_absent
from tests.conformance.cmsis_cases import compute

FAMILIES: Final = {
    "add": 2,
    "avg_pool": 6,
    "batch_matmul": 6,
    "conv2d": 26,
    "conv2d_w4": 16,
    "depthwise": 14,
    "depthwise_w4": 6,
    "fully_connected": 6,
    "fully_connected_w4": 4,
    "lstm": 5,
    "max_min": 8,
    "max_pool": 7,
    "mul": 2,
    "network": 1,
    "pad": 1,
    "softmax": 1,
    "softmax_s16": 1,
    "softmax_s8_s16": 1,
    "svdf": 4,
    "transpose": 6,
    "transpose_conv": 5,
}
"""How many cases the shared folder holds of each family: 128 in all."""

LEFT_OUT: Final[dict[str, str]] = {}
"""Cases that are not run, each with its reason."""

CASES: Final = find_cases("cmsis_nn")


@pytest.fixture(autouse=True)
def _present() -> None:
    skip_if_absent("cmsis_nn")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_case_is_exact(case: CaseFile) -> None:
    if case.label in LEFT_OUT:
        pytest.skip(LEFT_OUT[case.label])
    expected = case.arrays()["output_ref"].reshape(-1)
    got = compute(case)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    assert int(np.count_nonzero(got != expected)) == 0


def test_every_case_is_counted() -> None:
    """None is missing, and none is left out without a reason."""
    assert CASES, f"no cases in {cases_root()}/cmsis_nn"
    assert set(LEFT_OUT) <= {case.label for case in CASES}
    assert all(LEFT_OUT.values())
    if is_shared():
        assert Counter(case.group for case in CASES) == FAMILIES
        assert sum(FAMILIES.values()) == len(CASES) == 128
