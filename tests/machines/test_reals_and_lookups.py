"""Look-ups in tables and arithmetic on real numbers: counted by operators, paid by machines."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwconfigs
import workloads
from simulator.cost import estimate
from simulator.designs import batched
from simulator.graph import Graph, Node, TensorType
from simulator.machines.actions import COMPONENT_NAMES
from simulator.machines.base import Machine
from simulator.work import Work
from tests.layer_works import Layers
from tests.machines.works import conv, cost
from tests.ops.build import OneOp, tensor
from tests.ops.onnx_runtime import model, node

KINDS = ("systolic_16x16", "hvx_1024", "cortex_a76", "eyeriss_chip")
REAL = {"weight_bits": 32, "activation_bits": 32, "output_bits": 32, "requantizations": 0}
MULTIPLY_FJ, ADD_FJ, INTEGER_ADD_FJ, LOOKUP_FJ = 3700, 900, 100, 720
"""Horowitz, ISSCC 2014: float32 multiply 3.7 pJ and add 0.9 pJ, 32-bit add 0.1 pJ; CACTI 7: a read
of 512 bytes by 16 bits 0.72 pJ."""


def float_machine(name: str) -> Machine:
    """A machine that takes operands of 32 bits: by its kernels, or narrowing the others."""
    return hwconfigs.load(name, [] if name == "cortex_a76" else [("datapath.narrow", True)])


@pytest.mark.parametrize("name", KINDS)
def test_real_products_pay_a_real_multiplication_and_addition_each(name: str) -> None:
    layer = replace(conv((8, 8), 16, (3, 3), 8), real_products=1, **REAL)
    found = cost(float_machine(name), layer)
    macs = 8 * 8 * 16 * 3 * 3 * 8
    assert found["real_products"] == found["macs"] == macs
    assert found["multiply_fj"] == macs * MULTIPLY_FJ
    assert found["accumulate_fj"] == macs * ADD_FJ
    # Nothing but the price of the products depends on their being real.
    codes = cost(float_machine(name), replace(layer, real_products=0))
    for part in set(found) - {"real_products", "multiply_fj", "accumulate_fj", "energy_fj"}:
        assert found[part] == codes[part], part
    assert codes["multiply_fj"] < found["multiply_fj"]


@pytest.mark.parametrize("name", KINDS)
def test_scalar_operations_pay_by_what_they_are_on(name: str) -> None:
    work = Work(
        input_elements=1000,
        output_elements=1000,
        elementwise=9000,
        lookups=2000,
        real_multiplications=3000,
        real_additions=2500,
    )
    found = cost(hwconfigs.load(name), work)
    expected = 3000 * MULTIPLY_FJ + 2500 * ADD_FJ + (9000 - 5500) * INTEGER_ADD_FJ
    assert found["elementwise_fj"] == expected
    assert found["lookup_fj"] == 2000 * LOOKUP_FJ
    plain = cost(
        hwconfigs.load(name), replace(work, real_multiplications=0, real_additions=0, lookups=0)
    )
    assert plain["elementwise_fj"] == 9000 * INTEGER_ADD_FJ
    assert plain["cycles"] == found["cycles"]
    parts = (*COMPONENT_NAMES, *hwconfigs.load(name).levels)
    assert found["energy_fj"] == sum(found[f"{part}_fj"] for part in parts)


def work_of(kind: str, x: TensorType, y: TensorType, **options: Any) -> Work:
    operator = OneOp(kind, options, (x,), y, (None,)).operator()
    return operator.work((x,), (y,))


def test_operators_say_how_many_entries_they_read() -> None:
    shape = (3, 7)
    x, y = tensor(shape, 0.1), tensor(shape, 1 / 256, -128)
    assert work_of("LOGISTIC", x, y).lookups == 21
    assert work_of("TANH", x, tensor(shape, 1 / 128)).lookups == 21
    # int16 is interpolated between two entries.
    wide, out = tensor(shape, 2.0**-12, dtype="int16"), tensor(shape, 2.0**-15, dtype="int16")
    assert work_of("TANH", wide, out).lookups == 42
    # In float32 a polynomial takes a table's place.
    real = tensor(shape, dtype="float32")
    found = work_of("TANH", real, real)
    assert (found.lookups, found.real_multiplications, found.real_additions) == (0, 210, 210)
    assert found.elementwise == 420


def test_operators_say_what_they_compute_on_reals() -> None:
    shape = (4, 5)
    real, codes = tensor(shape, dtype="float32"), tensor(shape, 0.5, 3)
    found = work_of("DEQUANTIZE", codes, real)
    # The zero point leaves in integers; the scale is a real product.
    assert (found.elementwise, found.real_multiplications, found.real_additions) == (40, 20, 0)
    assert work_of("QUANTIZE", real, codes).real_multiplications == 20
    between = work_of("QUANTIZE", codes, tensor(shape, 0.25))
    assert between.real_multiplications == between.real_additions == 0
    relu = work_of("RELU", codes, codes)
    assert relu.real_multiplications == relu.real_additions == relu.lookups == 0


def test_a_batch_counts_all_of_them_as_often() -> None:
    work = Work(elementwise=9, lookups=2, real_products=1, real_multiplications=3, real_additions=4)
    found = batched(work, 5)
    counts = (found.elementwise, found.lookups, found.real_multiplications, found.real_additions)
    assert counts == (45, 10, 15, 20)
    assert found.real_products == 1


def float_network(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    data = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("Relu", ["c"], ["r"]),
            node("Sigmoid", ["r"], ["y"]),
        ],
        {"x": ("float32", (1, 3, 6, 6))},
        {"y": "float32"},
        {"w": rng.normal(size=(4, 3, 3, 3)).astype(np.float32)},
    )
    path = tmp_path / "real.onnx"
    path.write_bytes(data)
    return path


def test_a_float_graph_pays_for_reals_and_its_energy_is_the_sum_of_its_parts(
    tmp_path: Path,
) -> None:
    graph = workloads.load(str(float_network(tmp_path)))
    found = estimate(graph, hwconfigs.load("cortex_a76"))
    macs = 4 * 4 * 4 * 27
    by_op = dict(zip((n.op.kind for n in graph.nodes), found.energy_fj, strict=True))
    assert by_op["float_conv_2d"]["multiply"] == macs * MULTIPLY_FJ
    assert by_op["float_conv_2d"]["accumulate"] == macs * ADD_FJ
    relu, sigmoid = (
        energy["elementwise"]
        for n, energy in zip(graph.nodes, found.energy_fj, strict=True)
        if n.op.kind == "float_unary"
    )
    # A comparison of an element, and the one operation that a function counts as.
    assert (relu, sigmoid) == (64 * ADD_FJ, 64 * MULTIPLY_FJ)
    assert found.totals.energy_fj == sum(sum(energy.values()) for energy in found.energy_fj)
    assert found.totals.energy_fj_low < found.totals.energy_fj < found.totals.energy_fj_high
    assert any("multiply real numbers and pay for it" in note for note in found.notes)
    # Real numbers are not narrowed to the datapath of integers.
    assert not any("narrowed" in note for note in found.notes)


def without(action: str) -> Machine:
    """`cortex_a76` in a Horowitz without one of its laws."""
    technology = hwconfigs.load_technology("horowitz_45nm")
    assert technology.energy_pj is not None
    energy = technology.energy_pj.model_copy(update={action: None})
    bare = technology.model_copy(update={"name": "bare", "energy_pj": energy})
    return hwconfigs.load("cortex_a76").model_copy(update={"technology": bare})


@pytest.mark.parametrize("action", ["float_add", "float_multiply"])
def test_a_technology_without_a_price_of_reals_is_named_with_the_layers(
    tmp_path: Path, action: str
) -> None:
    graph = workloads.load(str(float_network(tmp_path)))
    found = estimate(graph, without(action))
    names = ", ".join(n.name for n in graph.nodes if n.op.kind.startswith("float_"))
    assert (
        f"bare prices no operations on real numbers: {names} pay those on integers, which cost less"
    ) in found.notes
    assert found.energy_fj[0]["multiply"] < 4 * 4 * 4 * 27 * MULTIPLY_FJ


def test_a_technology_without_a_price_of_look_ups_is_named_with_the_layers() -> None:
    x, y = tensor((1, 8), 0.1), tensor((1, 8), 1 / 256, -128)
    operator = OneOp("LOGISTIC", {}, (x,), y, (None,)).operator()
    graph = Graph(
        "one", (Node("sigma", operator, ("x",), ("y",)),), {"x": x, "y": y}, {}, ("x",), ("y",)
    )
    priced, bare = (estimate(graph, m) for m in (hwconfigs.load("cortex_a76"), without("lut")))
    assert sum(energy["lookup"] for energy in priced.energy_fj) == 8 * LOOKUP_FJ
    assert "lookup" not in bare.energy_fj[0]
    assert bare.totals.energy_fj == priced.totals.energy_fj - 8 * LOOKUP_FJ
    assert "bare prices no look-up in a table: sigma pay none for theirs" in bare.notes


def test_float32_networks_of_the_zoo_are_real_and_quantized_ones_are_not() -> None:
    for bits in (8, 32):
        works = Layers(8, bits=bits).conv(4, 3).add().pool(2, 2).classify(5)
        real = bits == 32
        for work in works:
            assert work.real_products == int(real and work.macs > 0)
            arithmetic = work.real_multiplications + work.real_additions
            assert arithmetic == (work.elementwise if real else 0)
