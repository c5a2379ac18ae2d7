"""Costs of layers with operand widths of their own, beside the same widths given otherwise."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import analysis
import hwconfigs
import simulator
import workloads
from analysis.spec import SweepSpec
from analysis.sweeps import Sweep
from simulator.cost import count, price
from simulator.errors import BadConfig, Unsupported
from simulator.graph import Graph
from simulator.layers import datapaths
from simulator.mac import MacOperator
from simulator.machines.base import Machine
from simulator.machines.datapath_schema import LayerConfig
from simulator.narrow import requantized

DIGITS = "zoo:digits"
NARROW = {"datapath.narrow": True}


def built(base: str, layers: list[dict[str, Any]], **changes: Any) -> Machine:
    pairs = [(path.replace("__", "."), value) for path, value in changes.items()]
    return hwconfigs.load(base, [*pairs, ("datapath.layers", json.dumps(layers))])


def plain(base: str, **changes: Any) -> Machine:
    return hwconfigs.load(base, [(p.replace("__", "."), v) for p, v in changes.items()])


@pytest.mark.parametrize(
    "base", ["systolic_16x16", "hvx_1024", "cortex_m4", "bitfusion_16x16", "tpu_like"]
)
@pytest.mark.parametrize(("weights", "activations"), [(4, 8), (4, 4), (8, 8)])
def test_entries_that_repeat_the_datapath_change_nothing(
    base: str, weights: int, activations: int
) -> None:
    graph = workloads.load(DIGITS)
    widths = {"weight_bits": weights, "activation_bits": activations}
    changes = {f"datapath.{name}": bits for name, bits in widths.items()} | NARROW
    same = [{"layer": layer, **widths} for layer in ("first", "last")]
    one, other = (
        simulator.estimate(graph, machine).to_json_dict()
        for machine in (plain(base, **changes), built(base, same, **changes))
    )
    assert other.pop("notes")[-1] == (
        "layers have operands of their own widths (datapath.layers); the machine is built and "
        f"priced for the widest, {weights}-bit weights and {activations}-bit activations"
    )
    one.pop("notes")
    assert other == one


def test_a_layer_is_named_in_a_path() -> None:
    base = [("datapath.layers", "[{layer: last, weight_bits: 3}]"), ("datapath.narrow", True)]
    paths = [
        ("datapath.layers.first.weight_bits", 4),
        ("datapath.layers.last.accumulator.bits", 24),
        ("datapath.layers.first.activation_bits", 5),
        ("datapath.layers.0.activation_bits", 6),
        ("datapath.layers.rest.weight_bits", 7),
    ]
    found = hwconfigs.load("systolic_16x16", [*base, *paths]).datapath
    assert found.weight_bits == 7
    given = [o.model_dump(exclude_none=True, exclude={"accumulator"}) for o in found.layers]
    assert given == [
        {"layer": "last", "weight_bits": 3, "activation_bits": 6},
        {"layer": "first", "weight_bits": 4, "activation_bits": 5},
    ]
    assert [o.accumulator and o.accumulator.bits for o in found.layers] == [24, None]
    by_name = "{first: {weight_bits: 4, activation_bits: 5}}"
    assert hwconfigs.load("systolic_16x16", [("datapath.layers", by_name)]).datapath.layers == (
        LayerConfig(layer="first", weight_bits=4, activation_bits=5),
    )
    with pytest.raises(BadConfig, match=r"^--set datapath.layers=.*: must be a mapping of fields"):
        hwconfigs.load("systolic_16x16", [("datapath.layers", "{first: 4}")])
    with pytest.raises(BadConfig, match=r"^--set datapath.layers.first=4: datapath.layers: is a"):
        hwconfigs.load("systolic_16x16", [*base, ("datapath.layers.first", 4)])
    with pytest.raises(BadConfig, match=r"weigth_bits: unknown field; did you mean 'weight_bits'"):
        hwconfigs.load("systolic_16x16", [("datapath.layers.first.weigth_bits", 4)])


def as_run(graph: Graph, machine: Machine) -> Graph:
    """The graph that the engine runs on the machine: every tensor re-quantized, values and all."""
    return requantized(graph, datapaths(machine.datapath, graph)).graph


@pytest.mark.parametrize("base", ["systolic_16x16", "bitfusion_16x16", "tpu_like"])
@pytest.mark.parametrize(
    "layers",
    [
        [{"layer": "first", "weight_bits": 4, "activation_bits": 8}],
        [{"layer": "last", "weight_bits": 2}],
        [{"layer": "first", "weight_bits": 6}, {"layer": "last", "weight_bits": 3}],
        [{"layer": "first", "activation_bits": 8}, {"layer": "last", "activation_bits": 5}],
    ],
)
def test_layers_cost_what_the_graph_that_the_engine_runs_costs(
    base: str, layers: list[dict[str, Any]]
) -> None:
    """That graph has its widths in its tensors, and is costed without `layers`."""
    graph = workloads.load(DIGITS)
    machine = built(base, layers, **NARROW)
    found = simulator.estimate(graph, machine)
    other = simulator.estimate(as_run(graph, machine), plain(base, **NARROW))
    assert found.totals == replace(other.totals, peak_memory_bytes=found.totals.peak_memory_bytes)
    assert [layer.actions for layer in found.layers] == [layer.actions for layer in other.layers]
    assert found.totals.peak_memory_bytes == other.totals.peak_memory_bytes


def weight_bytes(graph: Graph) -> list[int]:
    return [work.weight_elements for work in graph.work if work.macs]


def test_weights_leave_memory_at_the_bits_of_their_layer() -> None:
    """By hand: DRAM reads of each layer with MACs fall by half of its weights, and no others."""
    graph = workloads.load(DIGITS)
    layers = [{"layer": "first", "weight_bits": 8}, {"layer": "last", "weight_bits": 8}]
    wide = count(graph, plain("systolic_16x16"))
    machine = built("systolic_16x16", layers, **NARROW, datapath__weight_bits=4)
    found = count(graph, machine)
    products = [i for i, node in enumerate(graph.nodes) if isinstance(node.op, MacOperator)]
    for i in range(len(graph.nodes)):
        saved = wide[i].bytes["weight_sram"].write - found[i].bytes["weight_sram"].write
        inner = i in products[1:-1]
        assert saved == (graph.work[i].weight_elements // 2 if inner else 0)
    # Built for 8 bits all the same: multiplier, area, and nothing saved in a product's energy.
    assert simulator.estimate(graph, machine).totals.area_mm2 == pytest.approx(
        simulator.estimate(graph, plain("systolic_16x16")).totals.area_mm2, rel=0
    )
    multiply = [
        sum(energy["multiply"] for energy in simulator.estimate(graph, m).energy_fj)
        for m in (machine, plain("systolic_16x16"))
    ]
    assert multiply[0] == multiply[1]


def test_composed_multipliers_take_less_time_for_narrow_layers() -> None:
    graph = workloads.load(DIGITS)
    machine = built("bitfusion_16x16", [{"layer": "last", "weight_bits": 2}], **NARROW)
    one, other = count(graph, plain("bitfusion_16x16", **NARROW)), count(graph, machine)
    last = max(i for i, work in enumerate(graph.work) if work.macs)
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        assert (b.cycles.compute < a.cycles.compute) == (i == last)
    assert price(other, machine)[0] == price(one, plain("bitfusion_16x16", **NARROW))[0]


def test_shapes_alone_have_classes_of_layers_too() -> None:
    graph = workloads.load("zoo:resnet50_v1.5")
    machine = built("systolic_16x16", [{"layer": "first", "weight_bits": 4}], **NARROW)
    wide = count(graph, plain("systolic_16x16", **NARROW))
    found = count(graph, machine)
    moved = [
        a.bytes["weight_sram"].write - b.bytes["weight_sram"].write
        for a, b in zip(wide, found, strict=True)
    ]
    assert moved[0] > 0
    assert not any(moved[1:])


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        (
            [{"layer": "first", "dot_width": 4}],
            "systolic_16x16: datapath.layers: first: costs have one dot_width for all layers; "
            "leave it out here (exec, validate and golden follow it)",
        ),
        (
            [{"layer": "frist", "weight_bits": 4}],
            "digits_cnn.tflite: datapath.layers.0.layer: no node is named 'frist'; did you mean "
            "'first'?",
        ),
        (
            [{"layer": "first", "weight_bits": 4}],
            "digits_cnn.tflite, conv_2d_0 (conv_2d) on systolic_16x16: its weights have 8 bits, "
            "its datapath 4; widen its entry of datapath.layers or set datapath.narrow: true",
        ),
    ],
)
def test_what_is_not_counted_is_refused(layers: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(Unsupported) as caught:
        simulator.estimate(workloads.load(DIGITS), built("systolic_16x16", layers))
    assert str(caught.value) == told


def test_a_sweep_over_classes_of_layers_is_the_estimate_of_each() -> None:
    axes: dict[str, Any] = {
        "datapath.layers.first.weight_bits": [4, 8],
        "datapath.layers.rest.weight_bits": [2, 4, 8],
        "datapath.layers.last.activation_bits": [4, 8],
        "datapath.narrow": [True, False],
        "array.rows": [8, 16],
    }
    spec = SweepSpec(name="s", base="systolic_16x16", workload=DIGITS, axes=axes)
    sweep = Sweep(Path(), spec)
    points, layers = sweep.chunk(0)
    assert len(points) == 48
    graph = workloads.load(DIGITS)
    for row in points.iter_rows(named=True):
        machine = sweep.machine([row[axis] for axis in sweep.axes])
        mine = layers.filter(pl.col("point") == row["point"])
        if row["refused"] is not None:
            assert (row["cycles"], len(mine)) == (None, 0)
            with pytest.raises(Unsupported) as caught:
                simulator.estimate(graph, machine)
            assert str(caught.value) == row["refused"]
            continue
        found = simulator.estimate(graph, machine)
        for name in ("cycles", "energy_fj", "area_mm2", "utilization", "latency_s"):
            assert row[name] == getattr(found.totals, name)
        assert mine["compute"].to_list() == [layer.cycles.compute for layer in found.layers]
    ran = points.filter(pl.col("refused").is_null())
    assert len(ran) == 24 + 2
    assert_frame_equal(analysis.sweep(spec.model_copy(update={"chunk_points": 5})), points)
