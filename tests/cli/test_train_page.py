"""docs/train.md and docs/studies.md: their commands, YAML and Python run."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.study_spec import Training, study_of
from simulator.config import load_yaml
from tests.cli.command import Run
from tests.shared import ROOT

pytest.importorskip("jax")
pytest.importorskip("sklearn")
PAGE = (ROOT / "docs" / "train.md").read_text(encoding="utf-8")
STUDIES = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")


def block(page: str, kind: str) -> str:
    (found,) = re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
    return str(found)


def digits() -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images.reshape(-1, 8, 8, 1) / 16).astype(np.float32)[:512], labels[:512]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bitlane: Run) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = digits()
    np.savez("digits.npz", x=images[:448], y=labels[:448])
    np.savez("held.npz", x=images[448:], y=labels[448:])
    outcome = bitlane(*shlex.split(block(PAGE, "sh"))[1:])
    assert (outcome.code, outcome.err) == (0, "")
    assert (tmp_path / "digits_w4a4.onnx").stat().st_size > 1000


def test_the_python() -> None:
    images, labels = digits()
    names: dict[str, Any] = {"images": images, "labels": labels}
    exec(compile(block(PAGE, "python"), "docs/train.md", "exec"), names)
    assert names["same"]


def test_settings_are_those_there_are() -> None:
    from dataclasses import fields

    from workloads.train import Settings

    table = PAGE.split("## Settings")[1].split("## ")[0]
    told = set(
        re.findall(r"`(\w+)`", " ".join(r.split("|")[1] for r in table.splitlines() if "|" in r))
    )
    known = {field.name for field in fields(Settings)}
    beside = {"weights", "activations", "range_decay", "calibrate_at", "freeze_at"}
    assert told == known - beside


def test_the_study_of_the_page_is_one(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(block(STUDIES, "yaml"))
    assert study_of(load_yaml(path)).networks == 4
    for name in ("pareto_4bit", "pareto_resnet50"):
        assert study_of(load_yaml(ROOT / "examples" / f"{name}.yaml")).networks == 36
        assert f"examples/{name}.yaml" in STUDIES
    for name in Training.model_fields:
        assert f"`{name}`" in STUDIES
