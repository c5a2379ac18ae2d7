"""Estimates: exact sums, a sweep of one, refusals in their words, compiled or not."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import hwconfigs
import simulator
import workloads
from simulator.cost import Estimate, count, evaluate_designs, price
from simulator.errors import Unsupported
from simulator.graph import Graph, Node, TensorType
from simulator.machines.actions import (
    TOTAL_CYCLES,
    TOTAL_ENERGY_FJ,
    TOTAL_MACS,
    TOTAL_NAMES,
    TOTALS,
)
from simulator.machines.base import Machine
from simulator.machines.registry import machine_from
from simulator.memory import constant_bytes, lifetimes, peak_memory_bytes
from tests.machines.works import MACHINES, OPERATORS, machine
from tests.ops.build import OneOp, tensor

ROOT = Path(__file__).resolve().parents[1]


@cache
def digits() -> Graph:
    return workloads.load("zoo:digits")


@cache
def estimated(name: str, batch: int = 1) -> Estimate:
    return simulator.estimate(digits(), machine(name), batch)


@pytest.mark.parametrize("name", MACHINES)
def test_layers_add_up_to_the_totals_exactly(name: str) -> None:
    made = estimated(name)
    assert [layer.name for layer in made.layers] == [node.name for node in digits().nodes]
    assert sum(layer.cycles.total for layer in made.layers) == made.totals.cycles
    assert sum(sum(energy.values()) for energy in made.energy_fj) == made.totals.energy_fj
    assert sum(layer.macs for layer in made.layers) == made.totals.macs
    assert made.totals.macs == sum(work.macs for work in digits().work)
    assert 0 < made.totals.utilization <= 1
    assert made.totals.latency_s == made.totals.cycles / (machine(name).clock_mhz * 1e6)
    energy_j = made.totals.energy_j
    assert energy_j is not None
    assert made.totals.power_w == pytest.approx(energy_j / made.totals.latency_s)
    assert made.totals.tops_per_w == pytest.approx(2 * made.totals.macs / energy_j / 1e12)


@pytest.mark.parametrize("name", MACHINES)
def test_the_document_has_the_fields_of_the_schema(name: str) -> None:
    document = json.loads(json.dumps(estimated(name).to_json_dict()))
    assert list(document) == ["name", "totals", "layers", "notes"]
    assert list(document["totals"]) == [
        "cycles",
        "latency_s",
        "throughput_per_s",
        "energy_fj",
        "energy_fj_low",
        "energy_fj_high",
        "energy_j",
        "power_w",
        "tops_per_w",
        "macs",
        "utilization",
        "area_mm2",
        "area_mm2_low",
        "area_mm2_high",
        "area_parts_mm2",
        "peak_memory_bytes",
    ]
    levels = list(machine(name).levels)
    for layer in document["layers"]:
        assert list(layer) == [
            "name",
            "op",
            "unit",
            "macs",
            "cycles",
            "bound_by",
            "utilization",
            "bytes",
            "energy_fj",
        ]
        assert list(layer["cycles"]) == ["compute", "stall", "overhead", "total"]
        assert list(layer["bytes"]) == levels
        assert all(list(traffic) == ["read", "write"] for traffic in layer["bytes"].values())
        assert list(layer["energy_fj"])[6:] == ["lookup", *levels]
        assert layer["unit"] in machine(name).units
        assert layer["bound_by"] in machine(name).bounds


def test_an_estimate_is_a_sweep_of_one() -> None:
    variants = [machine(name) for name in MACHINES]
    variants += [machine("systolic_16x16", array__rows=rows) for rows in range(1, 60)]
    variants += [machine("cortex_m4", clock_mhz=mhz) for mhz in (10, 80.5)]
    order = np.random.default_rng(3).permutation(len(variants))
    swept = evaluate_designs(digits().work, [variants[i] for i in order], per_layer=True)
    for row, index in enumerate(order):
        made = simulator.estimate(digits(), variants[index])
        assert swept.totals[row, TOTAL_CYCLES] == made.totals.cycles
        assert swept.totals[row, TOTAL_ENERGY_FJ] == made.totals.energy_fj
        assert swept.totals[row, TOTAL_MACS] == made.totals.macs
        assert swept.area_mm2[row] == made.totals.area_mm2
        assert swept.latency_s[row] == made.totals.latency_s
        assert [tuple(actions) for actions in swept.actions[row].tolist()] == [
            layer.actions for layer in made.layers
        ]
        sums = [sum(energy.values()) for energy in made.energy_fj]
        assert swept.energy_fj[row].sum(axis=1).tolist() == sums


def test_many_chunks_give_what_one_gives() -> None:
    document = hwconfigs.document("systolic_16x16")
    few = [machine_from(document, [("array.cols", cols)]) for cols in (1, 16, 31)]
    alone = evaluate_designs(digits().work, few)
    many = evaluate_designs(digits().work, few * 400)
    assert many.totals.shape == (1200, TOTALS)
    assert (many.totals == np.tile(alone.totals, (400, 1))).all()
    assert (many.area_mm2 == np.tile(alone.area_mm2, 400)).all()
    assert many.actions.shape[0] == many.energy_fj.shape[0] == 0


@pytest.mark.parametrize("name", MACHINES)
def test_a_batch_reads_its_weights_once(name: str) -> None:
    one, four = estimated(name), estimated(name, 4)
    assert four.totals.macs == 4 * one.totals.macs
    assert one.totals.cycles < four.totals.cycles <= 4 * one.totals.cycles
    assert four.totals.throughput_per_s == pytest.approx(4 / four.totals.latency_s)
    assert four.totals.peak_memory_bytes == 4 * one.totals.peak_memory_bytes
    with pytest.raises(Unsupported, match=r"^batch must be >= 1; found 0$"):
        simulator.estimate(digits(), machine(name), 0)


def test_counts_are_priced_again_without_being_mapped_again() -> None:
    target = machine("systolic_16x16")
    layers = count(digits(), target)
    assert layers == estimated("systolic_16x16").layers
    assert price(layers, target) == estimated("systolic_16x16").energy_fj
    sums = [
        sum(sum(energy.values()) for energy in price(layers, target, bound=bound))
        for bound in ("low", "value", "high")
    ]
    assert sums[0] < sums[1] < sums[2]
    dear = machine(
        "systolic_16x16",
        technology__energy_pj__dram__unnamed__points="[{value: 100, low: 100, high: 100}]",
    )
    again = price(layers, target, dear.technology)
    moved = layers[0].bytes["dram"].read + layers[0].bytes["dram"].write
    assert again[0]["dram"] == moved * 100_000 // 8
    assert again[0]["multiply"] == estimated("systolic_16x16").energy_fj[0]["multiply"]


def test_a_component_is_count_times_price_rounded_once() -> None:
    made = estimated("systolic_16x16")
    layer, energy = made.layers[0], made.energy_fj[0]
    assert energy["dram"] == round((layer.bytes["dram"].read + layer.bytes["dram"].write) * 243750)
    assert energy["accumulate"] == layer.macs * 100
    assert energy["instruction"] == 70_000
    multiply = 200 * (72 / 64) ** (np.log(15.5) / np.log(16))
    assert energy["multiply"] == pytest.approx(layer.macs * multiply, abs=1)


def test_a_narrow_datapath_is_refused_by_layer() -> None:
    for field, what in (("weight", "weights have 8 bits"), ("activation", "activations have 8")):
        with pytest.raises(Unsupported) as caught:
            simulator.estimate(digits(), machine("hvx_1024", **{f"datapath__{field}_bits": 4}))
        first = digits().nodes[0]
        words = str(caught.value)
        assert words.startswith(f"{digits().name}, {first.name} ({first.op.kind}) on hvx_1024: its")
        assert what in words
        assert words.endswith(
            f"the datapath 4; widen datapath.{field}_bits or set datapath.narrow: true"
        )


def test_notes_say_what_a_reader_must_know() -> None:
    notes = estimated("systolic_16x16").notes
    assert notes[0] == "energy is priced in horowitz_45nm (45 nm, 0.9 V)"
    assert "the price of a multiply of 8 x 9 bits is interpolated between its cited points" in notes
    tight = machine(
        "cortex_m4", memory__sram__bytes=100, memory__flash__bytes=1000, memory__sram__line_bytes=1
    )
    notes = simulator.estimate(digits(), tight).notes
    assert (
        "the price of an access to sram of 100 bytes is extrapolated beyond its cited points"
        in (notes)
    )
    peak, constants = peak_memory_bytes(digits()), constant_bytes(digits())
    assert f"activations need {peak} bytes and cortex_m4 has 100: does not fit" in notes
    assert f"constants need {constants} bytes and cortex_m4 has 1000: does not fit" in notes
    four = {"datapath__weight_bits": 4, "datapath__narrow": True}
    notes = simulator.estimate(digits(), machine("hvx_1024", **four)).notes
    assert "the graph is narrowed to 4-bit weights and 8-bit activations" in notes
    assert "the first layer carries the 6330000 cycles that start an inference" in notes


def chain() -> Graph:
    """Input x (8 bytes) becomes a, b and y; x is added again at the end."""
    kind = tensor((1, 8), 0.5, 3)
    add = OneOp(
        "ADD", {"fused_activation_function": "NONE"}, (kind, kind), kind, (None, None)
    ).operator()
    nodes = (
        Node("first", add, ("x", "x"), ("a",)),
        Node("second", add, ("a", "a"), ("b",)),
        Node("third", add, ("b", "x"), ("y",)),
    )
    return Graph("chain", nodes, dict.fromkeys(("x", "a", "b", "y"), kind), {}, ("x",), ("y",))


def test_lifetimes_and_peak_by_hand() -> None:
    assert lifetimes(chain()) == {"x": (0, 2), "a": (0, 1), "b": (1, 2), "y": (2, 2)}
    # a, b and y share one place, x has the other; each begins at a multiple of 16 bytes.
    assert peak_memory_bytes(chain()) == 32
    assert peak_memory_bytes(chain(), batch=3) == 64
    assert peak_memory_bytes(chain(), operand_bits=4) == 32
    assert constant_bytes(chain()) == 0


def test_a_graph_without_operators_has_no_cost() -> None:
    kind = TensorType((1,), "int8", 8)
    empty = Graph("empty", (), {"x": kind}, {}, ("x",), ("x",))
    with pytest.raises(Unsupported) as caught:
        simulator.estimate(empty, machine("cortex_m4"))
    assert str(caught.value) == "empty: has no operators; there is nothing to cost"


def test_wider_constants_make_a_larger_graph() -> None:
    assert constant_bytes(digits()) > sum(work.weight_elements for work in digits().work) - 1
    assert replace(digits(), name="other").work == digits().work


_PROGRAM = """
import json
from simulator.cost import evaluate_designs
from tests.machines.works import MACHINES, OPERATORS, machine
from tests.test_cost import variants
result = evaluate_designs(list(OPERATORS.values()), variants(), per_layer=True)
print(json.dumps([result.totals.tolist(), result.area_mm2.tolist(),
                  result.actions.tolist(), result.energy_fj.tolist()]))
