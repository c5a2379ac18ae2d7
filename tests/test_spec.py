"""Specs of sweeps: which designs they mean, counted by hand, and every fault with file and line."""

import time
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.axes import Scalar
from analysis.grid import Grid
from analysis.spec import SweepSpec, load_spec
from analysis.sweeps import Sweep
from simulator.errors import BadConfig, BadFile

Conditions = tuple[tuple[tuple[int, frozenset[int]], ...], ...]


def listed(sizes: tuple[int, ...], conditions: Conditions) -> list[list[int]]:
    """Every design of a grid, written out axis by axis."""
    rows: list[list[int]] = [[]]
    for size, own in zip(sizes, conditions, strict=True):
        rows = [
            [*row, value]
            for row in rows
            for value in (range(size) if all(row[a] in to for a, to in own) else (-1,))
        ]
    return rows


@st.composite
def grids(draw: st.DrawFn) -> tuple[tuple[int, ...], Conditions]:
    sizes = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=5)))
    random = Random(draw(st.integers(0, 10**6)))
    conditions = []
    for place in range(len(sizes)):
        on = [axis for axis in range(place) if random.random() < 0.35]
        some = [random.sample(range(sizes[a]), random.randint(1, sizes[a])) for a in on]
        conditions.append(tuple((a, frozenset(s)) for a, s in zip(on, some, strict=True)))
    return sizes, tuple(conditions)


@settings(max_examples=300, deadline=None)
@given(grids(), st.randoms())
def test_index_arithmetic_is_the_list_of_designs(
    given_grid: tuple[tuple[int, ...], Conditions], random: Random
) -> None:
    sizes, conditions = given_grid
    grid, every = Grid(sizes, conditions), listed(sizes, conditions)
    assert grid.count == len(every)
    places = [random.randrange(len(every)) for _ in range(20)]
    assert grid.choices(np.array(places)).tolist() == [every[i] for i in places]
    assert grid.choices(np.arange(grid.count)).tolist() == every
    for axis, size in enumerate(sizes):
        for value in range(size):
            found = grid.example({axis: value})
            assert (
                (found in every and found[axis] == value)
                if found
                else all(row[axis] != value for row in every)
            )


def test_a_million_designs_in_a_second() -> None:
    some = ((0, frozenset({1, 2})),)
    deep = ((1, frozenset({0, 3})),)
    grid = Grid((4, 8, 10, 10, 10, 5, 6, 5), ((), some, (), (), (), deep, (), ()))
    # 2 x 1 + 2 x (6 + 2 x 5) ways of axes 0, 1 and 5, times the others.
    assert grid.count == (2 + 2 * (6 + 2 * 5)) * 10**3 * 30
    start = time.process_time()
    found = grid.choices(np.arange(1_000_000))
    assert time.process_time() - start < 2
    assert found.shape == (1_000_000, 8)
    assert found[[0, 999_999]].tolist() == [
        grid.choices(np.array([i]))[0].tolist() for i in (0, 999_999)
    ]


def spec(axes: dict[str, Any], **fields: Any) -> SweepSpec:
    known = {"name": "s", "base": "systolic_16x16", "workload": "zoo:digits", "axes": axes}
    return SweepSpec.model_validate({**known, **fields})


def test_an_axis_for_some_designs_alone() -> None:
    flow = "array.dataflow"
    found = spec(
        {
            flow: ["weight_stationary", "output_stationary"],
            "memory.weight_sram.bytes": {
                "log2": {"first": 1024, "last": 4096},
                "when": {flow: "weight_stationary"},
            },
            "array.rows": [4, 8],
        }
    )
    weights = [1024, 2048, 4096]
    expected: list[tuple[Scalar | None, ...]] = [
        *product(["weight_stationary"], weights, [4, 8]),
        *product(["output_stationary"], [None], [4, 8]),
    ]
    assert found.designs() == expected
    assert found.count == 8
    assert found.choices(5, 7).tolist() == [[0, 2, 1], [1, -1, 0]]


def test_fields_that_move_together() -> None:
    fours = {"first": 4, "last": 8}
    found = spec(
        {
            "side": {"zip": {"array.rows": [4, 8], "array.cols": {"log2": fours}}},
            "widths": [
                {"datapath.weight_bits": 4, "datapath.activation_bits": 8},
                {"datapath.weight_bits": 8, "datapath.activation_bits": 8},
            ],
            "vector.lanes": {"range": {"first": 1, "last": 3, "step": 2}},
        }
    )
    pairs = [(4, 4), (8, 8)]
    expected = [(*p, *w, v) for p, w, v in product(pairs, [(4, 8), (8, 8)], [1, 3])]
    assert found.designs() == expected
    assert found.sizes == (2, 2, 2)
    assert list(found.values) == [
        *("array.rows", "array.cols", "datapath.weight_bits", "datapath.activation_bits"),
        "vector.lanes",
    ]


