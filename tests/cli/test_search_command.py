"""`bitlane search` as a command: a kill and going on, faults of the section, the page's example."""

import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal

from analysis.searches import search
from analysis.store import open_store
from simulator.errors import BitlaneError
from tests.cli.command import Run, outside, started, wait_for
from tests.shared import ROOT
from tests.test_search import SMALL, small


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_search_resumes_to_the_same_table(tmp_path: Path, number: signal.Signals) -> None:
    document = small(evaluations=384).model_dump(mode="json", exclude_unset=True)
    (tmp_path / "s.yaml").write_text(json.dumps(document), encoding="utf-8")
    process = started("search", "s.yaml", "--out", "out", cwd=tmp_path)
    wait_for(tmp_path / "out/points/part-00002.parquet", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert err.startswith("bitlane: interrupted; ")
        assert "of 384 evaluations are kept in out; go on with --resume" in err
    assert open_store(tmp_path / "out").kept < 384
    resumed = outside("search", "s.yaml", "--out", "out", "--resume", cwd=tmp_path)
    assert (resumed.code, resumed.err) == (0, "")
    assert_frame_equal(open_store(tmp_path / "out").points(), search(small(evaluations=384)))


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"evaluations": 0}, "search.evaluations"),
    ({"evaluations": 9, "population": 3}, "search.population"),
    ({"evaluations": 9, "method": "nsga3"}, "search.method"),
    ({"evaluations": 9, "stall": {"gain": -1.0}}, "search.stall.gain"),
    ({"evaluations": 9, "bits": [4, 8]}, "search.bits: belongs to problem: mixed_precision"),
    ({"evaluations": 9, "problem": "mixed_precision"}, "search.bits: is missing"),
]


@pytest.mark.parametrize(("section", "told"), FAULTS)
def test_faults_of_the_section_name_their_line(
    bitlane: Run, tmp_path: Path, section: dict[str, Any], told: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(SMALL | {"search": section}), encoding="utf-8")
    outcome = bitlane("search", path, "--out", tmp_path / "out")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"bitlane: {path}:1: {told}"), outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


HUGE = {"range": {"first": 1, "last": 10_000}}
MANY: dict[str, Any] = SMALL | {
    "axes": {"clock_mhz": HUGE, "memory.dram.bytes_per_cycle": HUGE},
    "search": {"evaluations": 9},
}
WIDTHS: dict[str, Any] = {name: SMALL[name] for name in ("name", "base", "workload")} | {
    "search": {"evaluations": 9, "problem": "mixed_precision", "bits": [4, 8]}
}


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (MANY, "axes: 100000000 points are more than 10000000; run bitlane search, shorten"),
        (WIDTHS, "axes: is missing, its designs are those of search.problem; run bitlane search"),
    ],
)
def test_what_only_a_search_goes_through_is_not_swept(
    bitlane: Run, tmp_path: Path, document: dict[str, Any], told: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(document), encoding="utf-8")
    outcome = bitlane("sweep", path, "--out", tmp_path / "out")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"bitlane: small: {told}"), outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_the_library_one_line_says_how_to_get_it(
    bitlane: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = small().model_dump(mode="json", exclude_unset=True)
    (tmp_path / "s.yaml").write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.setitem(sys.modules, "optuna", None)
    outcome = bitlane("search", tmp_path / "s.yaml", "--out", tmp_path / "out")
    assert outcome.code == 2
    assert outcome.err == (
        "bitlane: search needs Optuna, which is not installed; run: pip install 'bitlane[search]'\n"
    )
    with pytest.raises(BitlaneError):
        search(small())


def test_the_page_shows_what_its_commands_print(
    bitlane: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command of docs/search.md with its output; `...` stands for any text or lines."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs/search.md").read_text(encoding="utf-8")
    blocks = page.split("```")[1::2]
    ran = []
    for block, after in zip(blocks, [*blocks[1:], ""], strict=True):
        kind, body = block.split("\n", 1)
        if kind == "yaml":
            name = body.split("name: ", 1)[1].split("\n")[0]
            Path(f"{name}.yaml").write_text(body, encoding="utf-8")
        if kind == "sh" and after.startswith("text\n"):
            outcome = bitlane(*body.split()[1:])
            assert (outcome.code, outcome.err) == (0, "")
            shown = re.escape(after.removeprefix("text\n").strip()).replace(r"\.\.\.", ".*")
            assert re.fullmatch(shown, outcome.out.strip(), re.DOTALL), outcome.out
            ran.append(body.split()[1])
    assert ran == ["search", "search"]
