"""The arithmetic key: what it leaves out changes no bit, what it holds may; proofs of fit hold."""

from random import Random
from typing import Any, Final

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.accuracy import accuracy
from analysis.arithmetic import Arithmetic, arithmetic_key, fits
from analysis.arrays import random_inputs
from analysis.labelled import load_labelled
from simulator.errors import BitlaneError
from simulator.execute import run
from simulator.graph import Array, Graph
from simulator.mac import AccumulatingOperator
from simulator.machines.base import Machine
from simulator.narrow import datapath_of, requantized
from simulator.numeric.datapath import Datapath
from simulator.numeric.overflow import overflows
from simulator.platforms import datapaths
from tests.one_operator import graphs

Pairs = list[tuple[str, Any]]
ACC: Final = "datapath.accumulator"
SATURATES: Final = ("datapath.accumulator.overflow", "saturate")
OUTSIDE: Final[list[tuple[str, Pairs]]] = [
    ("systolic_16x16", [("array.rows", 5)]),
    ("systolic_16x16", [("array.dataflow", "output_stationary")]),
    ("systolic_16x16", [("clock_mhz", 17)]),
    ("systolic_16x16", [("technology", "scaled_7nm")]),
    ("systolic_16x16", [("memory.dram.bytes_per_cycle", 1)]),
    ("systolic_16x16", [("datapath.scale_bits", 40)]),
    ("systolic_16x16", [("datapath.gating.zero", True)]),
    ("systolic_16x16", [("datapath.gating.clock", True)]),
    ("systolic_16x16", [("datapath.composition", "fused")]),
    ("systolic_16x16", [("datapath.composition", "serial"), ("datapath.gating.bits", True)]),
    ("systolic_16x16", [("datapath.weight_bits", 16)]),
    ("systolic_16x16", [("datapath.narrow", True), ("datapath.activation_bits", 9)]),
    ("systolic_16x16", [("datapath.requantize", "{multiplier_bits: 32}")]),
    ("systolic_16x16", [(f"{ACC}.bits", 30)]),
    ("systolic_16x16", [(f"{ACC}.bits", 48), ("datapath.dot_width", 8)]),
    ("systolic_16x16", [(f"{ACC}.overflow", "trap"), ("datapath.zero_point", "folded")]),
    ("systolic_16x16", [("datapath.layers", "[{layer: first, accumulator: {bits: 32}}]")]),
    ("eyeriss_like", [(f"{ACC}.bits", 32), ("datapath.activation_bits", 8)]),
    ("cortex_m4", []),
    ("systolic_and_m4", []),
]  # fmt: skip
INSIDE: Final[list[Pairs]] = [
    [],
    [("datapath.weight_bits", 4), ("datapath.narrow", True)],
    [("datapath.weight_bits", 3), ("datapath.narrow", True)],
    [("datapath.activation_bits", 5), ("datapath.narrow", True)],
    [("datapath.activation_bits", 16), ("datapath.widen", True)],
    [("datapath.requantize", "{multiplier_bits: 6}")],
    [("datapath.requantize", "{rounding: float64_away}")],
    [(f"{ACC}.bits", 15)],
    [(f"{ACC}.bits", 15), SATURATES],
    [(f"{ACC}.bits", 15), SATURATES, ("datapath.dot_width", 4)],
    [(f"{ACC}.bits", 15), SATURATES, ("datapath.zero_point", "folded")],
    [(f"{ACC}.stages", "[{fan_in: 2, bits: 14, overflow: saturate}]")],
    [("datapath.layers", "[{layer: last, accumulator: {bits: 14}}]")],
    [("datapath.layers", "[{layer: last, weight_bits: 3, narrow: true}]")],
]  # fmt: skip
"""Machines whose outputs on some digits all differ from one another."""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return workloads.load("zoo:digits")


@pytest.fixture(scope="module")
def images(graph: Graph) -> Array:
    return load_labelled(graph, "zoo:digits").inputs[graph.inputs[0]][:12]


