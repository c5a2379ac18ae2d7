"""An x86 core without VNNI: pairs of u8 x s8 products saturate at 16 bits, and when they do not.

`examples/avx2_vpmaddubsw.yaml` describes it. Its sums are compared with Python's integers and with
the processor's own instruction; the damage it does to a network, and that weights in [-64, 63]
suffer none, with what the network gives otherwise. No outputs of a runtime on such a core are
stored: on the cores at hand ONNX Runtime multiplies exactly.
"""

import ctypes
import importlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hwconfigs
import workloads
from simulator.execute import run
from simulator.graph import Array, Graph, Node
from simulator.mac import MacOperator, Product
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul
from tests.oracle.registers import Narrow, Register
from tests.shared import ROOT

YAML: Final = ROOT / "examples" / "avx2_vpmaddubsw.yaml"
PAIRS: Final = Register(32, "wrap", 1, (Narrow(2, 16, "saturate"),))
"""Two products, clamped to 16 bits, added into 32."""
LIMIT: Final = (-64, 63)
BOUNDED = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def datapath() -> Datapath:
    """The arithmetic that the YAML describes."""
    return hwconfigs.load(YAML).datapath.datapath()


def pair_sum(a: int, b: int, v: int, w: int) -> int:
    """VPMADDUBSW of one lane."""
    return sorted((-(2**15), a * v + b * w, 2**15 - 1))[1]


def sums(x: Array, w: Array, bias: Array, by: Register) -> list[list[int]]:
    """Every row times every channel on plain integers."""
    return [
        [
            by.sum(start, [a * v for a, v in zip(row, taps, strict=True)])
            for taps, start in zip(w.tolist(), bias.tolist(), strict=True)
        ]
        for row in x.tolist()
    ]


activations = st.sampled_from([0, 255, 254, 128]) | st.integers(0, 255)
weights = st.sampled_from([-128, 127, -127, 64, -65]) | st.integers(-128, 127)


@BOUNDED
@given(data=st.data(), taps=st.integers(1, 33))
def test_sums_of_the_example_are_pairs_that_saturate(data: st.DataObject, taps: int) -> None:
    """An odd tap at the end is a pair of its own."""
    x, w = (
        np.array(data.draw(st.lists(values, min_size=3 * taps, max_size=3 * taps)), dtype=np.int16)
        for values in (activations, weights)
    )
    bias = np.array([0, 5, -(2**31)], dtype=np.int32)
    got = matmul(x.reshape(3, taps), w.reshape(3, taps), bias, datapath())
    assert got.tolist() == sums(x.reshape(3, taps), w.reshape(3, taps), bias, PAIRS)


def test_the_figures_of_the_literature() -> None:
    """255 * 127 * 2 = 64770 becomes 32767; 255 * -128 * 2 becomes -32768."""
    x, bias = np.full((1, 2), 255, dtype=np.int16), np.zeros(2, dtype=np.int32)
    w = np.array([[127, 127], [-128, -128]], dtype=np.int16)
    assert matmul(x, w, bias, datapath()).tolist() == [[32767, -32768]]
    assert matmul(x, w, bias, Datapath()).tolist() == [[64770, -65280]]


