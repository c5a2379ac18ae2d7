"""Accuracy, SQNR and overflow rate: against counts by other code; kept once an arithmetic."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis import demo
from analysis.accumulators import audit
from analysis.accuracy import accuracy
from analysis.damage import damage
from analysis.labelled import LabelledSet, load_labelled
from analysis.scoring import evaluate
from simulator.errors import IllegalValues
from simulator.execute import run as run_graph
from simulator.graph import Graph
from simulator.numeric.datapath import Datapath
from tests.labelled_digits import few
from tests.shared import absence, shared_folder
from workloads.quantize.sqnr import EXACT_DB, decibels
from workloads.zoo import digits


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


@pytest.fixture(scope="module")
def data(graph: Graph) -> LabelledSet:
    return load_labelled(graph, "zoo:digits")


def test_digits_are_as_right_as_the_demo_counts(graph: Graph, data: LabelledSet) -> None:
    right, total = demo.accuracy(graph)
    found = evaluate(graph, data)
    assert found.accuracy == right / total
    assert (found.sqnr_db, found.overflow_rate, found.refused) == (EXACT_DB, 0, None)
    assert accuracy("zoo:digits", "zoo:digits") == found
    assert accuracy(graph, data, "cortex_m4") == found


@pytest.mark.skipif(shared_folder() is None, reason=absence())
def test_resnet8_is_as_right_as_its_makers_runtime_says() -> None:
    """LiteRT's reference kernels score 74.9 % on these images (the shared folder's FORMATS.md)."""
    folder = shared_folder()
    assert folder is not None
    model = folder / "models/tflite/mlperf_ic_resnet8_int8.tflite"
    images = folder / "data/cifar10_eval.npz"
    assert accuracy(model, images).accuracy == 0.749
    wide = accuracy(model, images, hwconfigs.load("systolic_16x16"))
    assert (wide.accuracy, wide.sqnr_db, wide.overflow_rate) == (0.749, EXACT_DB, 0)


@pytest.mark.parametrize(
    "path",
    [
        Datapath(weight_bits=4, narrow=True),
        Datapath(accumulator_bits=17),
        Datapath(accumulator_bits=15, overflow="saturate"),
    ],
)
def test_sqnr_is_that_of_the_damage_report(graph: Graph, data: LabelledSet, path: Datapath) -> None:
    some = few(data, 20)
    found = evaluate(graph, some, path)
    samples = [{graph.inputs[0]: image} for image in some.inputs[graph.inputs[0]]]
    report = damage(graph, path, samples)
    assert found.sqnr_db == pytest.approx(report[-1].sqnr_db, rel=1e-12)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("width", [1, 4])
def test_overflows_of_the_first_layer_are_the_audit_s(
    graph: Graph, data: LabelledSet, overflow: Any, width: int
) -> None:
    """Both see the same inputs there; further on the audit sees the graph's own."""
    some = few(data, 8)
    path = Datapath(dot_width=width, accumulator_bits=14, overflow=overflow)
    samples = [{graph.inputs[0]: image} for image in some.inputs[graph.inputs[0]]]
    layers = audit(graph, samples, dot_width=width, bits=14)
    first = layers[0].overflows
    assert first is not None
    found = evaluate(graph, some, path)
    counts = first.sum(axis=0).tolist()
    assert found.overflows[layers[0].node] == counts[overflow == "wrap"] > 0
    sums = sum(
        w.n * w.oy * w.ox * w.oc * w.groups * (1 + -(-w.ky * w.kx * w.ic // width))
        for w in graph.work
        if w.macs
    )
    assert found.overflow_rate == sum(found.overflows.values()) / (sums * some.count)


def test_threads_change_no_digit(graph: Graph, data: LabelledSet) -> None:
    path = Datapath(accumulator_bits=15, overflow="saturate", weight_bits=5, narrow=True)
    assert evaluate(graph, data, path, threads=1) == evaluate(graph, data, path, threads=7)


def test_a_trap_is_a_reason(graph: Graph, data: LabelledSet) -> None:
    found = evaluate(graph, data, Datapath(accumulator_bits=14, overflow="trap"))
    assert found.accuracy is found.sqnr_db is found.overflow_rate is None
    assert found.refused is not None
    assert "14-bit accumulator overflows" in found.refused


def test_references_of_the_set_take_the_place_of_the_graph_s_own(
    graph: Graph, tmp_path: Path
) -> None:
    """Real outputs and no labels: SQNR alone."""
    images, _ = digits.heldout()
    data = load_labelled(graph, "zoo:digits")
    (name,), (out,) = graph.inputs, graph.outputs
    own = [run_graph(graph, {name: v})[0][out] for v in data.inputs[name][:5]]
    real = (np.stack(own).reshape(5, 10).astype(np.float64) + 128) / 256
    np.savez(tmp_path / "a.npz", input_0=images[:5], output_0=real + 0.01)
    found = accuracy(graph, tmp_path / "a.npz")
    assert found.accuracy is None
    noise = np.square(real - (real + 0.01)).sum()
    wanted = 10 * np.log10(np.square(real + 0.01).sum() / noise)
    assert found.sqnr_db == pytest.approx(wanted)
    np.savez(tmp_path / "b.npz", input_0=images[:5], output_0=np.stack(own).reshape(5, 10))
    assert accuracy(graph, tmp_path / "b.npz").sqnr_db == EXACT_DB


def test_decibels_have_ends() -> None:
    assert decibels(100.0, 1.0) == 20
    assert decibels(1.0, 0.0) == decibels(0.0, 0.0) == decibels(1e300, 1e-300) == EXACT_DB
    assert decibels(0.0, 1.0) == decibels(1e-300, 1e300) == -EXACT_DB


def test_forms_of_an_input_are_one(graph: Graph, tmp_path: Path) -> None:
    """Codes, reals, integers within the grid; by name, by position, as x and y."""
    images, labels = digits.heldout()
    grid = graph.tensors[graph.inputs[0]].quant
    assert grid is not None
    codes = digits.quantize_input(images, grid.scale[0], grid.zero_point[0])
    forms: list[dict[str, Any]] = [
        {"input_0": codes, "labels": labels},
        {graph.inputs[0]: images.astype(np.float32), "labels": labels[:, None]},
        {"x": images, "y": labels.astype(np.int64), "classes": np.array(["0", "1"])},
        {"input_0": codes[:, None], "labels": labels},
        {"input_0": images.astype(np.float64) + 0.1 * grid.scale[0], "labels": labels},
    ]
    path = tmp_path / "set.npz"
    for form in forms:
        np.savez(path, **form)
        assert load_labelled(graph, path).digest == load_labelled(graph, "zoo:digits").digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None, "lables": np.arange(4)}, "'lables' is no input or output"),
        ({"input_0": None}, "is missing; the inputs are"),
        ({"input_1": np.zeros((4, 8, 8, 1))}, "'input_1' is no input or output"),
        ({"input_0": np.zeros((4, 8, 8), np.int8)}, r"must have shape \(N, 8, 8, 1\); found"),
        ({"input_0": np.zeros((0, 8, 8, 1), np.int8)}, "same number of samples, 1 or more"),
        ({"input_0": np.full((4, 8, 8, 1), 20)}, "holds 20 to 20, its grid goes from 0 to 17"),
        ({"input_0": np.full((4, 8, 8, 1), np.nan)}, "its grid goes from 0 to 17"),
        ({"input_0": np.zeros((4, 8, 8, 1), bool)}, "takes int8; found bool"),
        ({"labels": np.arange(3)}, "labels must be 4 integers, one a sample"),
        ({"labels": np.zeros(4)}, "labels must be 4 integers, one a sample; found float64"),
        ({"labels": np.array([0, 1, 2, 10])}, "labels must be 0 to 9"),
        ({"output_0": np.zeros((4, 9))}, "must have 4 samples of 10 values"),
        ({"output_0": np.full((4, 10), np.inf)}, "must be finite"),
        ({"probabilities": np.zeros((4, 10)), "output_0": np.zeros((4, 10))}, "a second time"),
    ],
)
def test_sets_that_mean_nothing_are_refused(
    graph: Graph, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    whole = {"input_0": np.zeros((4, 8, 8, 1), np.int8), "labels": np.arange(4)}
    path = tmp_path / "set.npz"
    np.savez(path, **{k: v for k, v in {**whole, **change}.items() if v is not None})
    with pytest.raises(IllegalValues, match=message) as caught:
        load_labelled(graph, path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
