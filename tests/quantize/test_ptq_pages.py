"""Pages of post-training quantization: what is quoted is as it was read, results are complete."""

import re
from pathlib import Path

import pytest

from tests.quantize.experiments import HEAD, TABLES
from tests.shared import ROOT

QUOTED = ROOT / "docs" / "ptq.md"
RESULTS = ROOT / "docs" / "ptq_results.md"


def rows(text: str) -> dict[str, list[str]]:
    """The numbers of every row of every table, by its first cell without blanks and hyphens."""
    found = {}
    for line in text.splitlines():
        if line.startswith("|") and not line.startswith("|-"):
            first, *rest = line.strip("|").split("|")
            key = first.replace(" ", "").replace("-", "").lower()
            found[key] = re.findall(r"(?<![\d.])\.?\d+(?:\.\d+)?", " ".join(rest))
    return found


@pytest.mark.parametrize(
    ("after", "before", "names"),
    [
        (
            "### A.2 Tables",
            "**T7",
            [
                *("MobileNet v1 (4.25 M)", "MobileNet v2 (3.54 M)", "NASNet-mobile (5.3 M)"),
                *("MobileNet v2-1.4 (6.06 M)", "Inception v3 (23.9 M)", "ResNet v1-50 (25.6 M)"),
                *("ResNet v2-50 (25.6 M)", "ResNet v1-152 (60.4 M)", "ResNet v2-152 (60.4 M)"),
            ],
        ),
        (
            "PTQ T6",
            "Also [M]",
            [
                *("ResNet18", "ResNet50", "MobileNetV2", "InceptionV3"),
                *("DeepLabV3", "EfficientDet-D1", "BERT-base"),
            ],
        ),
    ],
)
def test_quoted_rows_are_those_of_the_reference(
    shared: Path, after: str, before: str, names: list[str]
) -> None:
    reference = (shared / "reference" / "SEEDS.md").read_text(encoding="utf-8")
    part = reference.split(after)[1].split(before)[0]
    theirs = rows(part)
    ours = rows(QUOTED.read_text(encoding="utf-8"))
    for name in names:
        key = name.replace(" ", "").replace("-", "").lower()
        assert theirs[key]
        assert ours[key] == theirs[key], name


def test_the_page_of_results_has_every_table() -> None:
    text = RESULTS.read_text(encoding="utf-8")
    assert text.startswith(HEAD)
    assert text.count("\n## ") == len(TABLES)
    assert "nan" not in text


def test_our_cells_beside_the_quoted_ones_are_those_of_the_results() -> None:
    spread = r"\d+\.\d \(\d+\.\d to \d+\.\d\)"
    ours = re.findall(spread, QUOTED.read_text(encoding="utf-8"))
    assert len(ours) > 20
    assert set(ours) <= set(re.findall(spread, RESULTS.read_text(encoding="utf-8")))