"""


def variants() -> list[Machine]:
    """The shipped machines and a few that take other paths through the cost functions."""
    flows = ("output_stationary", "input_stationary")
    made = [machine(name) for name in MACHINES]
    made += [machine("systolic_16x16", array__dataflow=flow) for flow in flows]
    made += [machine("systolic_16x16", datapath__dot_width=3, memory__ifmap_sram__bytes=256)]
    made += [machine("systolic_16x16", timing="scalesim", memory__dram__bytes_per_cycle=0.3)]
    made += [machine("hvx_1024", datapath__activation_bits=16, memory__l2__bytes=512)]
    made += [machine("cortex_m4", memory__flash_cache__bytes=64)]
    made += [machine("cortex_m4", datapath__weight_bits=4)]
    return made


def test_the_same_numbers_without_compilation() -> None:
    """Every array, bit for bit, with the same functions run as plain Python."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    compiled = evaluate_designs(list(OPERATORS.values()), variants(), per_layer=True)
    assert compiled.refused.tolist() == [False] * 10 + [True]
    assert json.loads(done.stdout) == [
        compiled.totals.tolist(),
        compiled.area_mm2.tolist(),
        compiled.actions.tolist(),
        compiled.energy_fj.tolist(),
    ]
    assert TOTAL_NAMES[TOTAL_CYCLES] == "cycles"


MACS = {
    "mlperf_ic_resnet8_int8": 12_501_632,
    "mlperf_vww_mobilenetv1_025_96_int8": 7_489_664,
    "mlperf_kws_dscnn_int8": 2_656_768,
    "mlperf_ad_autoencoder_int8": 264_192,
}


@pytest.mark.parametrize("model", MACS)
@pytest.mark.parametrize("name", MACHINES)
def test_real_networks(shared: Path, model: str, name: str) -> None:
    graph = workloads.load(shared / "models/tflite" / f"{model}.tflite")
    made = simulator.estimate(graph, machine(name))
    assert made.totals.macs == MACS[model]
    assert sum(layer.cycles.total for layer in made.layers) == made.totals.cycles
    assert all(layer.cycles.total >= 1 for layer in made.layers)
    assert all(sum(energy.values()) > 0 for energy in made.energy_fj)
    if model == "mlperf_ad_autoencoder_int8" and name == "systolic_16x16":
        # Every weight serves one product only: DRAM costs more than the arithmetic.
        dram = sum(energy["dram"] for energy in made.energy_fj)
        assert dram >= sum(energy["multiply"] + energy["accumulate"] for energy in made.energy_fj)
