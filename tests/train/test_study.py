"""A study that trains: what is kept of a network, and the whole study of the example."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import workloads
from analysis.study import Point, points_of, run
from analysis.study_fronts import with_fronts
from analysis.study_spec import StudySpec, study_of
from simulator.config import load_yaml
from simulator.execute import run_batch
from tests.shared import ROOT

pytest.importorskip("jax")
pytest.importorskip("sklearn")
EXAMPLE = ROOT / "examples" / "pareto_4bit.yaml"


def short(epochs: int) -> StudySpec:
    spec = study_of(load_yaml(EXAMPLE))
    assert spec.study.training is not None
    training = spec.study.training.model_copy(update={"epochs": epochs})
    return spec.model_copy(update={"study": spec.study.model_copy(update={"training": training})})


@pytest.mark.parametrize("mode", ["4 bits, ends 8", "bf16"])
def test_what_is_kept_of_a_network(tmp_path: Path, mode: str) -> None:
    from analysis.study_training import digits, train

    point = Point(0.5, mode, 0)
    outcome = train(short(3), point, tmp_path)
    assert outcome["samples"] == 360
    assert 0.2 < outcome["accuracy"] <= 1
    if mode != "bf16":
        assert outcome["differing"] == 0
        assert outcome["accuracy"] == outcome["trained_as"]
    graph = workloads.load(tmp_path / f"{point.key}.onnx")
    _, held = digits(workloads.load("zoo:resnet_digits,width=0.5,seed=0"))
    (images,) = held.inputs.values()
    (name,) = graph.inputs
    images = images.reshape(len(images), *graph.tensors[name].shape)
    found = run_batch(graph, {name: images})[0][graph.outputs[0]].reshape(360, -1).argmax(1)
    share = float((found == held.targets).mean())
    if mode == "bf16":
        # The file holds the float network; the study rounds its operands.
        assert abs(share - outcome["accuracy"]) <= 0.02
    else:
        assert share == outcome["accuracy"]
        widths = {(w.weight_bits, w.activation_bits) for w in graph.work if w.macs}
        assert widths == {(4, 4), (8, 8)}


@pytest.mark.slow
def test_the_front_is_mostly_four_bits(tmp_path: Path) -> None:
    """Checklist row 22: the 36 networks, five seeds each; ten minutes on two processors."""
    from analysis.study_training import train

    spec = study_of(load_yaml(EXAMPLE))
    list(run(EXAMPLE, spec, tmp_path / "run", train, resume=False, workers=2))
    for point in points_of(spec):
        kept = json.loads((tmp_path / "run" / "trained" / f"{point.key}.json").read_text())
        assert point.mode == "bf16" or kept["differing"] == 0
    found = with_fronts(pl.read_parquet(tmp_path / "run" / "points.parquet"))
    for law in ("linear law", "quadratic law"):
        part = found.filter(pl.col("machine") == law)
        floats = part.filter(pl.col("mode") == "bf16")
        assert floats["dominated_by_fewer_bits"].to_list() == [True] * 9
        front = part.filter(pl.col("front"))
        assert np.mean(front["bits"].to_numpy() == 4) > 0.5
        print(law, front.select("multiplier", "mode", "accuracy", "value"))
