"""Transforms of float graphs: what they fold, fuse and cut; outputs stay."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import NodeProto

import workloads
from simulator.errors import IllegalGraph, IllegalValues, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph
from tests.float_oracle import run_double
from tests.ops.onnx_runtime import graph_of, model, node, runtime
from tests.ops.structure import OneNode
from tests.test_float_onnx import mobile_block, normalization, normalized, reals
from tests.test_float_tflite import float_kind, stored, whole
from tests.test_float_tflite import reals as given_reals
from workloads.float_graph import (
    as_double,
    cut,
    fold_batch_norm,
    fuse_activations,
    layers,
    with_constants,
    with_outputs,
)
from workloads.float_graph.activations import bounds_on

pytest.importorskip("onnxruntime")
IMAGE = (1, 6, 7, 8)
Constants = dict[str, NDArray[Any]]


def net(
    folder: Path,
    nodes: Sequence[NodeProto],
    constants: Mapping[str, Array],
    shape: tuple[int, ...] = IMAGE,
    outputs: Sequence[str] = ("y",),
) -> tuple[Graph, bytes]:
    data = model(nodes, {"x": ("float32", shape)}, dict.fromkeys(outputs, "float32"), constants)
    return graph_of(data, folder), data


def assert_same(before: Graph, after: Graph, data: bytes, seed: int = 0) -> None:
    """float32: 1e-5 of the runtime's largest output; float64: 1e-12 of plain NumPy's."""
    x = reals(Random(seed), before.tensors["x"].shape)
    outputs, _ = run(after, {"x": x})
    true = run_double(before, {"x": x})
    wide, _ = run(as_double(after), {"x": x.astype(np.float64)})
    double = fuse_activations(fold_batch_norm(as_double(before)))
    kept, _ = run(double, {"x": x.astype(np.float64)})
    for name, expected in zip(before.outputs, runtime(data, {"x": x}), strict=True):
        largest = float(np.abs(expected).max())
        np.testing.assert_allclose(outputs[name], expected, rtol=0, atol=1e-5 * largest)
        np.testing.assert_allclose(wide[name], true[name], rtol=0, atol=1e-5 * largest)
        np.testing.assert_allclose(kept[name], true[name], rtol=0, atol=1e-12 * largest)


def kinds(graph: Graph) -> list[str]:
    return [n.op.kind for n in graph.nodes if n.op.kind not in ("transpose", "reshape")]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("groups", "each"), [(1, 6), (6, 1), (2, 3), (3, 2)])
def test_normalization_behind_a_convolution(
    groups: int, each: int, bias: bool, tmp_path: Path
) -> None:
    rng = Random(f"{groups} {bias}")
    constants = {"w": reals(rng, (12, each, 3, 3), 9 * each), **normalization(rng, "n", 12)}
    names = ["x", "w"]
    if bias:
        constants["b"] = reals(rng, (12,))
        names.append("b")
    nodes = [
        node("Conv", names, ["c"], group=groups, pads=[1, 0, 2, 1]),
        normalized("n", "c", "y"),
    ]
    graph, data = net(tmp_path, nodes, constants)
    folded = fold_batch_norm(graph)
    assert kinds(folded) == ["float_conv_2d"]
    assert_same(graph, folded, data)


@pytest.mark.parametrize(("groups", "each"), [(1, 6), (6, 1), (2, 3), (3, 2)])
def test_normalization_before_a_convolution_without_padding(
    groups: int, each: int, tmp_path: Path
) -> None:
    rng = Random(groups)
    constants = {
        "w": reals(rng, (12, each, 3, 2), 6 * each),
        "b": reals(rng, (12,)),
        **normalization(rng, "n", 6),
    }
    nodes = [
        normalized("n", "x", "m"),
        node("Conv", ["m", "w", "b"], ["y"], group=groups, strides=[2, 1]),
    ]
    graph, data = net(tmp_path, nodes, constants)
    folded = fold_batch_norm(graph)
    assert kinds(folded) == ["float_conv_2d"]
    assert_same(graph, folded, data)


def test_padding_keeps_a_normalization_with_an_offset(tmp_path: Path) -> None:
    """Zeros are padded behind it; a plain factor is folded all the same."""
    rng = Random(3)
    held = normalization(rng, "n", 6)
    constants = {"w0": reals(rng, (6, 6, 1, 1), 6), "w": reals(rng, (4, 6, 3, 3), 54), **held}
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2]),
        normalized("n", "p", "m"),
        node("Conv", ["m", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    graph, data = net(tmp_path, nodes, {n: v for n, v in constants.items() if n != "w0"})
    assert kinds(fold_batch_norm(graph)) == ["max_pool", "batch_normalization", "float_conv_2d"]
    zeros = np.zeros(6, np.float32)
    plain = {**constants, "n.beta": zeros, "n.mean": zeros}
    plain.pop("w0")
    graph, data = net(tmp_path, nodes, plain)
    folded = fold_batch_norm(graph)
    assert kinds(folded) == ["max_pool", "float_conv_2d"]
    x = reals(Random(1), IMAGE)
    outputs, _ = run(folded, {"x": x})
    np.testing.assert_allclose(outputs["y"], runtime(data, {"x": x})[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", ["Gemm", "Gemm transposed", "MatMul"])
def test_normalization_behind_a_product(form: str, tmp_path: Path) -> None:
    """A fully connected layer; taken apart into a product and a sum behind MatMul."""
    rng = Random(form)
    turned = form == "Gemm transposed"
    constants: Constants = {"w": reals(rng, (5, 9) if turned else (9, 5), 9)}
    if form == "MatMul":
        constants |= {
            "g": reals(rng, (5,)),
            "o": reals(rng, (1, 5)),
            "half": np.array(0.5, np.float32),
        }
        nodes = [
            node("MatMul", ["x", "w"], ["c"]),
            node("Mul", ["g", "c"], ["d"]),
            node("Add", ["d", "o"], ["e"]),
            node("Sub", ["half", "e"], ["f"]),
            node("Div", ["f", "half"], ["y"]),
        ]
    else:
        constants |= {"b": reals(rng, (5,)), **normalization(rng, "n", 5)}
        gemm = node("Gemm", ["x", "w", "b"], ["c"], transB=int(turned))
        nodes = [gemm, normalized("n", "c", "y")]
    graph, data = net(tmp_path, nodes, constants, (3, 9))
    folded = fold_batch_norm(graph)
    assert kinds(folded) == ["float_matmul"]
    assert_same(graph, folded, data)


def test_a_chain_before_a_product_is_folded_from_its_end(tmp_path: Path) -> None:
    rng = Random(8)
    constants = {"g": reals(rng, (9,)), "o": reals(rng, (9,)), "w": reals(rng, (9, 4), 9)}
    nodes = [
        node("Mul", ["x", "g"], ["a"]),
        node("Add", ["a", "o"], ["b"]),
        node("MatMul", ["b", "w"], ["y"]),
    ]
    graph, data = net(tmp_path, nodes, constants, (2, 9))
    folded = fold_batch_norm(graph)
    assert kinds(folded) == ["float_matmul"]
    assert_same(graph, folded, data)


def test_weights_that_two_layers_share_are_copied(tmp_path: Path) -> None:
    rng = Random(9)
    constants = {"w": reals(rng, (6, 6, 1, 1), 6), **normalization(rng, "n", 6)}
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        normalized("n", "c", "m"),
        node("Conv", ["m", "w"], ["y"]),
    ]
    graph, data = net(tmp_path, nodes, constants)
    folded = fold_batch_norm(graph)
    assert kinds(folded) == ["float_conv_2d"] * 2
    assert_same(graph, folded, data)
    first, second = layers(folded)
    assert (folded.constants[second.weights] == graph.constants[second.weights]).all()
    assert first.weights != second.weights


@pytest.mark.parametrize("outputs", [("y", "c"), ("y", "z")])
def test_what_others_read_is_not_folded(outputs: tuple[str, ...], tmp_path: Path) -> None:
    """The layer's own output is an output of the graph, or another node reads it."""
    rng = Random(10)
    constants = {"w": reals(rng, (6, 6, 1, 1), 6), **normalization(rng, "n", 6)}
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        normalized("n", "c", "y"),
        node("Relu", ["c"], ["z"]),
    ]
    graph, data = net(tmp_path, nodes, constants, outputs=outputs)
    made = fuse_activations(fold_batch_norm(graph))
    assert "batch_normalization" in kinds(made)
    assert_same(graph, made, data)


