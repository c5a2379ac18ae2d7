"""The systolic model: closed forms by hand, every fold by an oracle, SCALE-Sim's own figures."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.designs import evaluate_designs
from simulator.machines.actions import ACTIONS, COMPUTE_CYCLES
from simulator.machines.base import Machine
from simulator.machines.folds import OFMAP_TOO_SMALL
from simulator.machines.systolic import layer_cost
from tests.machines.folds_oracle import Array, best
from tests.machines.works import OPERATORS, conv, cost, gemm, machine

FLOWS = ("weight_stationary", "output_stationary", "input_stationary")


def small(dataflow: str, timing: str = "physical", **changes: Any) -> Machine:
    base: dict[str, Any] = {
        "array__rows": 4,
        "array__cols": 3,
        "array__dataflow": dataflow,
        "timing": timing,
    }
    return machine("systolic_16x16", **{**base, **changes})


# M = 10, N = 5, K = 6 on 4 x 3: two row folds and two column folds where K and N are held.
@pytest.mark.parametrize(
    ("dataflow", "timing", "cycles"),
    [
        # Four folds of 2 R + C + T - 2 = 8 + 3 + 10 - 2.
        ("weight_stationary", "scalesim", 4 * 19),
        # 2 r + T + c - 2 for (r, c) in (4, 3), (2, 3), (4, 2), (2, 2).
        ("weight_stationary", "physical", 19 + 15 + 18 + 14),
        # ceil(10/4) ceil(5/3) folds of R + C + T - 2 = 4 + 3 + 6 - 2.
        ("output_stationary", "scalesim", 6 * 11),
        # T + 2 r + c - 2 for r in 4, 4, 2 and c in 3, 2.
        ("output_stationary", "physical", 15 + 14 + 15 + 14 + 11 + 10),
        # ceil(6/4) ceil(10/3) folds of 2 R + C + T - 2 = 8 + 3 + 5 - 2.
        ("input_stationary", "scalesim", 8 * 14),
        # 2 r + T + c - 2 for r in 4, 2 and c in 3, 3, 3, 1.
        ("input_stationary", "physical", 3 * (14 + 10) + 12 + 8),
    ],
)
def test_cycles_by_hand(dataflow: str, timing: str, cycles: int) -> None:
    counted = cost(small(dataflow, timing), gemm(10, 5, 6))
    assert counted["compute_cycles"] == cycles
    assert counted["macs"] == 10 * 5 * 6


def test_traffic_by_hand() -> None:
    # Weight stationary, 2 row folds, 2 column folds, one tile; 8-bit operands, 32-bit sums.
    counted = cost(small("weight_stationary"), gemm(10, 5, 6))
    assert counted["ifmap_sram_read"] == 2 * 10 * 6
    assert counted["ifmap_sram_write"] == 10 * 6
    assert counted["weight_sram_read"] == counted["weight_sram_write"] == 5 * 6
    # The first row fold writes 50 sums, the second reads them; 50 results come and go.
    assert counted["ofmap_sram_write"] == 50 * 4 + 50
    assert counted["ofmap_sram_read"] == 50 * 4 + 50
    assert (counted["dram_read"], counted["dram_write"]) == (60 + 30, 50)
    # A MAC passes one activation on and keeps one sum; folds of 4 and 2 rows load 5 columns of
    # weights, each past the rows above its own.
    assert counted["register_bytes"] == 300 * (1 + 4) + 5 * (4 + 3 + 2 + 1) + 5 * (2 + 1)


def test_each_group_is_a_product_of_its_own() -> None:
    # Depthwise: 24 products of [64, 9] x [9, 1]; one column of the array works.
    counted = cost(machine("systolic_16x16"), conv((8, 8), 1, (3, 3), 1, groups=24))
    assert counted["compute_cycles"] == 24 * (9 + 64 + 9 + 1 - 2)
    assert counted["macs"] == 24 * 64 * 9
    assert counted["ifmap_sram_read"] == 24 * 64 * 9


def test_partial_sums_tile_the_stream() -> None:
    # Half of 192 bytes holds 8 rows of 3 sums of 32 bits: 10 pixels run in two tiles.
    tiled = cost(small("weight_stationary", memory__ofmap_sram__bytes=192), gemm(10, 3, 6))
    assert tiled["compute_cycles"] == 2 * ((4 + 5 + 5) + (2 + 5 + 3))
    assert tiled["weight_sram_read"] == 2 * 18
    # Of 20 bytes, one row of two sums: three columns run as two and one.
    narrow = cost(small("weight_stationary", memory__ofmap_sram__bytes=20), gemm(1, 3, 6))
    assert narrow["compute_cycles"] == (4 + 1 + 4) + (2 + 1 + 2) + (4 + 1 + 3) + (2 + 1 + 1)
    # One row fold leaves no partial sums, so nothing is tiled.
    whole = cost(small("weight_stationary", memory__ofmap_sram__bytes=192), gemm(10, 3, 4))
    assert whole["compute_cycles"] == 4 + 10 + 5
    # SCALE-Sim has no limit.
    free = cost(small("weight_stationary", "scalesim", memory__ofmap_sram__bytes=8), gemm(10, 3, 6))
    assert free["compute_cycles"] == 2 * 19


def test_dram_traffic_takes_the_better_order() -> None:
    work = gemm(100, 40, 30)  # 3000 bytes in, 1200 of weights, 4000 out
    rooms = {"memory__ifmap_sram__bytes": 2000, "memory__weight_sram__bytes": 960}
    # Half of 960 bytes holds 16 filters of 30 taps, half of 2000 bytes 33 windows. The weights of
    # a column fold stay: 3 x 3000 + 1200. Some windows stay: 3000 + 4 x 1200.
    both_small = cost(machine("systolic_16x16", **rooms), work)
    assert both_small["dram_read"] == 3000 + 4 * 1200
    # Where all inputs stay, each column fold passes them once.
    rooms["memory__ifmap_sram__bytes"] = 6000
    assert cost(machine("systolic_16x16", **rooms), work)["dram_read"] == 4200
    # Where no column fold stays, four tiles of windows read the weights, or fewer columns work.
    rooms |= {"memory__ifmap_sram__bytes": 2000, "memory__weight_sram__bytes": 400}
    assert cost(machine("systolic_16x16", **rooms), work)["dram_read"] == 3000 + 4 * 1200


def test_transfers_hide_behind_work_and_the_rest_stalls() -> None:
    work, slow = gemm(16, 16, 16), {"memory__dram__bytes_per_cycle": 0.5}
    counted = cost(machine("systolic_16x16", **slow), work)
    compute = 16 + 16 + 16 + 16 - 2
    # First one filter and one window of 16 taps, then the other operands and 256 outputs.
    prologue, transfers = 32 * 2, 768 * 2
    assert counted["compute_cycles"] == compute
    assert counted["overhead_cycles"] == 64 + prologue
    assert counted["stall_cycles"] == transfers - prologue - compute
    fast = cost(machine("systolic_16x16", memory__dram__bytes_per_cycle=2**30), work)
    assert (fast["stall_cycles"], fast["overhead_cycles"]) == (0, 64 + 1)


def test_dot_width_takes_several_taps_a_cycle() -> None:
    wide = machine("systolic_16x16", datapath__dot_width=4)
    counted = cost(wide, gemm(10, 5, 63))
    assert counted["compute_cycles"] == 16 + 10 + 16 + 5 - 2
    assert counted["accumulations"] == 10 * 5 * 16
    assert counted["tree_additions"] == 10 * 5 * (63 - 16)
    assert wide.peak_macs_per_cycle == 16 * 16 * 4


def test_vector_unit() -> None:
    counted = cost(machine("systolic_16x16", vector__lanes=4), gemm(1, 1, 1))
    assert counted["unit"] == 0
    added = cost(machine("systolic_16x16", vector__lanes=4), OPERATORS["add"])
    assert added["unit"] == 1
    assert added["compute_cycles"] == (256 + 768) // 4
    assert (added["dram_read"], added["dram_write"]) == (512, 256)


def test_refusals() -> None:
    assert cost(machine("systolic_16x16", datapath__weight_bits=4), gemm(2, 2, 2))["refusal"] == 1
    narrow = machine("systolic_16x16", datapath__activation_bits=4)
    assert cost(narrow, gemm(2, 2, 2))["refusal"] == 2
    tiny = small("weight_stationary", memory__ofmap_sram__bytes=7)
    assert cost(tiny, gemm(10, 5, 6))["refusal"] == OFMAP_TOO_SMALL
    # Narrowing stores and moves fewer bits.
    four = {"datapath__weight_bits": 4, "datapath__activation_bits": 4, "datapath__narrow": True}
    counted = cost(machine("systolic_16x16", **four), gemm(10, 5, 6))
    assert (counted["dram_read"], counted["dram_write"]) == ((60 + 30) // 2, 25)


@given(
    shape=st.tuples(st.integers(1, 19), st.integers(1, 11), st.integers(1, 30)),
    sides=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    dataflow=st.sampled_from(FLOWS),
    rates=st.tuples(*[st.integers(1, 80)] * 4),
    srams=st.tuples(*[st.integers(16, 400)] * 3),
    widths=st.tuples(st.integers(1, 8), st.integers(1, 8), st.sampled_from([4, 8, 32])),
    accumulator_bits=st.integers(8, 40),
    dot_width=st.integers(1, 3),
)
@settings(max_examples=200, deadline=None)
def test_every_mapping_fold_by_fold(
    shape: tuple[int, int, int],
    sides: tuple[int, int],
    dataflow: str,
    rates: tuple[int, int, int, int],
    srams: tuple[int, int, int],
    widths: tuple[int, int, int],
    accumulator_bits: int,
    dot_width: int,
) -> None:
    names = ("ifmap_sram", "weight_sram", "ofmap_sram")
    fields: dict[str, float] = {
        f"memory__{n}__bytes": size for n, size in zip(names, srams, strict=True)
    }
    levels = zip((*names, "dram"), rates, strict=True)
    fields |= {f"memory__{n}__bytes_per_cycle": rate / 8 for n, rate in levels}
    target = machine(
        "systolic_16x16",
        array__rows=sides[0],
        array__cols=sides[1],
        array__dataflow=dataflow,
        datapath__dot_width=dot_width,
        datapath__accumulator__bits=accumulator_bits,
        **fields,
    )
    bits = dict(zip(("weight_bits", "activation_bits", "output_bits"), widths, strict=True))
    counted = cost(target, gemm(*shape, **bits))
    halves = (srams[0] * 4, srams[1] * 4, srams[2] * 4)
    array = Array(*sides, dataflow, halves, rates, accumulator_bits, dot_width)
    expected = best(array, *shape, widths)
    assert expected is not None
    dispatch = 64
    assert counted["cycles"] - dispatch == expected.cycles
    results = shape[0] * shape[1] * widths[2]
    assert counted["dram_read"] == -(-expected.moved // 8)
    assert counted["dram_write"] == -(-results // 8)


def test_scalesim_compute_cycles(shared: Path) -> None:
    names = {"ws": FLOWS[0], "os": FLOWS[1], "is": FLOWS[2]}
    machines: dict[tuple[str, str, str], Any] = {}
    text = (shared / "reference/peers/scalesim_public.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    differing = []
    for row in rows:
        key = (row["array_rows"], row["array_cols"], row["dataflow"])
        if key not in machines:
            machines[key] = machine(
                "scalesim_compatible",
                array__rows=int(key[0]),
                array__cols=int(key[1]),
                array__dataflow=names[key[2]],
            ).row()
        actions = np.zeros(ACTIONS, np.int64)
        layer_cost(gemm(int(row["M"]), int(row["N"]), int(row["K"])).row(), machines[key], actions)
        if actions[COMPUTE_CYCLES] != int(row["compute_cycles"]):
            differing.append(row)
    assert len(rows) > 250
    assert differing == []


def test_a_refused_design_leaves_the_others_alone() -> None:
    works = [gemm(4, 4, 4), gemm(4, 4, 4, weight_bits=16)]
    good, bad = machine("cortex_m4"), machine("systolic_16x16")
    result = evaluate_designs(works, [bad, good, bad])
    assert result.refused.tolist() == [True, False, True]
    assert result.totals[0].tolist() == [-1] * 7 + [1, 1]
    assert np.isnan(result.latency_s[[0, 2]]).all()
    assert result.totals[1].tolist() == evaluate_designs(works, [good]).totals[0].tolist()