def outputs(graph: Graph, machine: Machine, images: Array) -> bytes:
    """Every output as what it stands for, so that a tensor on another grid is another one."""
    datapath = datapaths(graph, machine)
    kind = requantized(graph, datapath).graph.tensors[graph.outputs[0]]
    parts = [
        run(graph, {graph.inputs[0]: image}, datapath)[0][graph.outputs[0]] for image in images
    ]
    return np.stack(parts).astype(np.int64).tobytes() + repr((kind.bits, kind.quant)).encode()


@pytest.mark.parametrize(("name", "pairs"), OUTSIDE)
def test_what_the_key_leaves_out_changes_no_bit(
    graph: Graph, images: Array, name: str, pairs: Pairs
) -> None:
    plain = hwconfigs.load("systolic_16x16")
    other = hwconfigs.load(name, pairs)
    assert arithmetic_key(graph, other)[0] == arithmetic_key(graph, plain)[0] == Arithmetic()
    assert outputs(graph, other, images) == outputs(graph, plain, images)


def test_what_the_key_holds_changes_bits(graph: Graph, images: Array) -> None:
    machines = [hwconfigs.load("systolic_16x16", pairs) for pairs in INSIDE]
    keys = {arithmetic_key(graph, machine)[0] for machine in machines}
    assert len(keys) == len({outputs(graph, m, images) for m in machines}) == len(machines)


def test_a_rounding_that_a_layer_has_already_is_no_change(graph: Graph) -> None:
    """The convolutions round twice in the file, its fully connected layer in double precision."""
    pairs: Pairs = [("datapath.requantize", "{rounding: double_round}")]
    key, _ = arithmetic_key(graph, hwconfigs.load("systolic_16x16", pairs))
    assert [name for name, _ in key.requantizers] == ["fully_connected_7"]


def drawn(random: Random) -> Pairs:
    """Fields of a machine, from few values each so that arithmetics meet."""
    narrow = random.choice(["true", "false"])
    pairs: Pairs = [
        ("datapath.narrow", narrow),
        ("datapath.weight_bits", random.choice([4, 8, 16])),
        ("datapath.activation_bits", random.choice([6, 8, 16])),
        ("datapath.widen", random.choice(["true", "false", "false"])),
        ("datapath.restricted_weights", random.choice([narrow, "false"])),
        ("datapath.composition", random.choice(["fixed", "fused"])),
        ("datapath.dot_width", random.choice([1, 4])),
        ("datapath.zero_point", random.choice(["subtracted", "folded"])),
        (f"{ACC}.bits", random.choice([14, 17, 24, 32])),
        (f"{ACC}.overflow", random.choice(["wrap", "saturate"])),
        ("datapath.scale_bits", random.choice([0, 40])),
        ("array.rows", random.choice([4, 16])),
    ]
    if random.random() < 0.3:
        pairs.append(("datapath.requantize", random.choice(["graph", "{multiplier_bits: 16}"])))
    if random.random() < 0.3:
        bits = random.choice([8, 16, 24])
        stages = f"[{{fan_in: 2, bits: {bits}, overflow: saturate}}]"
        pairs.append((f"{ACC}.stages", stages))
    if random.random() < 0.3:
        layer = random.choice(["first", "depthwise", "add_4"])
        fields = random.choice(["weight_bits: 8", "narrow: false", "accumulator: {bits: 32}"])
        pairs.append(("datapath.layers", f"[{{layer: {layer}, {fields}}}]"))
    return pairs


def test_machines_of_one_key_give_the_same_bits(graph: Graph, images: Array) -> None:
    random = Random(7)
    found: dict[Arithmetic, bytes] = {}
    refused = met = 0
    for _ in range(150):
        machine = hwconfigs.load("systolic_16x16", drawn(random))
        key, _ = arithmetic_key(graph, machine)
        if key.refused:
            refused += 1
            with pytest.raises(BitlaneError) as caught:
                run(graph, {graph.inputs[0]: images[0]}, datapaths(graph, machine))
            assert str(caught.value) == key.refused
            continue
        bits = outputs(graph, machine, images[:4])
        met += key in found
        assert found.setdefault(key, bits) == bits, key
    assert refused > 10
    assert met > 20
    assert len(found) > 40


