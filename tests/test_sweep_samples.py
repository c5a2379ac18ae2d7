"""Sampled points of a sweep are the estimate of that design's machine, exactly, on every kind."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from analysis.spec import SweepSpec
from analysis.sweeps import Sweep
from simulator.cost import Estimate, estimate
from simulator.designs import evaluate_rows, work_rows
from simulator.errors import Unsupported
from simulator.machine_set import Listed
from simulator.machines.actions import COMPONENT_NAMES
from simulator.machines.base import (
    CLOCK_HZ,
    DRAM_KIND,
    MULTIPLIER_BITS,
    PRICED_ALONE,
    WIRE_UM,
    Machine,
)
from simulator.machines.platform import Platform
from simulator.residency import retention_of, works_on

SAMPLES = 12
PRICES = ["horowitz_45nm", "scaled_7nm", "synthesized_45nm"]
AXES: dict[str, dict[str, list[Any]]] = {
    "systolic_16x16": {
        "technology": PRICES,
        "array.rows": [3, 16, 40],
        "clock_mhz": [100, 812.5],
        "datapath.weight_bits": [4, 8],
        "datapath.narrow": [False, True],
        "datapath.requantize": ["graph"],
        "datapath.zero_point": ["subtracted", "folded"],
        "memory.ofmap_sram.bytes": [8192, 65536],
        "memory.ofmap_sram.resident_bytes": [0, 4096],
        "memory.dram.bytes_per_cycle": [0.75, 8],
        "fusion": ["none", "elementwise"],
    },
    "hvx_1024": {
        "vector.multiply_slots": [1, 2],
        "clock_mhz": [100, 512.5],
        "technology": PRICES,
        "memory.l2.bytes": [65536, 1048576],
        "datapath.accumulator.bits": [24, 32],
        "datapath.scale_bits": [0, 40],
    },
    "cortex_m4": {
        "core.simd.int8.dot": [1, 2],
        "memory.flash.wait_states": [0, 5],
        "clock_mhz": [48, 80.5, 200],
        "technology": PRICES,
        "datapath.accumulator.bits": [32, 64],
    },
    "tpu_like": {
        "technology": ["horowitz_45nm", "scaled_7nm"],
        "clock_mhz": [100, 700],
        "mapping.objective": ["latency", "energy"],
        "mapping.orders": [200],
        "memory.2.bytes": [64, 2097152],
        "vector.lanes": [8, 32],
    },
    "systolic_and_m4": {
        "units.npu.array.rows": [4, 16],
        "units.npu.clock_mhz": [100, 400],
        "host.clock_mhz": [80, 120],
        "attach.npu.link.bytes_per_cycle": [1, 8.5],
        "attach.npu.dispatch.instructions": [10, 1000],
        "host.technology": ["horowitz_45nm", "synthesized_45nm"],
        "units.npu.technology": ["horowitz_45nm", "scaled_28nm"],
    },
}
TOTALS = ("cycles", "energy_fj", "macs", "latency_s", "area_mm2", "utilization")
JOULES = ("energy_j", "power_w", "tops_per_w")


def loaded(base: str, batch: int = 1) -> Sweep:
    fields = {"name": "s", "base": base, "workload": "zoo:digits", "axes": AXES[base]}
    return Sweep(Path(), SweepSpec.model_validate({**fields, "batch": batch}))


def alone(sweep: Sweep, machine: Machine) -> Estimate | str:
    try:
        return estimate(sweep.graph, machine, sweep.spec.batch)
    except Unsupported as error:
        return str(error)


def assert_layers(rows: pl.DataFrame, found: Estimate) -> None:
    assert rows["layer"].to_list() == list(range(len(found.layers)))
    triples = zip(rows.iter_rows(named=True), found.layers, found.energy_fj, strict=True)
    for row, layer, energy in triples:
        cycles = (layer.cycles.compute, layer.cycles.stall, layer.cycles.overhead)
        assert (row["compute"], row["stall"], row["overhead"], row["macs"]) == (*cycles, layer.macs)
        for level, traffic in layer.bytes.items():
            assert row[f"{level}_bytes"] == traffic.read + traffic.write
        for component in COMPONENT_NAMES:
            assert row[f"{component}_fj"] == energy.get(component, 0)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("base", AXES)
def test_sampled_points_are_estimates(base: str, batch: int) -> None:
    sweep = loaded(base, batch)
    spec = sweep.spec
    points, layers = sweep.chunk(0)
    assert len(points) == spec.count
    rng = random.Random(f"{base} {batch}")
    some = rng.sample(range(spec.count), min(SAMPLES, spec.count))
    ran = 0
    for point in some:
        row = points.row(point, named=True)
        machine = sweep.machine(spec.designs(point, point + 1)[0])
        found = alone(sweep, machine)
        if isinstance(found, str):
            assert row["refused"] == found
            assert row["cycles"] is row["latency_s"] is None
            continue
        ran += 1
        assert row["refused"] is None
        for name in TOTALS:
            assert row[name] == getattr(found.totals, name), name
        for name in JOULES if machine.technology.physical else ():
            assert row[name] == getattr(found.totals, name), name
        assert row["peak_macs_per_cycle"] == machine.peak_macs_per_cycle
        assert row["outer_bytes_per_cycle"] == machine.outer_bytes_per_cycle
        if not isinstance(machine, Platform):
            assert_layers(layers.filter(pl.col("point") == point), found)
    assert ran > 2


@pytest.mark.parametrize("base", [base for base in AXES if base != "systolic_and_m4"])
def test_columns_that_price_alone_leave_the_counts(base: str) -> None:
    sweep = loaded(base)
    machine = sweep.machine(sweep.spec.designs(0, 1)[0])
    (family,) = Listed([machine]).families()
    works = work_rows(works_on(sweep.graph, retention_of(machine)))
    others = np.repeat(family.rows, 1 + len(PRICED_ALONE), axis=0)
    changed = {CLOCK_HZ: 10**6, DRAM_KIND: 1, MULTIPLIER_BITS: 16, WIRE_UM: 700}
    for row, column in enumerate(PRICED_ALONE):
        others[row, column] = changed.get(column, 1 - others[row, column])
    # One at a time: neighbours that count alike would share what the first of them did.
    rows = [
        evaluate_rows(
            family.kind, works, others[i : i + 1], family.technologies, np.zeros(1, np.int64), True
        )
        for i in range(len(others))
    ]
    if base != "tpu_like":
        for found in rows:
            assert found.actions.tolist() == rows[-1].actions.tolist()
    together = evaluate_rows(
        family.kind, works, others, family.technologies, np.zeros(len(others), np.int64), True
    )
    for i, found in enumerate(rows):
        assert together.actions[i].tolist() == found.actions[0].tolist()
        assert together.energy_fj[i].tolist() == found.energy_fj[0].tolist()
        assert together.totals[i].tolist() == found.totals[0].tolist()