def test_several_machines_are_an_axis_and_one_field_may_have_ranges_by_machine() -> None:
    size = "memory.weight_sram.bytes"
    found = spec(
        {
            "small": {"zip": {size: [1024, 2048]}, "when": {"base": "systolic_16x16"}},
            "large": {"zip": {size: [4096]}, "when": {"base": ["scalesim_compatible"]}},
            "clock_mhz": [100, 200],
        },
        base=["systolic_16x16", "scalesim_compatible"],
    )
    assert found.designs() == [
        *product(["systolic_16x16"], [1024, 2048], [100, 200]),
        *product(["scalesim_compatible"], [4096], [100, 200]),
    ]
    sweep = Sweep(Path(), found)
    machines = [sweep.machine(values) for values in found.designs()]
    assert [m.name for m in machines] == ["systolic_16x16"] * 4 + ["scalesim_compatible"] * 2
    assert [m.srams()["weight_sram"] for m in machines] == [1024, 1024, 2048, 2048, 4096, 4096]


def test_a_sample_is_different_designs_in_order() -> None:
    axes = {"array.rows": {"range": {"first": 1, "last": 50}}, "array.cols": [1, 2, 4, 8]}
    every = spec(axes).designs()
    drawn = {}
    for seed in (0, 1):
        found = spec(axes, sample={"points": 60, "seed": seed})
        assert found.count == 60
        drawn[seed] = found.designs()
        places = [every.index(design) for design in drawn[seed]]
        assert places == sorted(set(places))
        assert len(places) == 60
        assert found.designs(10, 20) == drawn[seed][10:20]
        assert spec(axes, sample={"points": 60, "seed": seed}).designs() == drawn[seed]
    assert drawn[0] != drawn[1]
    assert spec(axes, sample={"points": 200}).designs() == every


def test_a_sample_of_more_designs_than_a_sweep_may_have() -> None:
    sides = {"range": {"first": 1, "last": 65536}}
    found = spec({"array.rows": sides, "array.cols": sides}, sample={"points": 1000, "seed": 3})
    designs = found.designs()
    assert len(set(designs)) == 1000
    rows = [float(str(row)) for row, _ in designs]
    # The mean of 1000 uniform draws: its standard error is 65536 / sqrt(12000).
    assert abs(np.mean(rows) - 32768.5) < 5 * 65536 / np.sqrt(12000)


def test_operand_bits_by_class_of_layer() -> None:
    axes = {
        "datapath.layers.first.weight_bits": [8],
        "datapath.layers.last.weight_bits": [6, 8],
        "datapath.layers.last.activation_bits": [8],
        "datapath.layers.depthwise.weight_bits": [7],
        "datapath.layers.rest.weight_bits": [2, 4],
        "datapath.narrow": [True],
    }
    found = spec(axes)
    assert list(found.values)[4:] == ["datapath.weight_bits", "datapath.narrow"]
    assert found.layout.fields[3:] == ((), ("datapath.weight_bits",), ("datapath.narrow",))
    sweep = Sweep(Path(), found)
    for values in found.designs():
        path = sweep.machine(values).datapath
        assert path.weight_bits == values[4]
        given = [(o.layer, o.weight_bits, o.activation_bits) for o in path.layers]
        assert given == [("first", 8, None), ("last", values[1], 8), ("depthwise", 7, None)]


