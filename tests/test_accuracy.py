"""Accuracy, SQNR and overflow rate: against counts by other code; kept once an arithmetic."""

import copyreg
import io
import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import analysis
import hwconfigs
import workloads
from analysis import demo, dry_run, scoring
from analysis.accumulators import audit
from analysis.accuracy import METRICS, Accuracies, _decides, accuracy, execute_all
from analysis.damage import damage
from analysis.labelled import LabelledSet, load_labelled
from analysis.scoring import evaluate
from analysis.spec import SweepSpec, Workload
from analysis.store import open_store
from analysis.sweeps import Sweep, run
from simulator.errors import BadConfig, BadFile, IllegalValues, RunFolderBusy, Unsupported
from simulator.execute import run as run_graph
from simulator.graph import Graph
from simulator.numeric.datapath import Datapath
from tests.shared import absence, shared_folder
from workloads.quantize.sqnr import EXACT_DB, decibels
from workloads.zoo import digits


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


@pytest.fixture(scope="module")
def data(graph: Graph) -> LabelledSet:
    return load_labelled(graph, "zoo:digits")


def few(data: LabelledSet, count: int) -> LabelledSet:
    """The first samples of a set."""
    assert data.labels is not None
    inputs = {name: value[:count] for name, value in data.inputs.items()}
    return replace(data, inputs=inputs, labels=data.labels[:count], digest=f"the first {count}")


def spec(**fields: Any) -> SweepSpec:
    axes = {"array.rows": [4, 8], "datapath.accumulator.bits": [14, 17]}
    known = {"name": "s", "base": "systolic_16x16", "workload": "zoo:digits", "axes": axes}
    return SweepSpec(**{**known, **fields})


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


THOUSANDS: Final[dict[str, Any]] = {
    "array.rows": [4, 8, 12, 16, 24],
    "array.cols": [4, 8, 12, 16, 24],
    "array.dataflow": ["weight_stationary", "output_stationary"],
    "memory.dram.bytes_per_cycle": [1, 2, 4, 8],
    "datapath.scale_bits": [0, 40],
    "datapath.weight_bits": [6, 7, 8],
    "datapath.narrow": [True],
    "datapath.accumulator.bits": [12, 14, 15, 16],
}


def test_thousands_of_designs_with_twelve_datapaths_run_twelve_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(Path(), spec(axes=THOUSANDS, chunk_points=1000), "zoo:digits")
    list(run(sweep, tmp_path / "run", resume=False))
    assert sweep.spec.count == 4800
    assert sweep.accuracies is not None
    assert (sweep.accuracies.evaluated, sweep.accuracies.found) == (12, 0)
    points = open_store(tmp_path / "run").points()
    distinct = points.group_by("datapath.weight_bits", "datapath.accumulator.bits").agg(
        pl.col(*METRICS).n_unique()
    )
    assert len(distinct) == 12
    assert (distinct.select(METRICS) == 1).to_numpy().all()
    assert points.select(METRICS).null_count().row(0) == (0, 0, 0)

    # Gone on with, the run takes from its folder what it executed before.
    monkeypatch.setattr("analysis.accuracy.evaluate", None)
    (tmp_path / "run/points/part-00002.parquet").unlink()
    again = Sweep(Path(), spec(axes=THOUSANDS, chunk_points=1000), "zoo:digits")
    list(run(again, tmp_path / "run", resume=True))
    assert again.accuracies is not None
    assert (again.accuracies.evaluated, again.accuracies.found) == (0, 12)
    assert "0 evaluations run" in again.accuracies.summary
    assert_frame_equal(open_store(tmp_path / "run").points(), points)


class Pickler(pickle.Pickler):
    """Read-only mappings travel as dictionaries."""

    dispatch_table = copyreg.dispatch_table.copy()
    dispatch_table[MappingProxyType] = lambda shown: (dict, (dict(shown),))


def test_a_copy_of_a_sweep_takes_along_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(Path(), spec(axes=THOUSANDS, chunk_points=50), "zoo:digits")
    assert sweep.accuracies is not None
    sweep.accuracies.keep_in(tmp_path)
    execute_all(sweep)
    assert sweep.accuracies.evaluated == 12
    buffer = io.BytesIO()
    Pickler(buffer).dump(sweep)
    monkeypatch.setattr("analysis.accuracy.evaluate", None)
    copy = pickle.loads(buffer.getvalue())
    assert copy.accuracies.folder is None
    for index in (0, 40):
        assert_frame_equal(copy.chunk(index)[0], sweep.chunk(index)[0])


