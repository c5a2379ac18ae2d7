"""The page of dialects is the one that the code and the counts of the conformance run make."""

from analysis.dialect_table import markdown, recorded_counts
from simulator.numeric.dialect import DIALECTS
from simulator.registry import operators
from tests.shared import ROOT


def test_the_page_is_up_to_date() -> None:
    """Else run ``python -m analysis.dialect_table > docs/dialects.md``."""
    page = (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8")
    assert page == markdown(recorded_counts())


def test_it_names_every_dialect_and_operator() -> None:
    text = markdown({})
    for name in (*DIALECTS, *operators()):
        assert f"| {name} |" in text


def test_counts_are_of_dialects_and_operators_that_there_are() -> None:
    """Made anew by ``python -m tests.conformance.count`` where one is renamed or gone."""
    counts = recorded_counts()
    assert set(counts) <= set(DIALECTS)
    for kinds in counts.values():
        assert set(kinds) - {"whole networks"} <= set(operators())
        for count in kinds.values():
            assert set(count) == {"cases", "values", "differing"}
            assert 0 <= count["differing"] <= count["values"]
            assert count["cases"] > 0


def test_a_difference_is_shown() -> None:
    counts = {"qonnx": {"quant": {"cases": 2, "values": 1234, "differing": 5}}}
    text = markdown(counts)
    assert "| quant | 1 234 (2), 5 differ |" in text
    assert "| **all** | 1 234 (2), 5 differ |" in text