def compiled_instruction() -> Any:
    """VPMADDUBSW as a function of three addresses: 32 u8, 32 s8 and 16 s16; or a skip."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("no x86 processor")
    binding: Any = importlib.import_module("llvmlite.binding")
    if not binding.get_host_cpu_features().get("avx2"):
        pytest.skip("no AVX2")
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    lanes, pairs = "<32 x i8>", "<16 x i16>"
    module = binding.parse_assembly(
        f"""
        declare {pairs} @llvm.x86.avx2.pmadd.ub.sw({lanes}, {lanes})
        define void @pairs(ptr %x, ptr %w, ptr %out) {{
            %a = load {lanes}, ptr %x, align 1
            %b = load {lanes}, ptr %w, align 1
            %c = call {pairs} @llvm.x86.avx2.pmadd.ub.sw({lanes} %a, {lanes} %b)
            store {pairs} %c, ptr %out, align 1
            ret void
        }}
        """
    )
    target = binding.Target.from_default_triple().create_target_machine(features="+avx2")
    engine = binding.create_mcjit_compiler(module, target)
    engine.finalize_object()
    address = engine.get_function_address("pairs")
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3)(address)
    return engine, function


def test_the_stage_is_what_the_processor_does() -> None:
    """Sixteen pairs at a time, extremes among them."""
    engine, instruction = compiled_instruction()
    rng = np.random.default_rng(2)
    stage, nothing = datapath(), np.zeros(1, dtype=np.int32)
    saturated = 0
    for trial in range(60):
        x, w = rng.integers(0, 256, 32), rng.integers(-128, 128, 32)
        if trial % 2:
            x, w = rng.choice([0, 255, 254], 32), rng.choice([-128, 127, -127, 64], 32)
        bytes_x, bytes_w = x.astype(np.uint8), w.astype(np.int8)
        out = np.empty(16, dtype=np.int16)
        instruction(*(array.ctypes.data for array in (bytes_x, bytes_w, out)))
        assert out.tolist() == [
            pair_sum(*(int(v) for v in (*x[i : i + 2], *w[i : i + 2]))) for i in range(0, 32, 2)
        ]
        got = matmul(
            x.astype(np.int16).reshape(1, 32), w.astype(np.int16).reshape(1, 32), nothing, stage
        )
        assert got.item() == int(out.astype(np.int64).sum())
        saturated += int(np.count_nonzero(np.abs(out.astype(np.int64)) >= 2**15 - 1))
    assert saturated > 100
    del engine


def test_pairs_of_limited_weights_never_saturate() -> None:
    """Every activation and weight, beside the partner that pushes furthest either way."""
    low, high = LIMIT
    products = {a * w for a in range(256) for w in range(low, high + 1)}
    assert 2 * max(products) == 2 * 255 * 63 <= 2**15 - 1
    assert 2 * min(products) == 2 * 255 * -64 >= -(2**15)
    for weight, bound in ((high + 2, 2**15 - 1), (low - 1, -(2**15))):
        assert abs(2 * 255 * weight) > abs(bound), "two steps more, or one, would saturate"


@BOUNDED
@given(data=st.data(), taps=st.integers(1, 40))
def test_limited_weights_give_the_exact_sums(data: st.DataObject, taps: int) -> None:
    limited = st.sampled_from(LIMIT) | st.integers(*LIMIT)
    x, w = (
        np.array(data.draw(st.lists(v, min_size=taps, max_size=taps)), dtype=np.int16).reshape(
            1, -1
        )
        for v in (activations, limited)
    )
    bias = np.array([17], dtype=np.int32)
    exact = [[17 + sum(a * b for a, b in zip(x[0].tolist(), w[0].tolist(), strict=True))]]
    assert matmul(x, w, bias, datapath()).tolist() == exact


def limited(graph: Graph) -> Graph:
    """The graph with the weights of every product cut to [-64, 63]."""
    cut = {
        node.inputs[1]: np.clip(graph.constants[node.inputs[1]], *LIMIT)
        for node in layers(graph)
        if graph.tensors[node.inputs[1]].dtype == "int8"
    }
    return replace(graph, constants={**graph.constants, **cut})


def layers(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if isinstance(node.op, MacOperator)]


def feeds(shared: Path, graph: Graph, name: str) -> Iterator[Mapping[str, Array]]:
    """The stored samples, then images of black, white, and random extremes."""
    arrays = np.load(shared / f"models/onnx/{name}.golden.npz")
    (entry,) = graph.inputs
    samples = [arrays[key] for key in arrays if key.startswith("in")][:4]
    ends = float(samples[0].min()), float(samples[0].max())
    rng = np.random.default_rng(4)
    shape, dtype = samples[0].shape, samples[0].dtype
    constant = [np.full(shape, end, dtype) for end in ends]
    for value in (*samples, *constant, rng.choice(ends, shape).astype(dtype)):
        yield {entry: value}


def differing(graph: Graph, values: Mapping[str, Array]) -> int:
    """Outputs that the core without VNNI changes."""
    own, changed = run(graph, values)[0], run(graph, values, datapath())[0]
    return sum(int(np.count_nonzero(own[name] != changed[name])) for name in own)


MODEL: Final = "ort_resnet8_qop_u8s8_pc"


@pytest.fixture(scope="module")
def resnet(shared: Path) -> Graph:
    return workloads.load(shared / f"models/onnx/{MODEL}.onnx")


def test_a_network_loses_bits_by_it(shared: Path, resnet: Graph) -> None:
    changed = [differing(resnet, values) for values in feeds(shared, resnet, MODEL)]
    assert sum(count > 0 for count in changed) >= len(changed) - 2


def test_a_network_of_limited_weights_loses_none(shared: Path, resnet: Graph) -> None:
    graph = limited(resnet)
    for values in feeds(shared, graph, MODEL):
        assert differing(graph, values) == 0


def test_every_layer_of_it_sums_saturated_pairs(shared: Path, resnet: Graph) -> None:
    """On the operands that a sample brings there: some rows of each layer, every channel."""
    rng = np.random.default_rng(6)
    changed = {}

    def watch(node: Node, operands: Any, _: Any) -> None:
        if not isinstance(node.op, MacOperator):
            return
        sums_here = node.op.accumulate(operands, datapath())
        blocks: list[Product] = list(node.op.products(operands, folded=True))
        rows = rng.choice(sums_here.shape[0], min(sums_here.shape[0], 4), replace=False)
        for block in blocks:
            channels = slice(block.first_channel, block.first_channel + len(block.w))
            got = sums_here[rows][:, channels].tolist()
            assert got == sums(block.x[rows], block.w, block.bias, PAIRS)
        exact = node.op.accumulate(operands, Datapath(zero_point="folded"))
        changed[node.name] = int(np.count_nonzero(exact != sums_here))

    run(resnet, next(feeds(shared, resnet, MODEL)), datapath(), tap=watch)
    assert len(changed) == len(layers(resnet))
    assert sum(count > 0 for count in changed.values()) > 1
