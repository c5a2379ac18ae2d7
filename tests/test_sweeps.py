"""Sweeps: each point is the estimate of its machine bit for bit; specs; what is refused."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from pydantic import ValidationError

import analysis
import hwconfigs
import workloads
from analysis import sweeps
from analysis.report import sweep_data
from analysis.spec import Log2, Log2Axis, Range, RangeAxis, SweepSpec
from analysis.store import open_store
from analysis.sweeps import Sweep, run
from simulator.cost import Estimate, estimate
from simulator.errors import BadConfig, BadFile
from simulator.machines.actions import COMPONENT_NAMES

AXES: dict[str, dict[str, list[Any]]] = {
    "systolic_16x16": {
        "array.rows": [3, 16, 40],
        "array.dataflow": ["weight_stationary", "output_stationary"],
        "datapath.accumulator.bits": [16, 33],
        "memory.dram.bytes_per_cycle": [0.75, 8],
        "memory.weight_sram.bytes": [1000, 65536],
    },
    "hvx_1024": {"clock_mhz": [100, 512.5], "datapath.accumulator.bits": [24, 32]},
    "cortex_m4": {"core.simd.int8.dot": [1, 2], "memory.flash.wait_states": [0, 5]},
}


def spec(base: str, **fields: Any) -> SweepSpec:
    known = {"name": "s", "base": base, "workload": "zoo:digits", "axes": AXES[base]}
    return SweepSpec(**{**known, **fields})


def estimated(base: str, row: dict[str, Any], batch: int) -> Estimate:
    """The estimate of the machine of one row, its fields set as a user sets them."""
    pairs = [(axis, json.dumps(row[axis]).strip('"')) for axis in AXES[base]]
    return estimate(workloads.load("zoo:digits"), hwconfigs.load(base, pairs), batch)


@pytest.mark.parametrize("base", AXES)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_point_is_the_estimate_bit_for_bit(base: str, batch: int) -> None:
    sweep = Sweep(Path(), spec(base, batch=batch))
    points, layers = sweep.chunk(0)
    assert len(points) == sweep.spec.count
    for row in points.iter_rows(named=True):
        found = estimated(base, row, batch)
        exact = ("cycles", "energy_fj", "macs", "latency_s", "energy_j", "area_mm2", "power_w")
        rates = ("throughput_per_s", "tops_per_w", "utilization")
        for name in (*exact, *rates):
            assert row[name] == getattr(found.totals, name), name
        assert_layers(layers.filter(pl.col("point") == row["point"]), found)


def assert_layers(rows: pl.DataFrame, found: Estimate) -> None:
    assert rows["layer"].to_list() == list(range(len(found.layers)))
    for row, layer, energy in zip(
        rows.iter_rows(named=True), found.layers, found.energy_fj, strict=True
    ):
        cycles = (layer.cycles.compute, layer.cycles.stall, layer.cycles.overhead)
        assert (row["compute"], row["stall"], row["overhead"], row["macs"]) == (*cycles, layer.macs)
        for level, traffic in layer.bytes.items():
            assert row[f"{level}_bytes"] == traffic.read + traffic.write
        for component, value in energy.items():
            assert row[f"{component}_fj"] == value


@pytest.mark.parametrize("base", AXES)
def test_layers_add_up_to_totals(base: str) -> None:
    points, layers = Sweep(Path(), spec(base)).chunk(0)
    energy = [name for name in layers.columns if name.endswith("_fj")]
    assert {f"{component}_fj" for component in COMPONENT_NAMES} <= set(energy)
    sums = layers.group_by("point", maintain_order=True).agg(
        cycles=(pl.col("compute") + pl.col("stall") + pl.col("overhead")).sum(),
        energy_fj=pl.sum_horizontal(energy).sum(),
        macs=pl.col("macs").sum(),
    )
    assert_frame_equal(sums, points.select("point", "cycles", "energy_fj", "macs"))


@pytest.mark.parametrize("size", [1, 7, 48])
def test_chunks_change_nothing(size: int) -> None:
    whole = analysis.sweep(spec("systolic_16x16"))
    assert_frame_equal(analysis.sweep(spec("systolic_16x16", chunk_points=size)), whole)


def test_a_spec_in_a_file_and_in_python_are_one(tmp_path: Path) -> None:
    known = spec("cortex_m4")
    path = tmp_path / "s.yaml"
    path.write_text(json.dumps(known.model_dump(mode="json")), encoding="utf-8")
    assert_frame_equal(analysis.sweep(path), analysis.sweep(known))
    assert_frame_equal(analysis.sweep(str(path)), analysis.sweep(known))


axes = st.lists(
    st.lists(st.integers(-50, 50), min_size=1, max_size=5, unique=True)
    | st.builds(lambda a, n, s: RangeAxis(range=Range(first=a, last=a + n, step=s)),
                st.integers(-9, 9), st.integers(0, 9), st.integers(1, 4))
    | st.builds(lambda a, k: Log2Axis(log2=Log2(first=a, last=a << k)),
                st.integers(1, 9), st.integers(0, 4)),
    min_size=1,
    max_size=4,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(axes, st.integers(0, 700), st.integers(0, 50))
def test_designs_are_the_product_of_the_axes(given_axes: list[Any], first: int, size: int) -> None:
    known = spec("cortex_m4", axes={f"a{i}": axis for i, axis in enumerate(given_axes)})
    every = list(itertools.product(*known.values.values()))
    assert known.designs() == every
    assert known.count == len(every)
    assert known.designs(first, first + size) == every[first : first + size]


def test_ranges_end_where_they_say() -> None:
    known = spec(
        "cortex_m4",
        axes={
            "a": RangeAxis(range=Range(first=4, last=12, step=4)),
            "b": RangeAxis(range=Range(first=4, last=11, step=4)),
            "c": Log2Axis(log2=Log2(first=3, last=24)),
            "d": Log2Axis(log2=Log2(first=3, last=23)),
        },
    )
    assert [list(v) for v in known.values.values()] == [
        [4, 8, 12],
        [4, 8],
        [3, 6, 12, 24],
        [3, 6, 12],
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"axes": {}},
        {"axes": {"a": []}},
        {"axes": {"a": [1, 1]}},
        {"axes": {"a": [float("nan")]}},
        {"axes": {"a..b": [1]}},
        {"axes": {"a": {"range": {"first": 1, "last": 2}, "log2": {"first": 1, "last": 2}}}},
        {"axes": {"a": RangeAxis(range=Range(first=1, last=10_000_001))}},
        {"objectives": ("latency_s",)},
        {"objectives": ("latency_s", "latency_s")},
        {"batch": 0},
        {"batch": 4097},
        {"chunk_points": 0},
    ],
)
def test_specs_that_mean_nothing_are_refused_in_python_too(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec("cortex_m4", **fields)


def test_a_value_that_makes_no_machine_is_named_before_anything_runs() -> None:
    with pytest.raises(BadConfig) as caught:
        analysis.sweep(spec("cortex_m4", axes={"clock_mhz": [1, 0, -1], "core.lanes": [2]}))
    assert str(caught.value).split("\n") == [
        "axes.core.lanes: core.lanes: unknown field; known: cycles_per_instruction, issue_width, "
        "simd",
        "axes.clock_mhz: clock_mhz: must be >= 0.001; found 0",
        "axes.clock_mhz: clock_mhz: must be >= 0.001; found -1",
    ]


def test_files_that_are_not_there() -> None:
    with pytest.raises(BadFile, match=r"^workload: nowhere\.tflite: no such file"):
        analysis.sweep(spec("cortex_m4", workload="nowhere.tflite"))
    with pytest.raises(BadFile, match=r"^base: nowhere\.yaml: no such file"):
        analysis.sweep(spec("cortex_m4").model_copy(update={"base": "nowhere.yaml"}))


def test_a_refused_design_is_never_on_a_front() -> None:
    known = {"datapath.weight_bits": [4, 8], "array.rows": [4, 8]}
    table = analysis.sweep(spec("systolic_16x16", axes=known))
    assert table["refused"].is_not_null().to_list() == [True, True, False, False]
    for objectives in (["cycles", "energy_fj"], ["latency_s", "area_mm2"], ["macs"]):
        front = analysis.pareto(table, objectives)
        assert front["refused"].null_count() == len(front) > 0


def test_a_large_sweep_keeps_no_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "KEEP_LAYERS_UP_TO", 3)
    sweep = Sweep(Path(), spec("cortex_m4", chunk_points=3))
    kept = list(run(sweep, tmp_path / "run", resume=False))
    assert kept == [3, 4]
    store = open_store(tmp_path / "run")
    assert store.layers().is_empty()
    assert_frame_equal(store.points(), analysis.sweep(sweep.spec))
    # The page estimates some of the front again; of the others it has no layers.
    assert all(p.layers is None for p in sweep_data(store).points if not p.on_front)


def test_the_page_draws_the_front_of_the_table(tmp_path: Path) -> None:
    sweep = Sweep(Path(), spec("systolic_16x16"))
    list(run(sweep, tmp_path / "run", resume=False))
    store = open_store(tmp_path / "run")
    data = sweep_data(store)
    front = analysis.pareto(store.points(), list(sweep.spec.objectives))
    assert {point.id for point in data.points if point.on_front} == set(front["point"])
    layers = store.layers()
    for point in data.points:
        assert point.layers is not None
        mine = layers.filter(pl.col("point") == point.id)
        assert list(point.layers.compute) == mine["compute"].to_list()
        assert list(point.layers.dram_bytes) == mine["dram_bytes"].to_list()
        energy = sum(sum(values) for values in point.layers.energy_fj.values())
        assert energy == round(point.metrics["energy_j"] * 1e15)
        assert np.isfinite(list(point.metrics.values())).all()
