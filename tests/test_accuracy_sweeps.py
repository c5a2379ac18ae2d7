"""Accuracy as a column of sweeps: memoised, kept with a run, an objective, a constraint."""

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
from analysis import dry_run, scoring
from analysis.accuracy import METRICS, Accuracies, _decides, accuracy, execute_all
from analysis.labelled import LabelledSet, load_labelled
from analysis.scoring import evaluate
from analysis.spec import Workload
from analysis.store import open_store
from analysis.sweeps import Sweep, run
from simulator.errors import BadConfig, BadFile, RunFolderBusy, Unsupported
from simulator.graph import Graph
from simulator.numeric.datapath import Datapath
from tests.labelled_digits import few, spec
from workloads.zoo import digits


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


@pytest.fixture(scope="module")
def data(graph: Graph) -> LabelledSet:
    return load_labelled(graph, "zoo:digits")


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