@pytest.mark.parametrize(
    "kind",
    ["conv_2d", "depthwise_conv_2d", "fully_connected", "transpose_conv", "svdf", "batch_matmul",
     "unidirectional_sequence_lstm", "matmul_integer", "conv_integer"],
)  # fmt: skip
def test_sums_that_are_proved_to_fit_do(kind: str) -> None:
    """Then they are those of a 64-bit accumulator, in whatever order, and none overflows."""
    random, proved = Random(kind), 0
    rng = np.random.default_rng(3)
    for graph, _ in graphs(kind, 12):
        inputs = random_inputs(graph, rng)
        for _ in range(12):
            path = Datapath(
                weight_bits=16,
                activation_bits=16,
                dot_width=random.choice([1, 3]),
                accumulator_bits=random.choice([12, 16, 20, 24, 32, 40]),
                overflow=random.choice(["wrap", "saturate", "trap"]),
                zero_point=random.choice(["subtracted", "folded"]),
            )
            node = graph.nodes[0]
            if not fits(graph, node, path):
                continue
            proved += 1
            lost: list[int] = []

            def count(
                node: Any, operands: Any, results: Any, path: Datapath = path, lost: Any = lost
            ) -> None:
                assert isinstance(node.op, AccumulatingOperator)
                given = node.op.run(operands, path)
                for sums in node.op.sums(operands, given, folded=path.zero_point == "folded"):
                    lost.extend(overflows(p.x, p.w, p.bias, path) for p in sums.products)

            made, after = run(graph, inputs, path, tap=count)
            wide, after_wide = run(graph, inputs, Datapath(16, 16, accumulator_bits=64))
            assert not any(lost)
            for a, b in ((made, wide), (after, after_wide)):
                assert all(np.array_equal(a[n], b[n]) for n in b)
    assert proved > (0 if kind == "batch_matmul" else 10)


SPATIAL: Final = [("datapath.activation_bits", 8), ("datapath.weight_bits", 8)]


@pytest.mark.parametrize("field", ["overflow", "stages"])
def test_an_order_that_no_mapping_fixes_is_refused(graph: Graph, field: str) -> None:
    value = "saturate" if field == "overflow" else "[{fan_in: 2, bits: 12, overflow: wrap}]"
    pairs = [*SPATIAL, (f"{ACC}.{field}", value)]
    narrow = hwconfigs.load("eyeriss_like", [*pairs, (f"{ACC}.bits", 14)])
    key, datapath = arithmetic_key(graph, narrow)
    assert key.refused.startswith(f"{graph.name}, conv_2d_0: its sums may leave 14 bits")
    assert datapath is None
    assert accuracy(graph, "zoo:digits", narrow).refused == key.refused


def test_where_the_order_is_free_a_wrapping_sum_has_no_overflow_rate(graph: Graph) -> None:
    pairs: Pairs = [*SPATIAL, (f"{ACC}.bits", 17)]
    free = accuracy(graph, "zoo:digits", hwconfigs.load("eyeriss_like", pairs))
    fixed = accuracy(graph, "zoo:digits", hwconfigs.load("systolic_16x16", pairs))
    assert free.overflow_rate is None
    assert fixed.overflow_rate is not None
    assert fixed.overflow_rate > 0
    assert (free.accuracy, free.sqnr_db) == (fixed.accuracy, fixed.sqnr_db)


def test_a_unit_of_a_platform_has_its_own_arithmetic(graph: Graph) -> None:
    """Layers on the host keep the host's accumulator, those on the unit have the unit's."""
    machine = hwconfigs.load("systolic_and_m4", [("units.npu.datapath.accumulator.bits", 14)])
    key, datapath = arithmetic_key(graph, machine)
    narrow = {name for name, sums in key.sums if sums.accumulator_bits == 14}
    there = {n.name for n in graph.nodes if datapath_of(n, datapath).accumulator_bits == 14}
    assert narrow
    assert narrow <= there < {n.name for n in graph.nodes}
