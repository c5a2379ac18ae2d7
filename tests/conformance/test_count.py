"""The committed counts are those of a run; the quick parts are run again here, all when slow."""

import json

import pytest

from tests.conformance import count
from tests.conformance.cases import is_shared, skip_if_absent
from tests.shared import ROOT, shared_folder

COMMITTED = ROOT / "docs" / "conformance.json"


def test_the_quick_parts_are_counted_as_committed() -> None:
    skip_if_absent("cmsis_nn")
    if not is_shared():
        pytest.skip("other cases than those that were counted")
    counts, held = count.Counts(), count.load(COMMITTED)
    count.count_cmsis(counts)
    assert counts.found["cmsis-nn"] == held["cmsis-nn"]


@pytest.mark.slow
def test_every_count_is_as_committed(capsys: pytest.CaptureFixture[str]) -> None:
    if shared_folder() is None or not is_shared():
        pytest.skip("the shared folder is absent, or other cases are named")
    assert count.main() == 0
    assert json.loads(capsys.readouterr().out) == json.loads(COMMITTED.read_text(encoding="utf-8"))
