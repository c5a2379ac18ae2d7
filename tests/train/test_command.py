"""`bitlane train`: the file that it writes computes what was trained."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")

from random import Random
from typing import Any

import workloads
from analysis.cli import app
from analysis.terminal import run
from simulator.execute import run_batch
from tests.ops.onnx_runtime import model, node
from tests.test_float_onnx import reals


def bitlane(*arguments: str) -> int:
    """The exit code of a command line."""

    def command(**options: Any) -> Any:
        return app(list(arguments), **options)

    return run(command)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """m.onnx, two layers; train.npz and held.npz, classes by the largest of three inputs."""
    rng, draw = Random(0), np.random.default_rng(0)
    constants = {
        "w0": reals(rng, (6, 16), 6),
        "b0": np.zeros(16, np.float32),
        "w1": reals(rng, (16, 3), 16),
        "b1": np.zeros(3, np.float32),
    }
    nodes = [
        node("Gemm", ["x", "w0", "b0"], ["h"]),
        node("Relu", ["h"], ["r"]),
        node("Gemm", ["r", "w1", "b1"], ["y"]),
    ]
    data = model(nodes, {"x": ("float32", (1, 6))}, {"y": "float32"}, constants)
    (tmp_path / "m.onnx").write_bytes(data)
    for name, count in (("train", 256), ("held", 100)):
        x = draw.normal(0, 1, (count, 6)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", input_0=x, labels=x[:, :3].argmax(axis=1))
    return tmp_path


def test_the_file_has_the_accuracy_that_was_told(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = files / "o.onnx", files / "c.npz"
    given = [str(files / "m.onnx"), "--data", str(files / "train.npz"), "-o", str(out)]
    widths = ["--weights", "4", "--activations", "4", "--set", "epochs=12"]
    more = ["--set", "learning_rate=0.02", "--held", str(files / "held.npz")]
    assert bitlane("train", *given, *widths, *more, "--checkpoint", str(kept)) == 0
    told = capsys.readouterr()
    assert told.err == ""
    with np.load(files / "held.npz") as held:
        inputs, labels = held["input_0"], held["labels"]
    graph = workloads.load(out)
    (found,) = run_batch(graph, {graph.inputs[0]: inputs[:, None]})[0].values()
    accuracy = 100 * np.mean(found.reshape(100, -1).argmax(axis=1) == labels)
    assert f"held out {accuracy:.2f} %" in told.out
    assert accuracy > 80
    assert kept.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "epoch=3"], "no setting is named 'epoch'; did you mean 'epochs'?"),
        (["--set", "epochs"], "--set epochs: write NAME=VALUE, as in --set epochs=40"),
        (["--set", "epochs=many"], "--set epochs=many: must be int; found 'many'"),
        (["--set", "ranges=lsq"], "training: ranges must be one of ema, one_shot, learned"),
        (["--weights", "9"], "--weights 9: must be an integer from 0 to 8"),
        (["--weights", "1"], "training: weights must be 2 to 8 bits"),
        (["-o", "o.tflite"], "-o o.tflite: trained networks are written as .onnx"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    given = [str(files / "m.onnx"), "--data", str(files / "train.npz")]
    out = [] if "-o" in more else ["-o", str(files / "o.onnx")]
    assert bitlane("train", *given, *out, *more) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (files / "o.onnx").exists()
