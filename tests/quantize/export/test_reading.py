"""What the reader takes from exported files: clamps of codes, widths below the element type's."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from simulator.graph import Array, Graph
from tests.ops.onnx_runtime import Feeds, differing, graph_of, model, node
from workloads.onnx.clamps import bits_of
from workloads.onnx.reader import from_model

pytest.importorskip("onnxruntime")


def constants(**more: Array) -> dict[str, Array]:
    draw = np.random.default_rng(2)
    return {
        "s": np.array(0.05, np.float32),
        "z": np.array(7, np.uint8),
        "low": np.array(7, np.uint8),
        "high": np.array(31, np.uint8),
        "w": draw.integers(-8, 8, (6, 4)).astype(np.int8),
        "sw": np.array(0.1, np.float32),
        "zw": np.array(0, np.int8),
        **more,
    }


def feeds() -> Feeds:
    return {"x": np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32)}


def product(*, x_zero: bool = True, w_zero: bool = True, clip: bool = False) -> bytes:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"][: 2 + x_zero], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"][: 2 + x_zero], ["d"]),
        node("DequantizeLinear", ["w", "sw", "zw"][: 2 + w_zero], ["wd"]),
        node("Gemm", ["d", "wd"], ["m"]),
        node("QuantizeLinear", ["m", "s", "z"], ["c"]),
        *([node("Clip", ["c", "low", "high"], ["k"])] if clip else []),
        node("DequantizeLinear", ["k" if clip else "c", "s", "z"], ["y"]),
    ]
    return model(nodes, {"x": ("float32", (3, 6))}, {"y": "float32"}, constants())


def kinds(graph: Graph) -> list[str]:
    return [n.op.kind for n in graph.nodes]


@pytest.mark.parametrize("x_zero", [False, True])
@pytest.mark.parametrize("w_zero", [False, True])
def test_a_gemm_is_integer_where_zero_points_are_stated(
    x_zero: bool, w_zero: bool, tmp_path: Path
) -> None:
    data = product(x_zero=x_zero, w_zero=w_zero)
    assert differing(data, feeds(), tmp_path, optimized=True) == 0
    graph = graph_of(data, tmp_path, optimized=True)
    assert ("fully_connected" in kinds(graph)) == (x_zero and w_zero)


@pytest.mark.parametrize(
    ("element", "bias"),
    [("uint8", 0.0), ("uint8", 1.0), ("uint16", 0.0), ("uint16", 1.0), ("uint16", 1e9)],
)
@pytest.mark.parametrize("op", ["Conv", "Gemm"])
def test_real_weights_between_grids_are_quantized(
    op: str, element: str, bias: float, tmp_path: Path
) -> None:
    """By the runtime itself, and the bias with them; one beyond 32 bits is lost."""
    draw = np.random.default_rng(4)
    shape, filters = ((2, 3, 5, 5), (4, 3, 3, 3)) if op == "Conv" else ((3, 6), (6, 4))
    held = {
        "s": np.array(0.05, np.float32),
        "z": np.array(90, element),
        "t": np.array(0.3, np.float32),
        "w": draw.normal(0.2, 1, filters).astype(np.float32),
        "b": (bias * draw.standard_normal(4)).astype(np.float32),
    }
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node(op, ["d", "w", "b"][: 3 if bias else 2], ["m"]),
        node("Relu", ["m"], ["r"]),
        node("QuantizeLinear", ["r", "t", "z"], ["c"]),
        node("DequantizeLinear", ["c", "t", "z"], ["y"]),
    ]
    data = model(nodes, {"x": ("float32", shape)}, {"y": "float32"}, held)
    given = {"x": draw.standard_normal(shape).astype(np.float32)}
    assert differing(data, given, tmp_path, optimized=True) == 0
    assert differing(data, given, tmp_path) == 0


@pytest.mark.parametrize("optimized", [False, True])
def test_a_clip_of_codes_is_the_clamp_before_it(optimized: bool, tmp_path: Path) -> None:
    data = product(clip=True)
    assert differing(data, feeds(), tmp_path, optimized=optimized) == 0
    graph = graph_of(data, tmp_path, optimized=optimized)
    assert "float_unary" not in kinds(graph)
    kind = graph.tensors["k"]
    assert (kind.dtype, kind.bits, kind.limits) == ("uint8", 5, (7, 31))


@pytest.mark.parametrize("readers", ["another", "the user"])
def test_a_clip_stays_where_others_read_its_codes(readers: str, tmp_path: Path) -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("Clip", ["q", "low", "high"], ["k"]),
        node("DequantizeLinear", ["k", "s", "z"], ["y"]),
        *([node("DequantizeLinear", ["q", "s", "z"], ["v"])] if readers == "another" else []),
    ]
    outputs = {"y": "float32", **({"v": "float32"} if readers == "another" else {"q": "uint8"})}
    data = model(nodes, {"x": ("float32", (3, 6))}, outputs, constants())
    assert differing(data, feeds(), tmp_path, optimized=True) == 0
    assert "float_unary" in kinds(graph_of(data, tmp_path, optimized=True))


def stored(element: int, codes: Array, bits: str = "") -> onnx.ModelProto:
    """Weights of an element type, cast to int8 where they are INT4; `bits` are their metadata."""
    name = "w4" if element == TensorProto.INT4 else "w"
    nodes = [
        *([helper.make_node("Cast", ["w4"], ["w"], to=TensorProto.INT8)] if name == "w4" else []),
        *onnx.load_from_string(product()).graph.node,
    ]
    held = {n: v for n, v in constants().items() if n != "w"}
    tensors = [numpy_helper.from_array(v, n) for n, v in held.items()]
    tensors.append(helper.make_tensor(name, element, codes.shape, codes.reshape(-1).tolist()))
    if bits:
        tensors[-1].metadata_props.add(key="bits", value=bits)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", (3, 6)),)]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, (3, 4))
    graph = helper.make_graph(nodes, "one", ends, [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(
    ("element", "bits", "expected"),
    [
        (TensorProto.INT8, "", 8),
        (TensorProto.INT8, "5", 5),
        (TensorProto.INT8, "4", 4),
        # Metadata that the codes contradict, or that are no number, say nothing.
        (TensorProto.INT8, "3", 8),
        (TensorProto.INT8, "many", 8),
        (TensorProto.INT4, "", 4),
    ],
)
def test_weights_have_the_width_that_their_file_says(
    element: int, bits: str, expected: int
) -> None:
    codes = np.array([-8, 7] * 12, np.int8).reshape(6, 4)
    graph = from_model(stored(element, codes, bits), "one.onnx", "onnxruntime")
    at = kinds(graph).index("fully_connected")
    assert (graph.work[at].weight_bits, graph.work[at].activation_bits) == (expected, 8)
    assert np.array_equal(graph.constants[graph.nodes[at].inputs[1]], codes.T)


def test_the_model_given_is_not_changed() -> None:
    proto = stored(TensorProto.INT4, np.ones((6, 4), np.int8))
    before = proto.SerializeToString(deterministic=True)
    from_model(proto, "one.onnx")
    assert proto.SerializeToString(deterministic=True) == before


def test_bits_of_limits() -> None:
    found = [bits_of(limits) for limits in ((0, 0), (0, 1), (0, 15), (3, 16), (-8, 7), (-9, 0))]
    assert found == [1, 1, 4, 5, 4, 5]
