"""Tables of a sweep: bounds of energy as `estimate` tells them, and every action of a layer."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import hwconfigs
import workloads
from analysis.spec import SweepSpec
from analysis.sweeps import Sweep
from analysis.tables import ACTION_COLUMNS, actions_of
from simulator.cost import Estimate, estimate

AXES: dict[str, dict[str, list[Any]]] = {
    "systolic_16x16": {
        "array.rows": [3, 16],
        "datapath.weight_bits": [4, 8],
        "technology": ["horowitz_45nm", "synthesized_45nm", "scaled_7nm", "pareto_linear"],
    },
    "hvx_1024": {"clock_mhz": [100, 512.5]},
    "cortex_m4": {"clock_mhz": [100, 200], "technology": ["mcu_boards", "scaled_28nm"]},
    "gemm_l1": {"mapping.objective": ["latency", "energy"]},
    "systolic_and_m4": {"host.clock_mhz": [50, 200], "units.npu.array.rows": [4, 16]},
}


def chunk(base: str, axes: dict[str, list[Any]], batch: int = 1) -> tuple[Any, Any]:
    known: dict[str, Any] = {"name": "s", "workload": "zoo:digits", "axes": axes}
    known["objectives"] = ("latency_s", "cycles")
    return Sweep(Path(), SweepSpec(base=base, batch=batch, **known)).chunk(0)


def estimated(base: str, axes: dict[str, list[Any]], row: dict[str, Any], batch: int) -> Estimate:
    pairs = [(axis, json.dumps(row[axis]).strip('"')) for axis in axes]
    return estimate(workloads.load("zoo:digits"), hwconfigs.load(base, pairs), batch)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("base", AXES)
def test_bounds_of_energy_are_those_of_the_estimate(base: str, batch: int) -> None:
    points, layers = chunk(base, AXES[base], batch)
    ran = points.filter(pl.col("refused").is_null())
    assert len(ran) >= 2
    for row in ran.iter_rows(named=True):
        totals = estimated(base, AXES[base], row, batch).totals
        ends = (totals.energy_fj_low, totals.energy_fj_high)
        if totals.cost is None:
            assert (row["energy_j_low"], row["energy_j_high"]) == tuple(fj * 1e-15 for fj in ends)
            assert row["energy_j_low"] <= row["energy_j"] <= row["energy_j_high"]
        else:
            assert (row["cost_low"], row["cost_high"]) == tuple(fj / 1000 for fj in ends)
            assert (row["energy_j_low"], row["energy_j_high"]) == (None, None)
    told = points.filter(pl.col("refused").is_not_null())
    assert told["energy_j_low"].null_count() == told["energy_j_high"].null_count() == len(told)
    assert set(layers["point"]) == set(ran["point"])


def test_a_bound_beyond_what_is_counted(tmp_path: Path) -> None:
    """The value fits int64 femtojoules and its high bound does not: still as `estimate` has it."""
    dear = hwconfigs.technology("pareto_linear").plain() | {"name": "dear"}
    points = [{"at": bits, "value": 1e10, "low": 1, "high": 1e12} for bits in (4, 8, 16)]
    dear["cost"]["multiply"]["points"] = points
    (tmp_path / "dear.yaml").write_text(json.dumps(dear), encoding="utf-8")
    axes: dict[str, list[Any]] = {"technology": [str(tmp_path / "dear.yaml")], "array.rows": [4, 8]}
    found, _ = chunk("systolic_16x16", axes)
    assert found["cost_high"].min() * 1000 > 2.0**63
    for row in found.iter_rows(named=True):
        totals = estimated("systolic_16x16", axes, row, 1).totals
        assert row["cost_high"] == totals.energy_fj_high / 1000
        assert row["cost_low"] == totals.energy_fj_low / 1000


@pytest.mark.parametrize("base", [base for base in AXES if base != "systolic_and_m4"])
def test_a_layer_keeps_every_action(base: str) -> None:
    points, layers = chunk(base, AXES[base])
    ran = points.filter(pl.col("refused").is_null())
    actions = actions_of(layers, len(workloads.load("zoo:digits").nodes))
    for row, own in zip(ran.iter_rows(named=True), actions, strict=True):
        found = estimated(base, AXES[base], row, 1)
        assert own.tolist() == [list(layer.actions) for layer in found.layers]


def test_a_layer_of_a_platform_keeps_those_of_its_machine() -> None:
    """Cycles are the host's; the other actions are those of the machine that the layer runs on."""
    base = "systolic_and_m4"
    points, layers = chunk(base, AXES[base])
    names = [name for name in ACTION_COLUMNS if name.startswith("action.")]
    for row in points.iter_rows(named=True):
        found = estimated(base, AXES[base], row, 1)
        table = layers.filter(pl.col("point") == row["point"]).select(names)
        rows = [tuple(layer.actions[ACTION_COLUMNS[n]] for n in names) for layer in found.layers]
        assert table.rows() == rows