def test_activations_become_bounds_bit_by_bit(tmp_path: Path) -> None:
    """ReLU and a Clip behind it, of a convolution, a sum and a pool."""
    rng = Random(11)
    constants = {
        "w": reals(rng, (6, 6, 3, 3), 9),
        "low": np.array(-1, np.float32),
        "high": np.array(0.75, np.float32),
    }
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Clip", ["c", "low", "high"], ["d"]),
        node("Relu", ["d"], ["e"]),
        node("Add", ["e", "x"], ["f"]),
        node("Relu", ["f"], ["g"]),
        node("AveragePool", ["g"], ["h"], kernel_shape=[2, 2]),
        node("Clip", ["h", "", "high"], ["y"]),
    ]
    graph, data = net(tmp_path, nodes, constants)
    fused = fuse_activations(graph)
    assert kinds(fused) == ["float_conv_2d", "arithmetic", "float_average_pool"]
    bounds = [bounds_on(n) for n in fused.nodes if n.op.kind not in ("transpose", "reshape")]
    assert bounds == [(0.0, 0.75), (0.0, math.inf), (-math.inf, 0.75)]
    x = {"x": reals(rng, IMAGE)}
    assert (run(graph, x)[0]["y"] == run(fused, x)[0]["y"]).all()
    assert_same(graph, fused, data)


