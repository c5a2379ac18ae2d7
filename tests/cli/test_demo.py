"""`bitlane demo`: what it prints is so, again into its own folder, never over another's files."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwconfigs
from analysis.demo import MACHINES
from analysis.store import locked, open_store
from simulator.cost import estimate
from tests.cli.command import Outcome, Run, files_of
from tests.test_digits_artifacts import litert_codes
from workloads import load
from workloads.zoo import digits

BUSY = "which is not of a demo; choose another --out"


@pytest.fixture
def shown(bitlane: Run, tmp_path: Path) -> Outcome:
    """The demo, run once into tmp_path / 'demo'."""
    outcome = bitlane("demo", "--out", tmp_path / "demo")
    assert (outcome.code, outcome.err) == (0, "")
    return outcome


def test_accuracy_is_that_of_the_reference_runtime(shown: Outcome) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra 'reference' is not installed")
    images, labels = digits.heldout()
    right = int(np.count_nonzero(litert_codes(images).argmax(axis=1) == labels))
    assert shown.out.startswith(f"bits    {right} of {len(labels)} held-back digits right ")


def test_it_writes_what_it_prints(shown: Outcome, tmp_path: Path) -> None:
    graph = load("zoo:digits")
    with (tmp_path / "demo/layers.csv").open(encoding="utf-8", newline="") as stream:
        rows: list[dict[str, Any]] = list(csv.DictReader(stream))
    for name in MACHINES:
        totals = estimate(graph, hwconfigs.load(name)).totals
        assert re.search(rf"^{name} +{totals.cycles} ", shown.out, re.MULTILINE)
        ours = [r for r in rows if r["machine"] == name]
        assert sum(int(r["cycles.total"]) for r in ours) == totals.cycles
    points = open_store(tmp_path / "demo/sweep").points()
    assert len(points) >= 200
    assert f"digits_design_space: {len(points)} points in " in shown.out
    assert "digits_design_space" in (tmp_path / "demo/report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("shown")
def test_a_second_demo_replaces_the_first(bitlane: Run, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    before = dict(files_of(out))
    (out / "report.html").write_text("old", encoding="utf-8")
    (out / ".layers.csv.77.tmp").write_text("left by a kill", encoding="utf-8")
    assert bitlane("demo", "--out", out).code == 0
    after = {name: data for name, data in files_of(out) if not name.endswith(".tmp")}
    assert after == before


def test_a_demo_that_was_stopped_early_is_replaced(bitlane: Run, tmp_path: Path) -> None:
    for name in ("points", "layers"):
        (tmp_path / "demo/sweep" / name).mkdir(parents=True)
    (tmp_path / "demo/sweep/.lock").touch()
    assert bitlane("demo", "--out", tmp_path / "demo").code == 0


@pytest.mark.parametrize("name", ["notes.txt", "report.html", "layers.csv", "sweep/notes.txt"])
def test_a_foreign_file_is_refused_and_kept(bitlane: Run, tmp_path: Path, name: str) -> None:
    out = tmp_path / "mine"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text("mine", encoding="utf-8")
    outcome = bitlane("demo", "--out", out)
    assert outcome == Outcome(2, "", f"bitlane: {out}: holds '{name.split('/')[0]}', {BUSY}\n")
    assert list(files_of(out)) == [(name, b"mine")]


def test_a_foreign_file_beside_a_demo_is_refused(
    bitlane: Run, shown: Outcome, tmp_path: Path
) -> None:
    out = tmp_path / "demo"
    (out / "thesis.tex").write_text("mine", encoding="utf-8")
    before = dict(files_of(out))
    outcome = bitlane("demo", "--out", out)
    assert outcome == Outcome(2, "", f"bitlane: {out}: holds 'thesis.tex', {BUSY}\n")
    assert dict(files_of(out)) == before


def test_another_sweep_called_sweep_is_refused_and_kept(
    bitlane: Run, workspace: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    assert bitlane("sweep", workspace / "sweep.yaml", "--out", out / "sweep").code == 0
    before = dict(files_of(out))
    outcome = bitlane("demo", "--out", out)
    assert outcome == Outcome(2, "", f"bitlane: {out}: holds 'sweep', {BUSY}\n")
    assert dict(files_of(out)) == before


@pytest.mark.usefixtures("shown")
def test_two_demos_at_a_time(bitlane: Run, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    with locked(out / "sweep"):
        outcome = bitlane("demo", "--out", out)
    assert outcome.code == 2
    assert outcome.err == (
        f"bitlane: {out}/sweep: another sweep is writing here; "
        "wait for it or choose another --out\n"
    )
    assert len(open_store(out / "sweep").points()) >= 200
