"""docs/lq_nets.md: its example runs, and its facts are the code's."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")

from tests.ops.onnx_runtime import model, node
from tests.test_float_onnx import reals
from workloads.quantize.lq import DECAY, RIDGE
from workloads.train.lq_network import CALIBRATION
from workloads.train.lq_settings import LqSettings

PAGE = (Path(__file__).parents[2] / "docs/lq_nets.md").read_text(encoding="utf-8")


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three layers; classes by the largest of three inputs."""
    rng, draw = Random(0), np.random.default_rng(0)
    constants: dict[str, Any] = {}
    nodes, x = [], "x"
    for i, (taps, units) in enumerate([(6, 16), (16, 16), (16, 3)]):
        constants[f"w{i}"] = reals(rng, (taps, units), taps)
        constants[f"b{i}"] = np.zeros(units, np.float32)
        y = "y" if i == 2 else f"h{i}"
        nodes.append(node("Gemm", [x, f"w{i}", f"b{i}"], [y]))
        x = f"r{i}"
        if i < 2:
            nodes.append(node("Relu", [y], [x]))
    data = model(nodes, {"x": ("float32", (1, 6))}, {"y": "float32"}, constants)
    (tmp_path / "net.onnx").write_bytes(data)
    rows = draw.uniform(0, 1, (256, 6)).astype(np.float32)
    np.savez(tmp_path / "train.npz", x=rows, labels=rows[:, :3].argmax(axis=1))
    monkeypatch.chdir(tmp_path)
    code = PAGE.split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/lq_nets.md", "exec"), names)
    history = names["trained"].history
    assert len(history) == 10
    assert history[-1].accuracy > 0.6
    assert history[-1].loss < history[0].loss
    assert capsys.readouterr().out.count("\n") == 11


def test_its_numbers_are_the_codes() -> None:
    assert f"v becomes {DECAY} v" in PAGE
    assert "e =\n   1e-4 for weights" in PAGE
    assert RIDGE == 1e-4
    assert f"activations of {CALIBRATION}\nsamples" in PAGE
    assert LqSettings().ends == 0