def test_a_fused_sum_hands_its_bounds_to_the_layer(tmp_path: Path) -> None:
    """Fused first, folded afterwards."""
    rng = Random(12)
    constants = {"w": reals(rng, (9, 4), 9), "o": reals(rng, (4,))}
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Add", ["a", "o"], ["b"]),
        node("Relu", ["b"], ["y"]),
    ]
    graph, data = net(tmp_path, nodes, constants, (2, 9))
    made = fold_batch_norm(fuse_activations(graph))
    (only,) = made.nodes
    assert bounds_on(only) == (0.0, math.inf)
    assert_same(graph, made, data)


def test_new_constants(tmp_path: Path) -> None:
    """The weights of a layer by ten: its output by ten; the old graph keeps its own."""
    rng = Random(13)
    graph, _ = net(tmp_path, [node("Conv", ["x", "w"], ["y"])], {"w": reals(rng, (4, 6, 2, 2))})
    (layer,) = layers(graph)
    x = {"x": reals(rng, IMAGE)}
    before = run(graph, x)[0]["y"]
    scaled = with_constants(graph, {layer.weights: graph.constants[layer.weights] * 8})
    assert (run(scaled, x)[0]["y"] == before * 8).all()
    assert (run(graph, x)[0]["y"] == before).all()


def test_new_constants_that_an_operator_keeps(tmp_path: Path) -> None:
    """PADV2 keeps the value it pads with: it is decoded again."""
    x = given_reals(Random(14), (2, 3))
    fill = stored(given_reals(Random(15), (1,)))
    pads = whole([[1, 0], [0, 2]])
    path = tmp_path / "one.tflite"
    path.write_bytes(OneNode("PADV2", {}, (x, pads, fill), (float_kind(3, 5),)).model())
    graph = workloads.load(path)
    changed = with_constants(graph, {"x2": np.array([7.5], np.float32)})
    outputs, _ = run(changed, {"x0": x.value})
    expected = np.pad(x.value, [(1, 0), (0, 2)], constant_values=7.5)
    assert (outputs["y0"] == expected).all()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("v", np.zeros(4, np.float32), r"no constant is named 'v'; known: w"),
        ("w", np.zeros(4, np.float32), r"'w' must be float32 of shape \(9, 4\); found float32 of"),
        ("w", np.zeros((9, 4)), r"'w' must be float32 of shape \(9, 4\); found float64"),
    ],
)
def test_constants_that_do_not_fit(name: str, value: Array, message: str, tmp_path: Path) -> None:
    constants = {"w": reals(Random(1), (9, 4))}
    graph, _ = net(tmp_path, [node("MatMul", ["x", "w"], ["y"])], constants, (2, 9))
    with pytest.raises(IllegalValues, match=message):
        with_constants(graph, {name: value})


def test_parts_of_a_graph(tmp_path: Path) -> None:
    """Tensors inside as outputs; from one of them on, the same end."""
    data, feeds = mobile_block(Random(2))
    graph = graph_of(data, tmp_path)
    first, second, third, _ = layers(graph)
    inside = with_outputs(graph, [second.activations, third.output])
    middle, _ = run(inside, feeds)
    assert len(inside.nodes) < len(graph.nodes)
    rest = cut(graph, [third.activations, second.activations], graph.outputs)
    fed = with_outputs(graph, [third.activations, second.activations])
    outputs, _ = run(rest, run(fed, feeds)[0])
    assert (outputs["y"] == run(graph, feeds)[0]["y"]).all()
    alone = cut(graph, [third.activations], [third.output])
    assert [n.op.kind for n in alone.nodes] == ["float_conv_2d"]
    (given,) = run(with_outputs(graph, [third.activations]), feeds)[0].values()
    result, _ = run(alone, {third.activations: given})
    assert (result[third.output] == middle[third.output]).all()
    assert first.weights not in alone.constants


def test_a_cut_that_misses_an_input_is_refused(tmp_path: Path) -> None:
    data, _ = mobile_block(Random(2))
    graph = graph_of(data, tmp_path)
    third = layers(graph)[2]
    with pytest.raises(IllegalGraph, match="y also depends on the input 'x'; name it among"):
        cut(graph, [third.activations], graph.outputs)
    with pytest.raises(IllegalGraph, match="no tensor is named 'nowhere'"):
        with_outputs(graph, ["nowhere"])


def test_codes_have_no_form_in_double() -> None:
    with pytest.raises(Unsupported, match="holds codes of a grid; only float networks"):
        as_double(workloads.load("zoo:digits"))
