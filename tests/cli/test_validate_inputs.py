"""`bitlane validate` draws inputs for any model: integers, reals, codes carried as reals."""

import json
from pathlib import Path

import numpy as np
import pytest

import workloads
from analysis.arrays import drawn_from, random_inputs
from tests.cli.command import Run
from tests.fuzz.seeds import seeds

pytestmark = pytest.mark.usefixtures("workspace")
WAYS = {
    "qlinear.onnx": "standard normal",
    "fake_quantized.onnx": "standard normal",
    "reals.onnx": "standard normal",
    "qonnx.onnx": "standard normal",
    "dynamic.onnx": "standard normal",
    "pulp.onnx": "codes -128 to 127",
    "conv_2d_0.tflite": "uniform",
}


@pytest.mark.parametrize(("name", "way"), WAYS.items())
def test_every_kind_of_input_is_drawn(name: str, way: str, bitlane: Run, tmp_path: Path) -> None:
    path, out = tmp_path / name, tmp_path / "d.json"
    path.write_bytes(seeds()[name])
    arguments = ("validate", path, "--hw", "cortex_m4", "--samples", "2", "--seed", "3")
    outcome = bitlane(*arguments, "--set", "datapath.accumulator.bits=64", "--json", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"2 samples ({way}, seed 3)" in outcome.out
    assert json.loads(out.read_text(encoding="utf-8"))["samples"] == 2


def test_the_draws(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(seeds()["reals.onnx"])
    graph = workloads.load(path)
    assert drawn_from(graph) == "standard normal"
    rng = np.random.default_rng(5)
    drawn = np.concatenate([random_inputs(graph, rng)["x"].reshape(-1) for _ in range(200)])
    assert drawn.dtype == np.float32
    # The mean of 9600 standard normal values is within four of its standard deviations.
    assert abs(drawn.mean()) < 4 / 9600**0.5
    assert drawn.std() == pytest.approx(1, abs=0.04)
    again = random_inputs(graph, np.random.default_rng(5))["x"]
    assert (again.reshape(-1) == drawn[: again.size]).all()


def test_every_shared_float_input_model_is_validated(bitlane: Run, shared: Path) -> None:
    """On a machine wide enough; no model lacks inputs any more."""
    count = 0
    for folder in ("onnx", "qonnx", "deeploy_int"):
        path = sorted((shared / "models" / folder).glob("*.onnx"))[0]
        outcome = bitlane("validate", path, "--hw", "cortex_m4", "--samples", "1")
        assert (outcome.code, outcome.err) == (0, "")
        count += 1
    assert count == 3
