"""The TFLite reader: what it takes over exactly, and what it refuses, in its exact words."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workloads
from simulator.errors import BadFile, BitlaneError, IllegalGraph, Unsupported
from simulator.execute import run
from simulator.graph import Graph, QuantParams, TensorType
from simulator.numeric.dialect import dialect
from simulator.registry import operators
from tests.ops import flatbuffer as fb
from tests.ops.build import OneOp, tensor
from workloads.tflite import writer
from workloads.tflite.reader import read
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model
from workloads.zoo import digits

ACTIVATION = {"fused_activation_function": "NONE"}
STEPS = {**ACTIVATION, "padding": "SAME", "stride_h": 1, "stride_w": 1}
CONV = {**STEPS, "dilation_h_factor": 1, "dilation_w_factor": 1}
POOL = {**STEPS, "filter_height": 2, "filter_width": 2}
IMAGE = tensor((1, 2, 2, 2), 0.5, 3)
WEIGHTS = tensor((4, 1, 1, 2), (0.5, 0.25, 0.125, 1.0), axis=0)
BIAS = tensor((4,), (0.25, 0.125, 0.0625, 0.5), dtype="int32", axis=0)
FEATURES = tensor((1, 2, 2, 4), 0.5)
ROW = tensor((1, 4), 0.1)
PROBABILITIES = tensor((1, 4), 1 / 256, -128)
SECONDS_PER_FILE = 2.0


def conv(
    x: TensorType = IMAGE,
    w: TensorType = WEIGHTS,
    b: TensorType = BIAS,
    y: TensorType = FEATURES,
    stored: tuple[int, ...] = (1, 2),
    **options: Any,
) -> bytes:
    """A model of one convolution: x 0, weights 1, bias 2, y 3."""
    values = tuple(np.ones(k.shape, k.dtype) for k in (x, w, b))
    return OneOp("CONV_2D", {**CONV, **options}, (x, w, b), y, values, frozenset(stored)).model()


def one(op: str, options: Mapping[str, Any], *kinds: TensorType) -> bytes:
    """A model of one operator without constants; the last type is its output."""
    values = tuple(np.ones(k.shape, k.dtype) for k in kinds[:-1])
    return OneOp(op, options, kinds[:-1], kinds[-1], values).model()


def load(model: bytes, folder: Path, name: str = "m.tflite") -> Graph:
    path = folder / name
    path.write_bytes(model)
    return read(path, dialect("litert-ref"))


def bare(kind: TensorType) -> TensorType:
    return replace(kind, quant=None)


def as_float(kind: TensorType) -> TensorType:
    return TensorType(kind.shape, "float32", 32)


KNOWN = ", ".join(
    sorted(n.split(":")[1] for o in operators().values() for n in o.formats if "tflite:" in n)
)
NODE = "m.tflite, node 0 (CONV_2D)"
UNQUANTIZED = (
    "has no quantization parameters. Only fully quantized graphs run here; quantize the model "
    "first."
)
NAN, INFINITY = float("nan"), float("inf")


def poked(make: Any, *arguments: Any) -> bytes:
    return fb.damaged(conv(), make(*arguments))


REFUSALS: dict[str, tuple[bytes, type[BitlaneError], str]] = {
    "empty file": (b"", BadFile, "{path}: the file is empty; export the model again"),
    "no flatbuffer": (
        b"Hello, reader of models!",
        BadFile,
        "{path}: not a TFLite model: bytes 4-7 are b'o, r', not b'TFL3'; give a .tflite flatbuffer",
    ),
    "four bytes": (
        b"TFL3",
        BadFile,
        "{path}: not a TFLite model: bytes 4-7 are b'', not b'TFL3'; give a .tflite flatbuffer",
    ),
    "another identifier": (
        conv().replace(b"TFL3", b"TFL2", 1),
        BadFile,
        "{path}: not a TFLite model: bytes 4-7 are b'TFL2', not b'TFL3'; give a .tflite flatbuffer",
    ),
    "only the header": (
        conv()[:8],
        BadFile,
        "{path}: the file is truncated or damaged: a table points outside its 8 bytes (error); "
        "fetch or export it again",
    ),
    "unknown operator": (
        one("BROADCAST_ARGS", {}, ROW, ROW, ROW),
        Unsupported,
        "m.tflite, node 0 (BROADCAST_ARGS): operator BROADCAST_ARGS is not supported. "
        f"Supported: {KNOWN}.",
    ),
    "operator of a later schema": (
        poked(fb.code_edit, 0, 9999),
        Unsupported,
        f"m.tflite, node 0 (code 9999): operator code 9999 is not supported. Supported: {KNOWN}.",
    ),
    "operator code out of range": (
        fb.damaged(
            write_model(
                [TensorSpec("x", (1,), "int8"), TensorSpec("y", (1,), "int8")],
                [OperatorSpec("RELU", (0,), (1,)), OperatorSpec("RELU6", (0,), (1,))],
                [0],
                [1],
            ),
            fb.node_edit(1, fb.put_scalar, fb.NODE_CODE, "I", 7),
        ),
        Unsupported,
        f"m.tflite, node 0 (RELU): operator RELU is not supported. Supported: {KNOWN}.",
    ),
    "activation without quantization": (
        conv(x=bare(IMAGE)),
        IllegalGraph,
        f"{NODE}: the input {UNQUANTIZED}",
    ),
    "output without quantization": (
        conv(y=bare(FEATURES)),
        IllegalGraph,
        f"{NODE}: the output {UNQUANTIZED}",
    ),
    "weights without quantization": (
        conv(w=bare(WEIGHTS)),
        IllegalGraph,
        f"{NODE}: the weight tensor {UNQUANTIZED}",
    ),
    "float graph": (
        conv(*map(as_float, (IMAGE, WEIGHTS, BIAS, FEATURES))),
        IllegalGraph,
        f"{NODE}: the input {UNQUANTIZED}",
    ),
    "unsigned input": (
        conv(x=tensor((1, 2, 2, 2), 0.5, 3, dtype="uint8")),
        Unsupported,
        f"{NODE}: input 0 must be int8; found uint8. "
        "Convert the model to full integer quantization.",
    ),
    "computed weights": (
        conv(stored=(2,)),
        Unsupported,
        f"{NODE}: weights must be constant; input 1 is computed at run time. "
        "Fold it before export.",
    ),
    "asymmetric weights": (
        conv(w=tensor((4, 1, 1, 2), 0.5, 1)),
        IllegalGraph,
        f"{NODE}: int8 weights must have zero point 0",
    ),
    "activation per channel": (
        conv(x=tensor((1, 2, 2, 2), (0.5, 0.25), axis=3)),
        IllegalGraph,
        f"{NODE}: the input must have one scale; found 2. Only weights may be quantized per "
        "channel.",
    ),
    "fused TANH": (
        conv(fused_activation_function="TANH"),
        Unsupported,
        f"{NODE}: fused activation must be one of NONE, RELU, RELU6, RELU_N1_TO_1; found TANH. "
        "Export it as its own op.",
    ),
    "missing option table": (
        one("AVERAGE_POOL_2D", {}, IMAGE, IMAGE).replace(b"", b"", 0),
        IllegalGraph,
        "m.tflite, average_pool_2d_0: pooling needs a 4-D input, filter and stride >= 1; "
        "found (1, 2, 2, 2), (0, 0), (0, 0)",
    ),
    "pooling between grids": (
        one("AVERAGE_POOL_2D", POOL, IMAGE, tensor((1, 2, 2, 2), 0.25, 3)),
        Unsupported,
        "m.tflite, node 0 (AVERAGE_POOL_2D): average pooling keeps its grid: input and output "
        "scale and zero point must agree; found (0.5, 3) and (0.25, 3). "
        "Quantize them on one grid.",
    ),
    "softmax on another grid": (
        one("SOFTMAX", {"beta": 1.0}, ROW, tensor((1, 4), 0.5, -128)),
        Unsupported,
        "m.tflite, node 0 (SOFTMAX): softmax output must have scale 1/256 and zero point -128; "
        "found (0.5, -128). Requantize the output.",
    ),
    "shuffled weights": (
        OneOp(
            "FULLY_CONNECTED",
            {**ACTIVATION, "weights_format": "SHUFFLED4x16INT8"},
            (ROW, tensor((2, 4), 0.5)),
            tensor((1, 2), 0.5),
            (None, np.ones((2, 4), np.int8)),
            frozenset({1}),
        ).model(),
        Unsupported,
        "m.tflite, node 0 (FULLY_CONNECTED): weights_format must be DEFAULT; "
        "found SHUFFLED4x16INT8. Export it unshuffled.",
    ),
    "negative scale": (
        conv(x=IMAGE)
        and poked(fb.grid_edit, 0, fb.put_element, fb.QUANTIZATION_SCALE, 0, "f", -0.5),
        IllegalGraph,
        "m.tflite, tensor 0 ('x0'): quantization: scale must be positive and finite; found -0.5",
    ),
    "zero scale": (
        poked(fb.grid_edit, 1, fb.put_element, fb.QUANTIZATION_SCALE, 2, "f", 0.0),
        IllegalGraph,
        "m.tflite, tensor 1 ('x1'): quantization: scale must be positive and finite; found 0.0",
    ),
    "scale that is no number": (
        poked(fb.grid_edit, 3, fb.put_element, fb.QUANTIZATION_SCALE, 0, "f", NAN),
        IllegalGraph,
        "m.tflite, tensor 3 ('y'): quantization: scale must be positive and finite; found nan",
    ),
    "infinite scale": (
        poked(fb.grid_edit, 3, fb.put_element, fb.QUANTIZATION_SCALE, 0, "f", INFINITY),
        IllegalGraph,
        "m.tflite, tensor 3 ('y'): quantization: scale must be positive and finite; found inf",
    ),
    "more zero points than scales": (
        poked(fb.grid_edit, 1, fb.put_length, fb.QUANTIZATION_ZERO_POINT, 3),
        IllegalGraph,
        "m.tflite, tensor 1 ('x1'): quantization: 4 scales against 3 zero points; "
        "give one of each per channel, or one for the tensor",
    ),
    "fewer scales than channels": (
        poked(fb.grid_edit, 1, fb.put_length, fb.QUANTIZATION_SCALE, 3),
        IllegalGraph,
        "m.tflite, tensor 1 ('x1'): 3 scales along dimension 0 of shape (4, 1, 1, 2); "
        "there must be one per index",
    ),
    "dynamic shape": (
        poked(fb.tensor_edit, 0, fb.put_element, fb.TENSOR_SHAPE, 0, "i", -1),
        Unsupported,
        "m.tflite, tensor 0 ('x0'): shape (-1, 2, 2, 2) is not fixed; export it with fixed shapes",
    ),
    "tensor type of a later schema": (
        poked(fb.tensor_edit, 0, fb.put_scalar, fb.TENSOR_TYPE, "b", 99),
        Unsupported,
        "m.tflite, tensor 0 ('x0'): tensors of type 99 are not supported",
    ),
    "tensor of complex numbers": (
        poked(fb.tensor_edit, 0, fb.put_scalar, fb.TENSOR_TYPE, "b", 8),
        Unsupported,
        "m.tflite, tensor 0 ('x0'): tensors of type COMPLEX64 are not supported",
    ),
    "node input out of range": (
        poked(fb.node_edit, 0, fb.put_element, fb.NODE_INPUTS, 1, "i", 4),
        BadFile,
        "m.tflite: tensor 4 of 4 does not exist; the file is damaged, export it again",
    ),
    "node input below -1": (
        poked(fb.node_edit, 0, fb.put_element, fb.NODE_INPUTS, 2, "i", -2),
        BadFile,
        "m.tflite: tensor -2 of 4 does not exist; the file is damaged, export it again",
    ),
    "graph output out of range": (
        poked(fb.graph_edit, fb.put_element, fb.GRAPH_OUTPUTS, 0, "i", 2**31 - 1),
        BadFile,
        "m.tflite: tensor 2147483647 of 4 does not exist; the file is damaged, export it again",
    ),
    "buffer out of range": (
        poked(fb.tensor_edit, 1, fb.put_scalar, fb.TENSOR_BUFFER, "I", 77),
        BadFile,
        "m.tflite, tensor 1 ('x1'): buffer 77 is not in the file; export it again",
    ),
    "too little data": (
        poked(fb.tensor_edit, 1, fb.put_element, fb.TENSOR_SHAPE, 3, "i", 3),
        BadFile,
        "m.tflite, tensor 1 ('x1'): int8 of shape (4, 1, 1, 3) needs 12 bytes; the file holds 8. "
        "Export the model again",
    ),
    "a vector longer than the file": (
        poked(fb.node_edit, 0, fb.put_length, fb.NODE_INPUTS, 2**31),
        BadFile,
        f"m.tflite: 2147483648 tensor indices in a file of {len(conv())} bytes; "
        "the file is damaged, export it again",
    ),
    "no inputs": (
        poked(fb.node_edit, 0, fb.put_length, fb.NODE_INPUTS, 0),
        IllegalGraph,
        f"{NODE}: an operator needs at least one input and one output",
    ),
    "no subgraph": (
        fb.damaged(conv(), lambda m, d: fb.put_length(m, fb.MODEL_SUBGRAPHS, 0)(m, d)),
        IllegalGraph,
        "m.tflite: the model holds no subgraph; export it again",
    ),
    "an input nobody computes": (
        poked(fb.graph_edit, fb.put_element, fb.GRAPH_INPUTS, 0, "i", 2),
        IllegalGraph,
        "m.tflite, conv_2d_0: input 'x0' is not known yet; it is neither a graph input, a "
        "constant nor the output of an earlier node",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_in_their_words(name: str, tmp_path: Path) -> None:
    model, error, message = REFUSALS[name]
    with pytest.raises(BitlaneError) as caught:
        load(model, tmp_path)
    assert str(caught.value) == message.replace("{path}", str(tmp_path / "m.tflite"))
    assert type(caught.value) is error


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadFile) as caught:
        read(tmp_path / "none.tflite", dialect("litert-ref"))
    assert str(caught.value) == (
        f"{tmp_path}/none.tflite: cannot be read (No such file or directory); check the path"
    )


@pytest.mark.parametrize(("code", "name"), [(None, ""), ("MyOp", "MyOp")])
def test_custom_operators(
    code: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def operator_code(builder: Any, op: str, version: int) -> int:
        text = {} if code is None else {"CustomCode": builder.CreateString(code)}
        return writer._table(builder, "OperatorCode", BuiltinCode=32, Version=1, **text)

    monkeypatch.setattr(writer, "_operator_code", operator_code)
    with pytest.raises(Unsupported) as caught:
        load(conv(), tmp_path)
    assert str(caught.value) == (
        f"m.tflite, node 0 (CUSTOM:{name}): operator CUSTOM:{name} is not supported. "
        f"Supported: {KNOWN}."
    )


INT8_ONLY: dict[str, bytes] = {
    **{
        f"convolution to {dtype}": conv(y=tensor((1, 2, 2, 4), 0.5, dtype=dtype))
        for dtype in ("uint8", "int16", "int64", "float32")
    },
    **{
        f"convolution with bias of {dtype}": conv(b=tensor((4,), 0.25, dtype=dtype))
        for dtype in ("int8", "int64", "float32")
    },
    "addition to int16": one("ADD", ACTIVATION, ROW, ROW, tensor((1, 4), 0.1, dtype="int16")),
    "pooling to uint8": one(
        "AVERAGE_POOL_2D", POOL, IMAGE, tensor((1, 2, 2, 2), 0.5, 3, dtype="uint8")
    ),
    "softmax to uint8": one(
        "SOFTMAX", {"beta": 1.0}, ROW, tensor((1, 4), 1 / 256, 0, dtype="uint8")
    ),
    "softmax to float": one(
        "SOFTMAX", {"beta": 1.0}, ROW, tensor((1, 4), 1 / 256, 0, dtype="float32")
    ),
    "fully connected to int16": OneOp(
        "FULLY_CONNECTED",
        ACTIVATION,
        (ROW, tensor((2, 4), 0.5)),
        tensor((1, 2), 0.5, dtype="int16"),
        (None, np.ones((2, 4), np.int8)),
        frozenset({1}),
    ).model(),
}


@pytest.mark.parametrize("name", INT8_ONLY)
def test_other_types_of_bias_and_output_are_refused(name: str, tmp_path: Path) -> None:
    """LiteRT refuses each of these in Prepare; none may run on silently reinterpreted codes."""
    with pytest.raises((IllegalGraph, Unsupported)) as caught:
        load(INT8_ONLY[name], tmp_path)
    assert "\n" not in str(caught.value)


NONSENSE: dict[str, bytes] = {
    "convolution with padding 7": conv(padding=7),
    "pooling with padding 7": one("AVERAGE_POOL_2D", {**POOL, "padding": 7}, IMAGE, IMAGE),
    "input zero point of 2^40": conv(x=tensor((1, 2, 2, 2), 0.5, 2**40)),
    "softmax with beta below 0": one("SOFTMAX", {"beta": -1.0}, ROW, PROBABILITIES),
    "softmax with beta no number": one("SOFTMAX", {"beta": NAN}, ROW, PROBABILITIES),
    "RELU6 where 6 has no code": conv(
        y=tensor((1, 2, 2, 4), 1e-44), fused_activation_function="RELU6"
    ),
    "addition of one": one("ADD", ACTIVATION, ROW, ROW),
    "two outputs of a reshape": write_model(
        [TensorSpec(n, (4,), "int8", (0.5,), (0,)) for n in "xyz"],
        [OperatorSpec("RESHAPE", (0,), (1, 2))],
        [0],
        [1],
    ),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_an_illegal_graph(name: str, tmp_path: Path) -> None:
    """The bytes are sound, the graph is not: neither a crash nor 'the file is truncated'."""
    with pytest.raises((IllegalGraph, Unsupported)) as caught:
        load(NONSENSE[name], tmp_path)
    assert "\n" not in str(caught.value)


def test_int4_weights_are_refused_by_name(tmp_path: Path) -> None:
    model = fb.damaged(
        conv(w=tensor((4, 1, 1, 4), (0.5, 0.25, 0.125, 1.0), axis=0)),
        fb.both(
            fb.tensor_edit(1, fb.put_scalar, fb.TENSOR_TYPE, "b", 17),
            fb.tensor_edit(1, fb.put_element, fb.TENSOR_SHAPE, 3, "i", 8),
        ),
    )
    with pytest.raises((IllegalGraph, Unsupported), match="int4"):
        load(model, tmp_path)


@pytest.mark.parametrize(
    "edit",
    [
        fb.node_edit(0, fb.put_element, fb.NODE_OUTPUTS, 0, "i", -1),
        fb.graph_edit(fb.put_element, fb.GRAPH_INPUTS, 0, "i", -1),
        fb.graph_edit(fb.put_element, fb.GRAPH_OUTPUTS, 0, "i", -1),
    ],
    ids=["node output", "graph input", "graph output"],
)
def test_an_absent_tensor_where_one_must_be(edit: fb.Edit, tmp_path: Path) -> None:
    """Index -1 stands for an optional input that is left out, and for nothing else."""
    with pytest.raises(BitlaneError) as caught:
        load(fb.damaged(conv(), edit), tmp_path)
    assert "\n" not in str(caught.value)


def test_names_scales_and_places_are_kept(tmp_path: Path) -> None:
    odd = (float(np.float32(0.1)), 1e-30, 3e38, float(np.float32(1 / 3)))
    w = tensor((4, 1, 1, 2), tuple(float(np.float32(s)) for s in odd), axis=0)
    graph = load(conv(w=w), tmp_path)
    assert (graph.name, graph.inputs, graph.outputs) == ("m.tflite", ("x0",), ("y",))
    assert graph.tensors["x0"] == IMAGE
    assert graph.tensors["x1"].quant == QuantParams(w.quant.scale if w.quant else (), (0,) * 4, 0)
    assert set(graph.constants) == {"x1", "x2"}
    assert graph.source_index == {"x0": 0, "x1": 1, "x2": 2, "y": 3}
    (node,) = graph.nodes
    assert (node.name, node.inputs, node.outputs) == ("conv_2d_0", ("x0", "x1", "x2"), ("y",))
    assert not graph.constants["x1"].flags.writeable


def reshapes(*names: str) -> bytes:
    """Reshapes in a row over tensors of these names."""
    specs = [TensorSpec(n, (4,), "int8", (0.5,), (0,)) for n in names]
    nodes = [OperatorSpec("RESHAPE", (i,), (i + 1,)) for i in range(len(names) - 1)]
    return write_model(specs, nodes, [0], [len(names) - 1])


def test_empty_and_repeated_names_become_indices(tmp_path: Path) -> None:
    graph = load(reshapes("a", "twice", "", "twice", "b"), tmp_path)
    assert graph.inputs == ("a",)
    assert [n.outputs for n in graph.nodes] == [("t1",), ("t2",), ("t3",), ("b",)]
    outputs, _ = run(graph, {"a": np.arange(4, dtype=np.int8)})
    assert outputs["b"].tolist() == [0, 1, 2, 3]


def test_a_name_that_looks_like_an_index(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        load(reshapes("a", "t0", "t0", "b"), tmp_path)
    assert str(caught.value) == "m.tflite: tensor name 't0' is reserved; rename it"


def test_softmax_of_nothing_is_nothing(tmp_path: Path) -> None:
    empty = tensor((1, 0), 0.1)
    graph = load(one("SOFTMAX", {"beta": 1.0}, empty, tensor((1, 0), 1 / 256, -128)), tmp_path)
    outputs, _ = run(graph, {"x0": np.zeros((1, 0), np.int8)})
    assert outputs["y"].shape == (1, 0)


def assert_refused_or_read(model: bytes, path: Path) -> bool:
    """Read `model` within the time limit; True where it was refused, in one line."""
    path.write_bytes(model)
    start = perf_counter()
    try:
        read(path, dialect("litert-ref"))
        refused = False
    except BitlaneError as error:
        refused = True
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
    assert perf_counter() - start < SECONDS_PER_FILE
    return refused


def test_truncated_anywhere(tmp_path: Path) -> None:
    """Cut at every 97th byte of a real model and at every byte of a small one."""
    whole = digits.model_path().read_bytes()
    refused = [
        assert_refused_or_read(whole[:end], tmp_path / "cut.tflite")
        for end in range(0, len(whole), 97)
    ]
    assert sum(refused) > len(refused) // 2
    small = conv()
    for end in range(len(small)):
        assert_refused_or_read(small[:end], tmp_path / "cut.tflite")


DIGITS = digits.model_path().read_bytes()
places = st.integers(0, len(DIGITS) - 1)
mutations = st.lists(
    st.tuples(places, st.integers(0, 255) | st.sampled_from([0, 1, 127, 128, 254, 255])),
    min_size=1,
    max_size=8,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(mutations)
def test_mutated_bytes_are_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(DIGITS)
    for place, value in changes:
        data[place] = value
    assert_refused_or_read(bytes(data), tmp_path_factory.getbasetemp() / "mutated.tflite")


@pytest.mark.slow
def test_every_byte_set_to_each_extreme(tmp_path: Path) -> None:
    """Every byte of a one-operator model, at eight values: tables, offsets, lengths and names."""
    small = conv()
    for place in range(len(small)):
        for value in (0, 1, 2, 4, 127, 128, 254, 255):
            data = bytearray(small)
            data[place] = value
            assert_refused_or_read(bytes(data), tmp_path / "mutated.tflite")


def test_the_zoo_loads_and_runs() -> None:
    graph = workloads.load("zoo:digits")
    (name,) = graph.inputs
    outputs, _ = run(graph, {name: np.zeros(graph.tensors[name].shape, np.int8)})
    assert [v.shape for v in outputs.values()] == [graph.tensors[n].shape for n in graph.outputs]