def test_a_column_is_what_executing_the_machine_gives(graph: Graph, data: LabelledSet) -> None:
    axes = {"array.rows": [4, 8], "datapath.weight_bits": [4, 8], "datapath.narrow": [True]}
    table = analysis.sweep(spec(axes=axes), "zoo:digits")
    for row in table.iter_rows(named=True):
        pairs = [("datapath.weight_bits", row["datapath.weight_bits"]), ("datapath.narrow", True)]
        found = accuracy(graph, data, hwconfigs.load("systolic_16x16", pairs))
        assert {n: row[n] for n in METRICS} == {n: getattr(found, n) for n in METRICS}
        assert row["accuracy_refused"] is None


def test_what_cannot_be_executed_is_null_and_says_why() -> None:
    axes = {
        "datapath.accumulator.overflow": ["saturate", "wrap"],
        "datapath.accumulator.bits": [14, 32],
        "datapath.weight_bits": [8],
        "datapath.activation_bits": [8],
    }
    table = analysis.sweep(spec(base="eyeriss_like", axes=axes), "zoo:digits")
    assert table["accuracy"].is_null().to_list() == [True, False, False, False]
    assert table["accuracy_refused"].is_null().to_list() == [False, True, True, True]
    assert "they depend on an order of products" in table["accuracy_refused"][0]
    assert table["refused"].null_count() == 4


def test_a_design_that_is_refused_is_not_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.accuracy.evaluate", None)
    table = analysis.sweep(spec(axes={"datapath.weight_bits": [3, 4]}), "zoo:digits")
    assert table["refused"].null_count() == 0
    assert table.select(METRICS).null_count().row(0) == (2, 2, 2)


def test_a_platform_has_the_accuracy_of_the_units_its_nodes_run_on() -> None:
    axes = {"units.npu.datapath.accumulator.bits": [14, 32]}
    table = analysis.sweep(spec(base="systolic_and_m4", axes=axes), "zoo:digits")
    narrow, wide = table["accuracy"].to_list()
    plain = hwconfigs.load("systolic_16x16", [("datapath.accumulator.bits", 14)])
    assert narrow == accuracy("zoo:digits", "zoo:digits", plain).accuracy
    assert wide == 358 / 360 != narrow


@pytest.mark.parametrize("damage_of", ["{", "[]", '{"schema": "bitlane.accuracy/1"}', "null"])
def test_a_damaged_file_is_made_again(
    graph: Graph, data: LabelledSet, tmp_path: Path, damage_of: str
) -> None:
    machine = hwconfigs.load("systolic_16x16", [("datapath.accumulator.bits", 16)])
    found = []
    for _ in range(2):
        kept = Accuracies(graph, few(data, 5), "model")
        kept.keep_in(tmp_path)
        found.append((kept.of(machine), kept.evaluated, kept.found))
        (path,) = (tmp_path / "accuracy").iterdir()
        json.loads(path.read_text(encoding="utf-8"))
        path.write_text(damage_of, encoding="utf-8")
    assert found[0] == found[1]
    assert found[0][1:] == (1, 0)


def test_another_model_or_set_is_another_file(
    graph: Graph, data: LabelledSet, tmp_path: Path
) -> None:
    machine = hwconfigs.load("systolic_16x16")
    sets = ((few(data, 5), "a"), (few(data, 4), "a"), (few(data, 5), "b"), (few(data, 5), "a"))
    found = []
    for some, model in sets:
        kept = Accuracies(graph, some, model)
        kept.keep_in(tmp_path)
        kept.of(machine)
        found.append(kept.found)
    assert found == [0, 0, 0, 1]
    assert len(list((tmp_path / "accuracy").iterdir())) == 3


def test_a_run_is_not_gone_on_with_on_other_data(tmp_path: Path) -> None:
    images, labels = digits.heldout()
    np.savez(tmp_path / "some.npz", input_0=images[:9], labels=labels[:9])
    list(run(Sweep(Path(), spec(), "zoo:digits"), tmp_path / "run", resume=False))
    for other in (Sweep(Path(), spec(), tmp_path / "some.npz"), Sweep(Path(), spec())):
        with pytest.raises(RunFolderBusy, match="another"):
            list(run(other, tmp_path / "run", resume=True))


def test_the_set_may_stand_in_the_spec_beside_which_it_lies(tmp_path: Path) -> None:
    images, labels = digits.heldout()
    np.savez(tmp_path / "some.npz", input_0=images[:20], labels=labels[:20])
    known = spec().model_dump(mode="json") | {"data": "some.npz"}
    (tmp_path / "s.yaml").write_text(json.dumps(known), encoding="utf-8")
    table = analysis.sweep(tmp_path / "s.yaml")
    assert_frame_equal(table, analysis.sweep(spec(), tmp_path / "some.npz"))
    (tmp_path / "s.yaml").write_text(json.dumps(known | {"data": "no.npz"}), encoding="utf-8")
    with pytest.raises(BadFile, match=r"s\.yaml:1: data: no\.npz: no such file"):
        analysis.sweep(tmp_path / "s.yaml")


