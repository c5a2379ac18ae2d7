"""The page of dialects is the one that the code makes."""

from analysis.dialect_table import markdown
from simulator.numeric.dialect import DIALECTS
from simulator.registry import operators
from tests.shared import ROOT


def test_the_page_is_up_to_date() -> None:
    """Else run ``python -m analysis.dialect_table > docs/dialects.md``."""
    assert (ROOT / "docs" / "dialects.md").read_text(encoding="utf-8") == markdown()


def test_it_names_every_dialect_and_operator() -> None:
    text = markdown()
    for name in (*DIALECTS, *operators()):
        assert f"| {name} |" in text
