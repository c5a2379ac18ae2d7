"""docs/accuracy.md: its commands print what the page shows, its figures are what is executed."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.accuracy import accuracy
from analysis.labelled import load_labelled
from analysis.sweeps import Sweep
from tests.cli.command import Run
from tests.shared import ROOT, absence, shared_folder

PAGE = (ROOT / "docs/accuracy.md").read_text(encoding="utf-8")
YAML, COMMAND, TEXT, PYTHON = re.findall(r"```(?:yaml|sh|text|python).*?\n(.*?)```", PAGE, re.S)
ROWS = re.findall(r"^\| `([a-z].*=.*)` \| (.*) % \| (.*) \| (.*) \|$", PAGE, re.MULTILINE)


def test_the_example(bitlane: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(YAML, encoding="utf-8")
    outcome = bitlane(*shlex.split(COMMAND)[1:])
    lines = iter(outcome.out.splitlines())
    for line in TEXT.splitlines():
        assert line == "..." or any(line == other for other in lines), line
    names: dict[str, Any] = {}
    exec(compile(PYTHON, "docs/accuracy.md", "exec"), names)
    assert names["alone"].accuracy == 358 / 360
    best = names["cheapest"]
    assert (best["datapath.weight_bits"], best["datapath.accumulator.bits"]) == (4, 14)
    assert best["accuracy"] == 353 / 360


def test_the_sweep_that_ships() -> None:
    sweep = Sweep(hwconfigs.sweep_path("accuracy_and_energy"))
    assert sweep.accuracies is not None
    points, _ = sweep.chunk(0)
    assert sweep.accuracies.evaluated == 47
    assert points["accuracy"].null_count() == 0
    assert points["outside"].null_count() == 176


def close(text: str, found: float) -> bool:
    return f"{found:.3g}" == f"{float(text):.3g}"


@pytest.mark.skipif(shared_folder() is None, reason=absence())
@pytest.mark.parametrize(("fields", "right", "sqnr", "rate"), ROWS)
def test_figures_of_resnet8(fields: str, right: str, sqnr: str, rate: str) -> None:
    folder = shared_folder()
    assert folder is not None
    graph = workloads.load(folder / "models/tflite/mlperf_ic_resnet8_int8.tflite")
    data = load_labelled(graph, folder / "data/cifar10_eval.npz")
    pairs = [tuple(f"datapath.{field}".split("=")) for field in fields.split()]
    found = accuracy(graph, data, hwconfigs.load("systolic_16x16", pairs))  # type: ignore[arg-type]
    assert found.accuracy == pytest.approx(float(right) / 100)
    assert found.sqnr_db is not None
    assert found.overflow_rate is not None
    assert close(sqnr, found.sqnr_db)
    assert close(rate, found.overflow_rate)


def test_the_table_has_rows() -> None:
    assert len(ROWS) == 10


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("none.npz", "data: none.npz: no such file"),
        ("space.yaml", "data: space.yaml: not an .npz of plain arrays"),
        ("few.npz", "data: few.npz: labels must be 0 to 9, as probabilities has 10 values; found"),
    ],
)
def test_data_that_is_none(
    bitlane: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("space.yaml").write_text(YAML, encoding="utf-8")
    np.savez("few.npz", x=np.zeros((2, 8, 8, 1)), y=np.array([0, 10]))
    outcome = bitlane("sweep", "space.yaml", "--out", "run", "--data", data)
    assert outcome.code == 2
    assert outcome.err.startswith(f"bitlane: {message}") or message in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert not Path("run").exists()
    assert bitlane("sweep", "space.yaml", "--out", "run").code == 2