def test_memory_is_that_of_the_set(
    graph: Graph, data: LabelledSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tally of a block is all that is kept of its samples, whatever the block."""
    path = Datapath(accumulator_bits=16)
    whole = evaluate(graph, few(data, 70), path)
    monkeypatch.setattr(scoring, "BLOCK", 7)
    other = evaluate(graph, few(data, 70), path)
    assert other.sqnr_db == pytest.approx(whole.sqnr_db, rel=1e-12)
    assert replace(other, sqnr_db=None) == replace(whole, sqnr_db=None)


def test_networks_of_shapes_alone_cannot_be_executed() -> None:
    with pytest.raises(Unsupported, match=r"^data: zoo:resnet50_v1\.5: a topology holds shapes"):
        Sweep(Path(), spec(workload="zoo:resnet50_v1.5"), "zoo:digits")


@pytest.mark.parametrize("fields", [{"objectives": ("accuracy", "energy_j")},
                                    {"constraints": ("overflow_rate <= 0.1%",)}])  # fmt: skip
def test_a_metric_that_needs_data_is_refused_without(fields: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match=r"is measured on labelled data, .* name it by data: or"):
        Sweep(Path(), spec(**fields))
    assert Sweep(Path(), spec(**fields), "zoo:digits").accuracies is not None


def test_accuracy_is_maximised_and_constrained() -> None:
    axes = {"datapath.weight_bits": [3, 4, 6, 8], "datapath.narrow": [True]}
    asked = {"objectives": ("accuracy", "energy_j"), "constraints": ("accuracy >= 90%",)}
    table = analysis.sweep(spec(axes=axes, **asked), "zoo:digits")
    assert table["outside"].is_null().to_list() == [False, True, True, True]
    front = analysis.pareto(table, ["accuracy", "energy_j"])
    energy, right = table["energy_j"].to_list(), table["accuracy"].to_list()
    better = [
        not any(energy[j] < energy[i] and right[j] >= right[i] for j in range(4)) for i in range(4)
    ]
    assert table.filter(better)["point"].to_list() == front["point"].to_list()
    assert front["accuracy"].max() == max(right)


def test_a_design_without_an_accuracy_breaks_a_constraint_on_it() -> None:
    axes = {"datapath.accumulator.bits": [14, 32], "datapath.accumulator.overflow": ["trap"]}
    asked = {"objectives": ("accuracy", "energy_j"), "constraints": ("accuracy >= 1%",)}
    table = analysis.sweep(spec(axes=axes, **asked), "zoo:digits")
    assert table["accuracy"].is_null().to_list() == [True, False]
    assert table["outside"].is_null().to_list() == [False, True]


def test_one_network_has_a_labelled_set() -> None:
    mix = [Workload(model="zoo:digits"), Workload(model="zoo:resnet50_v1.5")]
    with pytest.raises(BadConfig, match=r"^data: a labelled set is of one network"):
        Sweep(Path(), spec(workload=None, workloads=mix), "zoo:digits")


def test_a_dry_run_counts_and_times_the_executions(
    graph: Graph, data: LabelledSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"objectives": ("accuracy", "energy_j"), "constraints": ("accuracy >= 1%",)}
    sweep = Sweep(Path(), spec(axes=THOUSANDS, **asked), "zoo:digits")
    made = dry_run.plan(sweep)
    assert made.distinct["arithmetic"] == 12
    assert made.seconds > made.accuracy_s > 0
    assert sweep.accuracies is not None
    assert sweep.accuracies.evaluated <= dry_run.EXECUTED
    assert "accuracy: 12 evaluations at most" in dry_run.text_of(made)
    assert dry_run.plan(Sweep(Path(), spec(axes=THOUSANDS))).accuracy_s == 0


def test_the_axes_that_decide_an_arithmetic() -> None:
    decides = ("base", "model", "host", "units.npu", "datapath.weight_bits",
               "host.datapath.narrow", "units.npu.datapath.accumulator.bits",
               "datapath.layers.first.weight_bits")  # fmt: skip
    for axis in decides:
        assert _decides(axis)
    for axis in ("array.rows", "units.npu.array.rows", "attach.npu.operators", "clock_mhz",
                 "host.clock_mhz", "technology", "memory.dram.bytes_per_cycle"):  # fmt: skip
        assert not _decides(axis)
