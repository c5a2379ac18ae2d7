"""Reading .onnx files: what is refused, in one line that says what to do; what is chosen."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto, helper, numpy_helper

import workloads
from simulator.errors import BadFile, BitlaneError, IllegalGraph, Unsupported
from simulator.execute import run
from tests.ops.onnx_runtime import model, node
from workloads.zoo import digits

SECONDS_PER_FILE: Final = 2.0
WEIGHTS: Final = np.arange(-27, 27, dtype=np.int8).reshape(2, 3, 3, 3)


def single(value: float, name: str | None = None) -> TensorProto:
    return numpy_helper.from_array(np.array(value, np.float32), name)


def convolution() -> bytes:
    """Q, QLinearConv, DQ."""
    grid: dict[str, Any] = {
        "xs": np.float32(0.1),
        "xz": np.uint8(7),
        "ws": np.float32(0.02),
        "wz": np.int8(0),
        "ys": np.float32(0.5),
        "yz": np.uint8(3),
    }
    names = ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        node("QLinearConv", names, ["c"]),
        node("DequantizeLinear", ["c", "ys", "yz"], ["y"]),
    ]
    constants = {**grid, "w": WEIGHTS}
    return model(nodes, {"x": ("float32", (1, 3, 4, 4))}, {"y": "float32"}, constants)


def one(made: NodeProto, *shapes: tuple[int, ...], opset: int = 21) -> bytes:
    """A model of one node on float inputs named as the node says."""
    inputs = {n: ("float32", s) for n, s in zip(made.input, shapes, strict=True)}
    return model([made], inputs, {made.output[0]: "float32"}, {}, opset)


def edited(data: bytes, change: Callable[[onnx.ModelProto], object]) -> bytes:
    """The same model after a change of its protobuf."""
    proto = onnx.load_model_from_string(data)
    change(proto)
    return bytes(proto.SerializeToString())


def external(proto: onnx.ModelProto) -> None:
    """The weights in a file beside the model."""
    tensor = next(t for t in proto.graph.initializer if t.name == "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", str(54))):
        tensor.external_data.add(key=key, value=value)


def dynamic(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def without_shape(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.ClearField("shape")


def of_strings(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def branching() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Constant", [], ["k"], value=single(1))],
        "body",
        [],
        [helper.make_tensor_value_info("k", TensorProto.FLOAT, [])],
    )
    choice = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
    return model([choice], {"x": ("bool", ())}, {"y": "float32"}, {})


REFUSED: list[tuple[str, bytes, type[BitlaneError], str]] = [
    ("empty", b"", BadFile, "the file is empty; export the model again"),
    ("text", b"hello, this is no model\n" * 9, BadFile, "not an ONNX model"),
    ("tflite", digits.model_path().read_bytes(), BadFile, "not an ONNX model"),
    ("truncated", convolution()[:300], BadFile, "or a truncated one"),
    ("no graph", onnx.ModelProto(ir_version=8).SerializeToString(), BadFile, "no graph of nodes"),
    (
        "unknown operator",
        edited(convolution(), lambda p: setattr(p.graph.node[1], "op_type", "QLinearConf")),
        Unsupported,
        r"node 1 \(QLinearConf\): ONNX has no such operator; export the model with standard ones",
    ),
    (
        "unknown domain",
        edited(convolution(), lambda p: setattr(p.graph.node[1], "domain", "com.example")),
        Unsupported,
        r"operator com\.example\.QLinearConv is not supported; export",
    ),
    (
        "operator that is not read",
        one(node("Det", ["x"], ["y"]), (3, 3)),
        Unsupported,
        r"node 0 \(Det\): operator Det is not supported in dialect onnxruntime\. Supported: Abs, ",
    ),
    ("external data", edited(convolution(), external), BadFile, r"'weights\.bin' beside the model"),
    (
        "dynamic shape",
        edited(convolution(), dynamic),
        Unsupported,
        r"input 'x': dimension 0 is 'batch', not a number; fix it",
    ),
    ("no shape", edited(convolution(), without_shape), IllegalGraph, "the ONNX checker refuses it"),
    ("strings", edited(convolution(), of_strings), Unsupported, "element type string"),
    ("branch", branching(), Unsupported, "nodes with graphs inside are not supported"),
    (
        "shapes that clash",
        one(node("MatMul", ["x", "w"], ["y"]), (2, 3), (4, 5)),
        IllegalGraph,
        r"node 0 \(MatMul\): its shapes do not fit",
    ),
    (
        "volume",
        one(node("Conv", ["x", "w"], ["y"]), (1, 2, 3, 4, 5), (2, 2, 1, 1, 1)),
        Unsupported,
        "only 2-D images are supported",
    ),
    (
        "dangling input",
        edited(convolution(), lambda p: p.graph.node[1].input.__setitem__(0, "nowhere")),
        IllegalGraph,
        "nowhere",
    ),
    (
        "output that is never computed",
        edited(convolution(), lambda p: setattr(p.graph.output[0], "name", "z")),
        IllegalGraph,
        "Graph output 'z' is not an output of any node",
    ),
    (
        "zero scale",
        edited(
            convolution(),
            lambda p: p.graph.initializer[0].CopyFrom(single(0, "xs")),
        ),
        IllegalGraph,
        "scale must be positive and finite; found 0",
    ),
]


@pytest.mark.parametrize(
    ("data", "kind", "text"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_refused_in_one_line(
    data: bytes, kind: type[BitlaneError], text: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    with pytest.raises(kind, match=text) as refusal:
        workloads.load(path)
    message = str(refusal.value)
    assert "\n" not in message
    assert "net.onnx" in message
    assert type(refusal.value) is kind


def test_missing_file_and_other_suffix(tmp_path: Path) -> None:
    with pytest.raises(
        BadFile, match=r"no such file; give a \.tflite, \.onnx or \.csv file or zoo:NAME"
    ):
        workloads.load(tmp_path / "none.onnx")
    other = tmp_path / "net.pb"
    other.write_bytes(b"1")
    with pytest.raises(BadFile, match=r"read from \.tflite, \.onnx or \.csv files; found '\.pb'"):
        workloads.load(other)


def test_external_data_are_read(tmp_path: Path) -> None:
    """The same network, its weights inside and beside."""
    inside, beside = tmp_path / "inside.onnx", tmp_path / "beside.onnx"
    inside.write_bytes(convolution())
    beside.write_bytes(edited(convolution(), external))
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    x = np.random.default_rng(0).standard_normal((1, 3, 4, 4)).astype(np.float32)
    results = [run(workloads.load(path), {"x": x})[0]["y"] for path in (inside, beside)]
    assert (results[0] == results[1]).all()
    assert len(np.unique(results[0])) > 3


def test_graph_keeps_the_files_names_layouts_and_grids(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(convolution())
    graph = workloads.load(path)
    assert graph.name == "net.onnx"
    assert (graph.inputs, graph.outputs) == (("x",), ("y",))
    assert graph.tensors["x"].shape == (1, 3, 4, 4)
    assert graph.tensors["y"].shape == (1, 2, 2, 2)
    inner = graph.tensors["c@nhwc"]
    assert inner.shape == (1, 2, 2, 2)
    assert inner.quant is not None
    assert (inner.quant.scale, inner.quant.zero_point) == ((0.5,), (3,))
    value = np.arange(8).reshape(inner.shape)
    name, turned = graph.as_in_file("c@nhwc", value)
    assert name == "c"
    assert (turned == value.transpose(0, 3, 1, 2)).all()
    assert graph.as_in_file("x", value)[1] is value


def quantized_by(op: str, domain: str) -> bytes:
    inputs = {"Quant": ["x", "s", "z", "b"], "RequantShift": ["x", "m", "a"]}.get(op, ["x", "s"])
    constants: dict[str, Any] = {
        "s": np.float32(0.5),
        "z": np.float32(0),
        "b": np.float32(4),
        "m": np.float32(3),
        "a": np.float32(1),
    }
    attributes: dict[str, Any] = {"signed": 1, "narrow": 0} if op == "Quant" else {}
    if op == "RequantShift":
        attributes = {
            "div": single(4),
            "n_levels_out": single(256),
            "signed": single(1),
        }
    made = helper.make_node(op, inputs, ["y"], domain=domain, **attributes)
    used = {name: value for name, value in constants.items() if name in inputs}
    return model([made], {"x": ("float32", (2, 3))}, {"y": "float32"}, used, 11)


@pytest.mark.parametrize(
    ("op", "domain", "dialect"),
    [
        ("Quant", "qonnx.custom_op.general", "qonnx"),
        ("Quant", "onnx.brevitas", "qonnx"),
        ("Quant", "finn.custom_op.general", "qonnx"),
        ("Quant", "", "qonnx"),
        ("BipolarQuant", "onnx.brevitas", "qonnx"),
        ("RequantShift", "PACTOps", "pulp"),
        ("RequantShift", "", "pulp"),
        ("Relu", "", "onnxruntime"),
    ],
)
def test_dialect_follows_from_the_operators(
    op: str, domain: str, dialect: str, tmp_path: Path
) -> None:
    data = quantized_by(op, domain) if op != "Relu" else one(node("Relu", ["x"], ["y"]), (2, 3))
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    graph = workloads.load(path)
    assert graph.dialect == dialect
    x = np.array([[-3, -1, 0], [1, 2, 5]], np.float32)
    outputs, _ = run(graph, {"x": x})
    expected = {
        "Quant": np.clip(x, -4, 3.5),
        "BipolarQuant": np.where(x >= 0, 0.5, -0.5),
        "RequantShift": np.floor((3 * x + 1) / 4 + 0.5),
        "Relu": np.maximum(x, 0),
    }[op]
    assert (outputs["y"] == expected).all()


def test_dialects_of_other_formats() -> None:
    with pytest.raises(Unsupported, match=r"dialect pulp is for \.onnx files"):
        workloads.load("zoo:digits", "pulp")
    with pytest.raises(Unsupported, match="dialect 'onnx' is not supported"):
        workloads.load("zoo:digits", "onnx")


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    """A function of the model's own stands for its nodes."""
    double = helper.make_function(
        "own",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 21)],
    )

    def call(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].op_type, proto.graph.node[0].domain = "Twice", "own"
        proto.opset_import.add(domain="own", version=1)
        proto.functions.append(double)

    path = tmp_path / "net.onnx"
    path.write_bytes(edited(one(node("Relu", ["x"], ["y"]), (3,)), call))
    outputs, _ = run(workloads.load(path), {"x": np.array([1, -2, 3], np.float32)})
    assert outputs["y"].tolist() == [2, -4, 6]


def refused_or_read(data: bytes, path: Path) -> bool:
    """Read within the time limit; True where it was refused, in one line."""
    path.write_bytes(data)
    start = perf_counter()
    message = None
    try:
        workloads.load(path)
    except BitlaneError as error:
        message = str(error)
    assert perf_counter() - start < SECONDS_PER_FILE
    if message is not None:
        assert "\n" not in message
        assert len(message) < 1500
    return message is not None


def test_truncated_anywhere(tmp_path: Path) -> None:
    data = convolution()
    refused = [refused_or_read(data[:end], tmp_path / "cut.onnx") for end in range(len(data))]
    assert sum(refused) > 0.95 * len(refused)


SMALL: Final = convolution()
mutations = st.lists(
    st.tuples(
        st.integers(0, len(SMALL) - 1), st.integers(0, 255) | st.sampled_from([0, 1, 127, 128, 255])
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(mutations)
def test_mutated_bytes_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(SMALL)
    for place, value in changes:
        data[place] = value
    refused_or_read(bytes(data), tmp_path_factory.getbasetemp() / "mutated.onnx")
