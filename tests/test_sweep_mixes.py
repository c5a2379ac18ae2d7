"""Sweeps over several machines and networks, and by metrics of which more is better."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import analysis
import hwconfigs
import workloads
from analysis.cli import app
from analysis.constraints import parse
from analysis.dry_run import distinct, plan
from analysis.front import constrained, on_front
from analysis.grid import Ints
from analysis.report import sweep_data
from analysis.spec import SweepSpec
from analysis.store import open_store
from analysis.summary import summary
from analysis.sweep_checks import CHECKED, first_designs
from analysis.sweeps import Sweep, run
from simulator.cost import Estimate, estimate
from simulator.errors import RunFolderBusy

TOPOLOGY = "Layer,M,N,K,\nfirst,12,3,9,\nsecond,400,64,90,\n"


def made(folder: Path, **fields: Any) -> SweepSpec:
    (folder / "small.csv").write_text(TOPOLOGY, encoding="utf-8")
    known = {"name": "s", "base": "systolic_16x16", "axes": {"clock_mhz": [100, 400]}}
    if "workloads" not in fields:
        known["workload"] = "zoo:digits"
    return SweepSpec.model_validate({**known, **fields})


def estimated(model: str, base: str, changes: dict[str, Any]) -> Estimate:
    pairs = [(path, value) for path, value in changes.items() if value is not None]
    return estimate(workloads.load(model), hwconfigs.load(base, pairs), 1)


BASES = ["systolic_16x16", "cortex_m4", "tpu_like"]
BY_BASE = {
    "clock_mhz": [100, 400],
    "array.rows": {"values": [4, 8], "when": {"base": "systolic_16x16"}},
    "core.simd.int8.dot": {"values": [1, 2], "when": {"base": "cortex_m4"}},
}


@pytest.mark.parametrize("size", [2, 4096])
def test_each_design_of_several_machines_is_its_estimate(tmp_path: Path, size: int) -> None:
    spec = made(tmp_path, base=BASES, axes=BY_BASE, chunk_points=size)
    sweep = Sweep(tmp_path / "s.yaml", spec)
    list(run(sweep, tmp_path / "out", resume=False))
    store = open_store(tmp_path / "out")
    points, layers = store.points(), store.layers()
    assert points["base"].to_list() == [*(n for n in BASES[:2] for _ in range(4)), *BASES[2:] * 2]
    assert points["array.rows"].null_count() == 6
    for row in points.iter_rows(named=True):
        changes = {path: row[path] for path in BY_BASE}
        found = estimated("zoo:digits", row["base"], changes)
        for name in ("cycles", "energy_fj", "latency_s", "energy_j", "area_mm2", "utilization"):
            assert row[name] == getattr(found.totals, name)
        assert row["edp"] == row["energy_j"] * row["latency_s"]
        mine = layers.filter(pl.col("point") == row["point"])
        assert mine["macs"].to_list() == [layer.macs for layer in found.layers]
        for level in found.layers[0].bytes:
            moved = [layer.bytes[level].read + layer.bytes[level].write for layer in found.layers]
            assert mine[f"{level}_bytes"].to_list() == moved
        assert mine["outer_bytes"].to_list() == moved
    data = sweep_data(store)
    assert {point.machine for point in data.points} == set(BASES)
    assert data.points[-1].config["clock_mhz"] == 400
    for point in data.points:
        assert point.layers is not None
        mine = layers.filter(pl.col("point") == point.id)
        assert list(point.layers.dram_bytes) == mine["outer_bytes"].to_list()


def test_a_mix_of_networks_is_the_weighted_sum(tmp_path: Path) -> None:
    mix = [{"model": "zoo:digits", "weight": 3}, {"model": "small.csv", "weight": 0.5, "name": "t"}]
    spec = made(tmp_path, workloads=mix, axes={"array.rows": [4, 16]})
    sweep = Sweep(tmp_path / "s.yaml", spec)
    points, layers = sweep.chunk(0)
    for row in points.iter_rows(named=True):
        a, b = (
            estimated(model, "systolic_16x16", {"array.rows": row["array.rows"]})
            for model in ("zoo:digits", str(tmp_path / "small.csv"))
        )
        for name in ("latency_s", "energy_j", "cycles", "macs", "energy_fj"):
            one, other = getattr(a.totals, name), getattr(b.totals, name)
            assert row[name] == pytest.approx(3 * one + 0.5 * other, rel=1e-14)
        assert (row["digits.latency_s"], row["t.latency_s"]) == (
            a.totals.latency_s,
            b.totals.latency_s,
        )
        assert (row["digits.cycles"], row["t.cycles"]) == (a.totals.cycles, b.totals.cycles)
        assert row["area_mm2"] == a.totals.area_mm2
        assert row["power_w"] == pytest.approx(row["energy_j"] / row["latency_s"], rel=1e-14)
        assert row["throughput_per_s"] == pytest.approx(3.5 / row["latency_s"], rel=1e-14)
        operations = 2 * (3 * a.totals.macs + 0.5 * b.totals.macs)
        assert row["tops_per_w"] == pytest.approx(operations / row["energy_j"] * 1e-12, rel=1e-14)
        peak = row["cycles"] * row["peak_macs_per_cycle"]
        assert row["utilization"] == pytest.approx(operations / 2 / peak, rel=1e-14)
        mine = layers.filter(pl.col("point") == row["point"])
        assert mine["layer"].to_list() == list(range(len(a.layers) + 2))
        assert mine["macs"].to_list() == [layer.macs for layer in (*a.layers, *b.layers)]
    names = sweep.manifest()["layers"]
    assert names[-2:] == [["t: first", "topology_layer"], ["t: second", "topology_layer"]]
    assert names[0][0].startswith("digits: ")


def test_a_design_that_one_network_is_refused_on_has_no_cost(tmp_path: Path) -> None:
    mix = [{"model": "small.csv"}, {"model": "zoo:resnet50_v1.5,bits=16"}]
    spec = made(tmp_path, workloads=mix, axes={"datapath.weight_bits": [8]})
    points, layers = Sweep(tmp_path / "s.yaml", spec).chunk(0)
    (row,) = points.iter_rows(named=True)
    assert "resnet50" in row["refused"]
    assert "16 bits" in row["refused"]
    for name in ("latency_s", "energy_j", "cycles", "throughput_per_s", "utilization", "edp"):
        assert row[name] is None
    assert row["small.latency_s"] > 0
    assert layers["layer"].to_list() == [0, 1]


TABLE = pl.DataFrame(
    {
        "point": [0, 1, 2, 3, 4],
        "latency_s": [1.0, 2.0, 3.0, 1.0, None],
        "utilization": [0.5, 0.7, 0.6, 0.4, None],
        "refused": [None, None, None, None, "why"],
    }
)


def test_more_of_some_metrics_is_better() -> None:
    assert on_front(TABLE, ["latency_s", "utilization"]).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert analysis.pareto(TABLE, ["utilization"])["point"].to_list() == [1]
    # A column that is no metric is minimised.
    assert analysis.pareto(TABLE, ["point", "utilization"])["point"].to_list() == [0, 1]


def test_constraints_bound_from_both_sides() -> None:
    limits = [parse("utilization >= 50%"), parse("latency_s < 2s")]
    assert constrained(TABLE, limits)["outside"].to_list() == [
        None,
        "latency_s must be < 2; found 2.0",
        "latency_s must be < 2; found 3.0",
        "utilization must be >= 0.5; found 0.4",
        None,
    ]
    missing = TABLE.with_columns(pl.lit(None, pl.Float64).alias("latency_s"))
    assert (
        constrained(missing, limits)["outside"].to_list()[0] == "latency_s must be < 2; it has none"
    )
    assert "outside" not in constrained(TABLE, []).columns


def test_the_summary_names_the_highest(tmp_path: Path) -> None:
    spec = made(
        tmp_path,
        axes={"array.rows": [4, 8, 16], "memory.dram.bytes_per_cycle": [1, 8]},
        objectives=("throughput_per_s", "utilization"),
        constraints=["utilization >= 0.1%", "area_mm2 <= 0.8"],
    )
    list(run(Sweep(tmp_path / "s.yaml", spec), tmp_path / "out", resume=False))
    store = open_store(tmp_path / "out")
    points = store.points().filter(pl.col("area_mm2") <= 0.8)
    text = summary(store, spec)
    best = points.sort("throughput_per_s", descending=True)["point"][0]
    assert [line.split()[:3] for line in text.splitlines() if line.startswith("highest")] == [
        ["highest", "throughput_per_s", str(best)],
        ["highest", "utilization", str(points.sort("utilization", descending=True)["point"][0])],
    ]
    assert "2 points break a constraint" in text


def test_any_other_spec_is_another_run(tmp_path: Path) -> None:
    """Each of these changes is refused on a folder that holds the first."""
    base: dict[str, Any] = {"axes": {"array.rows": [4, 8], "array.cols": [4, 8]}}
    list(run(Sweep(tmp_path / "s.yaml", made(tmp_path, **base)), tmp_path / "out", resume=False))
    two = [{"model": "zoo:digits"}, {"model": "small.csv"}]
    changes: list[dict[str, Any]] = [
        {"axes": {"size": {"zip": {"array.rows": [4, 8], "array.cols": [4, 8]}}}},
        {"axes": {**base["axes"], "array.cols": {"values": [4, 8], "when": {"array.rows": 4}}}},
        {"base": ["systolic_16x16"]},
        {"base": "scalesim_compatible"},
        {"workloads": two},
        {"workloads": [{"model": "zoo:digits", "weight": 2}]},
        {"sample": {"points": 4, "seed": 0}},
        {"sample": {"points": 4, "seed": 1}},
        {"constraints": ["area_mm2 <= 1"]},
        {"objectives": ("latency_s", "edp")},
        {"batch": 2},
    ]
    for change in changes:
        other = Sweep(tmp_path / "s.yaml", made(tmp_path, **{**base, **change}))
        with pytest.raises(RunFolderBusy, match="holds another run"):
            list(run(other, tmp_path / "out", resume=True))


def test_a_changed_technology_is_another_run(tmp_path: Path) -> None:
    text = (Path(hwconfigs.__file__).parent / "technologies/horowitz_45nm.yaml").read_text("utf-8")
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    spec = made(tmp_path, axes={"technology": ["own.yaml", "horowitz_45nm"]})
    before = Sweep(tmp_path / "s.yaml", spec).manifest()
    (tmp_path / "own.yaml").write_text(text.replace("name: ", "name: my_"), encoding="utf-8")
    after = Sweep(tmp_path / "s.yaml", spec).manifest()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"technologies", "technology_documents"}


def test_a_sampled_sweep_is_rows_of_the_whole(tmp_path: Path) -> None:
    axes = {"array.rows": [4, 8, 16], "clock_mhz": [100, 200], "array.cols": [4, 6, 8]}
    whole = analysis.sweep(made(tmp_path, axes=axes))
    some = analysis.sweep(made(tmp_path, axes=axes, sample={"points": 7, "seed": 5}))
    assert some["point"].to_list() == list(range(7))
    found = some.drop("point").join(whole, on=list(axes), how="left", maintain_order="left")
    assert found["point"].is_sorted()
    assert_frame_equal(some.drop("point"), found.select(some.columns[1:]))


def test_a_dry_run_says_what_a_run_takes(tmp_path: Path) -> None:
    axes = {
        "array.rows": {"range": {"first": 1, "last": 40}},
        "datapath.accumulator.bits": [24, 32],
        "datapath.dot_width": {"values": [1, 2], "when": {"datapath.accumulator.bits": 24}},
        "technology": ["horowitz_45nm", "scaled_7nm"],
        "clock_mhz": [100, 200, 400, 800],
    }
    sweep = Sweep(tmp_path / "s.yaml", made(tmp_path, axes=axes))
    # A clock that ticks a second at each look: the first measurement takes one, and so on.
    ticks = iter(range(1000))
    found = plan(sweep, clock=lambda: float(next(ticks)))
    assert found.points == sweep.spec.count == 40 * 3 * 2 * 4
    assert found.distinct == {"arithmetic": 3, "hardware": 160, "technology": 2}
    assert found.axes == dict(zip(axes, (40, 2, 2, 2, 4), strict=True))
    # Each measurement takes a second of five: as many more as fit in the rest at the rate so far.
    assert found.measured == 16 + 16 * 4 + 80 * 3 // 2 + 200 * 2 // 3 + 333 * 1 // 4
    assert found.points_per_second == found.measured / 5
    assert found.seconds == found.points / found.points_per_second
    list(run(sweep, tmp_path / "out", resume=False))
    written = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.parquet"))
    assert written / 3 < found.disk_bytes < written * 3


def test_a_dry_run_compiles_for_every_machine_before_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(tmp_path / "s.yaml", made(tmp_path, base=BASES, axes=BY_BASE))
    asked: list[list[int]] = []
    costed = sweep.tables

    def noted(choices: Ints, *given: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
        asked.append(choices[:, 0].tolist())
        return costed(choices, *given)

    monkeypatch.setattr(sweep, "tables", noted)
    assert plan(sweep).measured == sweep.spec.count == 10
    assert asked[0] == [0, 1, 2]
    assert [len(bases) for bases in asked] == [3, 10]


def test_of_a_long_axis_some_values_are_tried_first(tmp_path: Path) -> None:
    """A sample of 10^12 designs begins at once; the ends of each axis are among what is tried."""
    long = {"range": {"first": 1, "last": 1_000_000}}
    axes = {"clock_mhz": long, "memory.dram.bytes_per_cycle": long}
    spec = made(tmp_path, axes=axes, sample={"points": 3, "seed": 1})
    tried = list(first_designs(spec.layout))
    assert len(tried) < 2 * CHECKED
    for column in zip(*tried, strict=True):
        assert {1, 1_000_000} <= set(column)
    table = analysis.sweep(spec)
    for row in table.iter_rows(named=True):
        changes = {path: row[path] for path in axes}
        totals = estimated("zoo:digits", "systolic_16x16", changes).totals
        assert (row["latency_s"], row["energy_j"]) == (totals.latency_s, totals.energy_j)


def test_distinct_settings_of_a_sample_are_counted_one_by_one(tmp_path: Path) -> None:
    axes = {
        "datapath.weight_bits": [2, 4, 8],
        "array.rows": {"range": {"first": 1, "last": 30}},
        "datapath.activation_bits": [4, 8],
    }
    spec = made(tmp_path, axes=axes, sample={"points": 12, "seed": 1})
    designs = spec.designs()
    assert distinct(spec) == {
        "arithmetic": len({(w, a) for w, _, a in designs}),
        "hardware": len({r for _, r, _ in designs}),
        "technology": 1,
    }


def test_the_command_writes_nothing_but_what_it_is_asked_for(tmp_path: Path) -> None:
    spec = made(tmp_path).model_dump(mode="json")
    (tmp_path / "s.yaml").write_text(json.dumps(spec), encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    command = ["sweep", str(tmp_path / "s.yaml"), "--dry-run"]
    outcome = CliRunner().invoke(app, command)
    assert outcome.exit_code == 0
    assert outcome.output.startswith("s: 2 points of clock_mhz 2\n")
    assert sorted(tmp_path.iterdir()) == before
    outcome = CliRunner().invoke(app, [*command, "--json", str(tmp_path / "plan.json")])
    document = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    assert document["schema"] == "bitlane.dry_run/1"
    assert (document["points"], document["measured"], document["keeps_layers"]) == (2, 2, True)