SWEEP = """name: s
base: systolic_16x16
workload: zoo:digits
axes:
  array.dataflow: [weight_stationary, output_stationary]
  array.rows: [4, 8]
"""
TWO = "workloads:\n  - {model: zoo:digits}\n"
FAULTS = {
    "typo": (
        SWEEP.replace("array.rows", "array.rowz"),
        "6: array.rowz: unknown field; did you mean 'rows'?",
    ),
    "range": (SWEEP.replace("[4, 8]", "[4, 0]"), "6: array.rows: must be >= 1; found 0"),
    "unknown": (
        SWEEP + "  clock_mhz: {values: [100], when: {array.dataflo: weight_stationary}}\n",
        "7: axes.clock_mhz.when.array.dataflo: no axis sets this; did you mean 'array.dataflow'?",
    ),
    "later": (
        SWEEP.replace("[4, 8]", "{values: [4, 8], when: {clock_mhz: 100}}")
        + "  clock_mhz: [100, 200]\n",
        "6: axes.array.rows.when.clock_mhz: is set by 'clock_mhz', which is no earlier axis; "
        "move it up",
    ),
    "never": (
        SWEEP + "  clock_mhz: {values: [100], when: {array.rows: 5}}\n",
        "7: axes.clock_mhz.when.array.rows: is never 5; its values are 4, 8",
    ),
    "one_is_not_true": (
        SWEEP.replace("[4, 8]", "[1, 2]")
        + "  clock_mhz: {values: [1], when: {array.rows: true}}\n",
        "7: axes.clock_mhz.when.array.rows: is never True; its values are 1, 2",
    ),
    "impossible": (
        SWEEP.replace("[4, 8]", "{values: [4, 8], when: {array.dataflow: weight_stationary}}")
        + "  clock_mhz: {values: [1], when: {array.rows: 4, array.dataflow: output_stationary}}\n",
        "7: axes.clock_mhz.when: never holds; remove the axis or a condition",
    ),
    "lengths": (
        SWEEP + "  side: {zip: {array.cols: [4, 8], vector.lanes: [1, 2, 3]}}\n",
        "7: axes.side.zip.vector.lanes: holds 3 values, array.cols holds 2; coupled fields need "
        "as many",
    ),
    "mappings": (
        SWEEP + "  side: [{array.cols: 4}, {vector.lanes: 4}]\n",
        "7: axes.side: item 1 sets vector.lanes, item 0 sets array.cols; each must set the same "
        "fields",
    ),
    "twice": (
        SWEEP + "  side: {zip: {array.rows: [4, 8]}}\n",
        "7: axes.side: sets array.rows, as 'array.rows' does; set it once, or each when: another "
        "axis has other values",
    ),
    "rest_twice": (
        SWEEP + "  datapath.weight_bits: [8]\n  datapath.layers.rest.weight_bits: [8]\n",
        "8: axes.datapath.layers.rest.weight_bits: sets datapath.weight_bits, as "
        "'datapath.weight_bits' does; set it once, or each when: another axis has other values",
    ),
    "repeats": (
        SWEEP + "  side: [{array.cols: 4}, {array.cols: 4}]\n",
        "7: axes.side: a value repeats in [{'array.cols': 4}, {'array.cols': 4}]; give each once",
    ),
    "form": (
        SWEEP + "  clock_mhz: {values: [1], range: {first: 1, last: 2}}\n",
        "7: axes.clock_mhz: must be a list of values, or one of values:, range:, log2: and zip:; "
        "found a mapping",
    ),
    "metric": (
        SWEEP + "constraints: [latency_s <= 1ms, area <= 2]\n",
        "7: constraints.1: constraint 'area <= 2': unknown metric 'area'; did you mean 'area_mm2'?",
    ),
    "mapping": (
        SWEEP + "constraints: {area_mm2: 2}\n",
        "7: constraints: must be a list of texts, as ['area_mm2 <= 2.5']; found a mapping",
    ),
    "layer": (
        SWEEP + "  datapath.layers.frist.weight_bits: [8]\n",
        "7: digits_cnn.tflite: datapath.layers: no node is named 'frist'; did you mean 'first'?",
    ),
    "kept": (
        SWEEP + "keep_layers: never\n",
        "7: keep_layers: must be true, false or auto; found never",
    ),
    "unmeasured": (
        SWEEP + "constraints: [accuracy >= 70%]\n",
        "7: constraints: 'accuracy' is measured on labelled data, and this sweep has none; name "
        "it by data: or --data",
    ),
    "weight": (
        SWEEP.replace("workload: zoo:digits\n", "workloads: [{model: zoo:digits, weight: 0}]\n"),
        "3: workloads.0.weight: must be > 0; found 0",
    ),
    "repeated": (
        SWEEP.replace("workload: zoo:digits\n", TWO + "  - {model: zoo:digits, name: again}\n"),
        "5: workloads.1.model: 'zoo:digits' repeats item 0; give it once, with its weight",
    ),
    "named_alike": (
        SWEEP.replace("workload: zoo:digits\n", TWO + "  - {model: a/digits.onnx}\n"),
        "5: workloads.1: is called 'digits', as item 0; give it another name:",
    ),
    "both": (SWEEP + TWO, "3: workload: stands beside workloads; give one of the two"),
    "neither": (
        SWEEP.replace("workload: zoo:digits\n", ""),
        "1: workload: is missing; add it at the top level",
    ),
    "no_network": (
        SWEEP.replace("workload: zoo:digits\n", TWO + "  - {model: no.onnx}\n"),
        "5: workloads.1.model: no.onnx: no such file; give a .tflite, .onnx or .csv file or "
        "zoo:NAME, such as zoo:digits",
    ),
    "sample": (
        SWEEP + "sample: {points: 5}\n",
        "7: sample.points: must be <= 4, the number of designs; found 5; take fewer or leave "
        "sample out",
    ),
    "bases": (
        SWEEP.replace("systolic_16x16", "[systolic_16x16, systolic_16x16]"),
        "2: base: a machine repeats in systolic_16x16, systolic_16x16; give each once",
    ),
    "base": (SWEEP.replace("systolic_16x16", "7"), "2: base: must be text (quote it); found 7"),
    "other_kind": (
        SWEEP.replace("systolic_16x16", "[systolic_16x16, hvx_1024]").replace(
            "array.dataflow: [weight_stationary, output_stationary]", "clock_mhz: [100]"
        ),
        "6: array: unknown field; known: calibration, clock_mhz, datapath, depth_first, dispatch, "
        "fusion, memory, model, name, source, technology, vector, wire_mm (base hvx_1024; keep an "
        "axis from it by when: {base: ...})",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_a_line_with_its_place(name: str, tmp_path: Path) -> None:
    text, told = FAULTS[name]
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises((BadConfig, BadFile)) as caught:
        Sweep(path)
    assert str(caught.value).replace(str(path), "s.yaml") == f"s.yaml:{told}"


def test_the_base_of_these_faults_has_none(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SWEEP, encoding="utf-8")
    assert load_spec(tmp_path / "s.yaml")[0].count == 4
    assert Sweep(tmp_path / "s.yaml").axes == ("array.dataflow", "array.rows")
