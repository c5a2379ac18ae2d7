"""Float networks with layers on learned bases: run, in fixed point, and priced on machines."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwconfigs
import workloads
from simulator.cost import estimate
from simulator.errors import IllegalValues
from simulator.execute import run, run_batch
from simulator.graph import Array, Graph, Node
from simulator.learned import LearnedProduct
from simulator.numeric.datapath import GRAPH_DATAPATH, Basis, Datapath
from simulator.numeric.levels import CodeSet
from workloads.float_graph.activations import fuse_activations
from workloads.float_graph.layers import layers
from workloads.quantize.lq import RIDGE, LqGrid, qem
from workloads.quantize.lq_graph import lowered
from workloads.quantize.lq_start import best_uniform
from workloads.quantize.quantizer import per_channel

BITS = ((1, 1), (1, 2), (2, 2), (3, 4))


def network(folder: Path) -> Graph:
    """Four layers: dense, depthwise with a stride, pointwise behind a ReLU, and a product."""
    rng = np.random.default_rng(2)
    held: dict[str, Array] = {
        "w0": rng.normal(0, 0.3, (8, 3, 3, 3)),
        "b0": rng.normal(0, 0.2, 8),
        "w1": rng.laplace(0, 0.3, (8, 1, 3, 3)),
        "w2": rng.normal(0, 0.3, (20, 8, 1, 1)),
        "b2": rng.normal(0, 0.2, 20),
        "w3": rng.normal(0, 0.1, (320, 4)),
        "b3": rng.normal(0, 0.2, 4),
    }
    window: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], **window),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("Conv", ["r0", "w1"], ["c1"], strides=[2, 2], group=8, **window),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], kernel_shape=[1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"]),
        helper.make_node("Flatten", ["r2"], ["f"]),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "learned",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in held.items()],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "n.onnx")
    return fuse_activations(workloads.load(folder / "n.onnx"))


def images(count: int) -> Array:
    return np.random.default_rng(9).normal(0, 1, (count, 1, 3, 8, 8)).astype(np.float32)


def learned(graph: Graph, bits: tuple[int, int], skip: Sequence[int] = ()) -> Graph:
    """Weights a basis a channel, activations a basis a layer; layers at `skip` stay real."""
    weights, activations = {}, {}
    seen: dict[str, list[Array]] = {}

    def keep(node: Node, inputs: Sequence[Array | None], _: Sequence[Array]) -> None:
        seen.setdefault(node.inputs[0], []).append(np.asarray(inputs[0]))

    for x in images(6):
        run(graph, {graph.inputs[0]: x}, tap=keep)
    for index, layer in enumerate(layers(graph)):
        if index in skip:
            continue
        values = graph.constants[layer.weights]
        layout = per_channel(layer.filter_axis)
        start = best_uniform(values, bits[0], "bipolar", layout)
        weights[layer.weights] = qem(values, start, alternations=3, ridge=RIDGE)
        read = np.stack(seen[layer.activations])
        signed: CodeSet = "bipolar" if (read < 0).any() else "binary"
        first = best_uniform(read, bits[1], signed)
        activations[layer.activations] = qem(read, first, alternations=3)
    return lowered(graph, weights, activations)


def layer_by_layer(made: Graph, given: Graph, x: Array, datapath: Datapath | None) -> list[float]:
    """The error of each learned layer beside the real layer on the levels of its operands."""
    own = {node.name: node.op for node in given.nodes}
    found = []

    def compare(node: Node, inputs: Sequence[Array | None], results: Sequence[Array]) -> None:
        if not isinstance(node.op, LearnedProduct):
            return
        codes, w, u, v, *bias = (np.asarray(value) for value in inputs)
        real_x = LqGrid.of(u, node.op.x_codes).dequantize(codes.astype(np.int32))
        grid = LqGrid.of(v, node.op.w_codes, per_channel(0))
        real_w = grid.dequantize(w.astype(np.int32))
        op: Any = own[node.name]
        if op.kind == "float_matmul":
            real_w = real_w.T
        (expected,) = op.run((real_x, np.ascontiguousarray(real_w), *bias), GRAPH_DATAPATH)
        assert expected.dtype == np.float64
        found.append(float(np.abs(results[0] - expected).max() / np.abs(expected).max()))

    run(made, {made.inputs[0]: x}, datapath, tap=compare)
    return found


@pytest.mark.parametrize("bits", BITS)
def test_each_layer_is_the_real_layer_on_the_levels(bits: tuple[int, int], tmp_path: Path) -> None:
    """Float64 products of the reals that codes stand for, the ReLU and the bias with them."""
    graph = network(tmp_path)
    made = learned(graph, bits)
    assert [n.op.kind for n in made.nodes if "lq" in n.op.kind].count("lq_quantize") == 4
    for x in images(3):
        errors = layer_by_layer(made, graph, x, None)
        assert len(errors) == 4
        assert max(errors) < 1e-6


def test_first_and_last_layers_may_stay_real(tmp_path: Path) -> None:
    """As LQ-Nets leaves them; inputs, outputs and other nodes are those of the float network."""
    graph = network(tmp_path)
    made = learned(graph, (2, 2), skip=(0, 3))
    assert sum(isinstance(n.op, LearnedProduct) for n in made.nodes) == 2
    kept = [n for n in graph.nodes if n in made.nodes]
    assert {n.op.kind for n in kept} >= {"float_conv_2d", "float_matmul"}
    assert (made.inputs, made.outputs) == (graph.inputs, graph.outputs)
    batch = {made.inputs[0]: images(4)}
    one_by_one = [run(made, {made.inputs[0]: x})[0][made.outputs[0]] for x in images(4)]
    together, _ = run_batch(made, batch, threads=2)
    assert np.array_equal(together[made.outputs[0]], np.stack(one_by_one))


def test_fixed_point_comes_closer_with_every_bit(tmp_path: Path) -> None:
    graph = network(tmp_path)
    made = learned(graph, (2, 2))
    x = images(1)[0]
    worst = []
    for bits in (3, 6, 9, 12):
        datapath = Datapath(accumulator_bits=40, basis=Basis(bits))
        worst.append(max(layer_by_layer(made, graph, x, datapath)))
    assert worst == sorted(worst, reverse=True)
    assert worst[0] > 30 * worst[-1]


def test_codes_and_bases_are_priced_on_planes(tmp_path: Path) -> None:
    """Passes of whole words, one a pair of planes, and two operations to weigh each dot."""
    graph = network(tmp_path)
    machine = hwconfigs.load("bismo_8x256x8")
    compute: dict[tuple[int, int], list[int]] = {}
    for bits in BITS:
        made = learned(graph, bits)
        report = estimate(made, machine)
        found = [
            (layer, work)
            for layer, work in zip(report.layers, made.work, strict=True)
            if layer.macs
        ]
        assert len(found) == 4
        compute[bits] = [layer.cycles.compute for layer, _ in found]
        for _, work in found:
            pairs = bits[0] * bits[1] * work.output_elements
            assert work.elementwise == 2 * pairs
            assert (work.weight_bits, work.activation_bits) == bits
        product = found[-1][0]
        # 320 taps are two words; one fold of four channels, a cycle of skew each.
        assert product.cycles.compute == bits[0] * bits[1] * 2 + 4
    assert compute[1, 1] < compute[1, 2] < compute[2, 2] < compute[3, 4]
    fused = estimate(learned(graph, (2, 2)), hwconfigs.load("bitfusion_16x16"))
    assert sum(layer.macs for layer in fused.layers) == sum(w.macs for w in graph.work)


def test_a_machine_weighs_in_its_own_fixed_point(tmp_path: Path) -> None:
    """The `basis` of the YAML file reaches the engine, and without it sums are real."""
    made = learned(network(tmp_path), (2, 2))
    x = {made.inputs[0]: images(1)[0]}
    datapath = hwconfigs.load("bismo_8x256x8").datapath.datapath()
    assert datapath.basis == Basis(8)
    fixed, real = run(made, x, datapath)[0], run(made, x)[0]
    bare = run(made, x, replace(datapath, basis=None))[0]
    (name,) = made.outputs
    assert np.array_equal(bare[name], real[name])
    assert not np.array_equal(fixed[name], real[name])
    other = [("datapath.basis", "{bits: 5, fraction: 2}")]
    assert hwconfigs.load("bismo_8x256x8", other).datapath.datapath().basis == Basis(5, 2)


def test_bases_along_another_axis_are_refused(tmp_path: Path) -> None:
    graph = network(tmp_path)
    layer = layers(graph)[0]
    w = {layer.weights: best_uniform(graph.constants[layer.weights], 1, "bipolar", per_channel(1))}
    x = {layer.activations: LqGrid(((1.0,),), "bipolar")}
    with pytest.raises(
        IllegalValues, match="weights one or one along axis 0; found axes None and 1"
    ):
        lowered(graph, w, x)
