"""The validation page: its statistics against scipy, its sections against the committed page."""

import json
import math
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.shared import ROOT, VARIABLE
from tests.validation.__main__ import SECTIONS, build, ending
from tests.validation.page import document, markdown, section_lines
from tests.validation.rows import (
    Row,
    by_group,
    level_and_shape,
    percent,
    section_of,
    summarise,
)
from tests.validation.silicon import figures
from tests.validation.uncompared import REASONS, USED, lines

PAGE = ROOT / "docs" / "validation.md"
CHEAP = ("gemmini", "phones", "layers", "eyeriss")
THEIRS = (100.0, 200.0, 400.0, 50.0, 1000.0, 100.0)
OURS = (110.0, 150.0, 400.0, 60.0, 1000.0, 300.0)


def rows() -> list[Row]:
    return [
        Row("x", str(i), a, b, "ab"[i % 2])
        for i, (a, b) in enumerate(zip(THEIRS, OURS, strict=True))
    ]


def test_statistics() -> None:
    found = summarise(rows())
    errors = [0.10, 0.25, 0.0, 0.20, 0.0, 2.0]
    assert (found.rows, found.exact) == (6, 2)
    assert found.mape == pytest.approx(statistics.mean(errors))
    assert found.median == pytest.approx(statistics.median(errors))
    # Between the fifth and sixth of the sorted errors: 0.25 + (0.9 * 5 - 4) * (2 - 0.25).
    assert found.p90 == pytest.approx(0.25 + 0.5 * 1.75)
    # Spearman's is Pearson's of the ranks, ties at their mean: two of theirs are 100.
    ranks = [stats.rankdata(side) for side in (THEIRS, OURS)]
    assert found.spearman == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert stats.rankdata(THEIRS).tolist() == [2.5, 4, 5, 1, 6, 2.5]


def test_errors_at_the_edges() -> None:
    assert Row("x", "", 0.0, 0.0).error == 0
    assert Row("x", "", 0.0, 1.0).error == math.inf
    assert Row("x", "", 4.0, 3.0).error == -0.25
    assert math.isnan(summarise([Row("x", "", 1.0, 2.0)]).spearman)
    assert math.isnan(summarise([Row("x", "", 1.0, float(k)) for k in range(4)]).spearman)
    with pytest.raises(ValueError, match="no rows"):
        summarise([])


def test_words_of_numbers() -> None:
    assert [percent(x) for x in (0.0, 1e-5, 0.1234, -0.5, math.nan)] == [
        *("0.0 %", "0.001 %", "12.3 %", "-50.0 %", "–"),
    ]
    # Errors of a: +10 %, 0, 0; of b: -25 %, +20 %, +200 %.
    assert by_group(rows()) == (
        "b 81.7 % (mean signed +65.0 %, 3 rows); a 3.3 % (mean signed +3.3 %, 3 rows)"
    )


def test_level_and_shape() -> None:
    # Every prediction half of what is measured: the level alone is wrong.
    halves = [Row("x", "", a, a / 2) for a in THEIRS]
    assert level_and_shape(halves).startswith("One common factor of 2.00 ")
    assert level_and_shape(halves).endswith("leaves a MAPE of 0.0 %")


def test_a_page_without_its_inputs_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    found = build(["gemmini", "eyeriss"])
    told = capsys.readouterr().err
    page = markdown(found)
    for name in ("gemmini", "eyeriss"):
        assert f"section '{name}' NOT RUN" in told
        assert f"| {name} | **not run** |" in page
        assert f"## {name}: not run" in page
    assert "the shared folder has no reference/peers/gemmini_rtl_public.csv" in page
    assert document(found)["sections"][0]["not_run"]


def test_the_command_refuses_what_is_no_section() -> None:
    command = [sys.executable, "-m", "tests.validation", "--only"]
    wrong = subprocess.run([*command, "zzz"], cwd=ROOT, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("--only zzz: no such section; known: scalesim, stepper")


def test_json_holds_every_row() -> None:
    made = section_of(
        title="T", compares="c", source="s", machine="m", basis="no: b", name="n",
        rows=rows(), misses=["why"],
    )  # fmt: skip
    plain = json.loads(json.dumps(document({"n": made})))
    assert plain["schema"] == "bitlane.validation/1"
    (section,) = plain["sections"]
    assert [row["error"] for row in section["rows"]] == [row.error for row in rows()]
    assert section["summary"][0]["exact"] == 2
    page = markdown({"n": made})
    assert "| T | x | 6 | 2 | 42.5 % | 15.0 % | 112.5 % |" in page
    assert "The worst 4 of 4 rows that differ:" in page


def test_the_page_has_every_section() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("\n- *Again*: `python -m tests.validation --only ") + text.count(
        ": not run\n"
    ) == len(SECTIONS)


@pytest.mark.parametrize("name", CHEAP)
def test_a_cheap_section_is_the_committed_one(name: str, shared: Path) -> None:
    found = build([name])[name]
    made = "\n".join(section_lines(name, found))
    assert not isinstance(found, str), found
    assert f"\n{made}\n" in PAGE.read_text(encoding="utf-8"), "make docs/validation.md again"


def test_every_source_is_compared_or_named(shared: Path) -> None:
    named = {row["source"] for row in figures()}
    assert named == set(REASONS) | {source for source, _ in USED}
    assert {pair for pair in USED if pair[0] not in named} == set()
    assert ending() in PAGE.read_text(encoding="utf-8")
    assert sum(line.startswith("| ") for line in lines()) == len(REASONS) + 1


@pytest.mark.slow
def test_the_page_is_made_again(shared: Path) -> None:
    made = markdown(build()) + ending()
    assert made == PAGE.read_text(encoding="utf-8"), "make docs/validation.md again"
