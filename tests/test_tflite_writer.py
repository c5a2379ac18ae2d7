"""Models from the writer load in LiteRT and compute what one can see by eye."""

import importlib.util
from typing import Any

import numpy as np
import pytest
import tflite

from simulator.errors import IllegalGraph
from workloads.tflite.tensors import unpack_int4
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

Array = np.ndarray[Any, Any]

requires_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="ai_edge_litert (extra 'reference') is not installed: written models are not run",
)

CONV = {"padding": "SAME", "stride_w": 1, "stride_h": 1}
POOL = {"padding": "VALID", "stride_w": 2, "stride_h": 2, "filter_width": 2, "filter_height": 2}
FEATURES = np.arange(-16, 16, dtype=np.int8).reshape(1, 4, 4, 2)
ROW = np.array([[-128, -40, -1, 0, 1, 7, 90, 127]], np.int8)


def act(
    shape: tuple[int, ...], scale: float = 0.5, zero: int = 0, dtype: str = "int8"
) -> TensorSpec:
    """An int8 activation (or of another dtype), quantized per tensor."""
    return TensorSpec("x", shape, dtype, (scale,), (zero,))


def real(shape: tuple[int, ...]) -> TensorSpec:
    """A float32 activation."""
    return TensorSpec("x", shape, "float32")


def const(data: Array, scale: float | tuple[float, ...] | None = None, axis: int = 0) -> TensorSpec:
    """A constant, quantized symmetrically if a scale is given."""
    scales = (scale,) if isinstance(scale, float) else scale
    zeros = None if scales is None else (0,) * len(scales)
    return TensorSpec("c", data.shape, str(data.dtype), scales, zeros, axis, data)


ABSENT = TensorSpec("absent", (0,), "float32")


def bias(channels: int, scale: float) -> TensorSpec:
    return const(np.zeros(channels, np.int32), (scale,) * channels)


def identity_taps() -> Array:
    """A depthwise 3x3 kernel over two channels with only the centre set."""
    taps = np.zeros((1, 3, 3, 2), np.int8)
    taps[0, 1, 1] = 1
    return taps


def ints(*values: int) -> Array:
    return np.array(values, np.int32)


# name: (operator, options, inputs, output, values of the non-constant inputs, expected output)
Case = tuple[str, dict[str, object], list[TensorSpec], TensorSpec, list[Array], Array]
CASES: dict[str, Case] = {
    "convolution by the identity, one scale per channel": (
        "CONV_2D",
        {**CONV, "dilation_w_factor": 1, "dilation_h_factor": 1},
        [
            act((1, 4, 4, 2)),
            const(np.array([[1, 0], [0, 2]], np.int8).reshape(2, 1, 1, 2), (1.0, 0.5)),
            const(np.zeros(2, np.int32), (0.5, 0.25)),
        ],
        act((1, 4, 4, 2)),
        [FEATURES],
        FEATURES,
    ),
    "strided convolution keeps the corners": (
        "CONV_2D",
        {"padding": "VALID", "stride_w": 3, "stride_h": 3, "fused_activation_function": "RELU"},
        [
            act((1, 4, 4, 2)),
            const(np.eye(2, dtype=np.int8).reshape(2, 1, 1, 2), (1.0, 1.0)),
            bias(2, 0.5),
        ],
        act((1, 2, 2, 2)),
        [FEATURES],
        np.maximum(FEATURES[:, ::3, ::3], 0),
    ),
    "float fully connected without bias": (
        "FULLY_CONNECTED",
        {},
        [real((1, 2)), const(np.array([[3, 1]], np.float32)), ABSENT],
        real((1, 1)),
        [np.array([[2, 5]], np.float32)],
        np.array([[11]], np.float32),
    ),
    "depthwise convolution by the centre tap": (
        "DEPTHWISE_CONV_2D",
        {**CONV, "depth_multiplier": 1},
        [act((1, 4, 4, 2)), const(identity_taps(), (1.0, 1.0), axis=3), bias(2, 0.5)],
        act((1, 4, 4, 2)),
        [FEATURES],
        FEATURES,
    ),
    "fully connected swaps two": (
        "FULLY_CONNECTED",
        {"weights_format": "DEFAULT", "keep_num_dims": False},
        [act((1, 2)), const(np.array([[0, 1], [1, 0]], np.int8), 1.0), const(ints(0, 10), 0.5)],
        act((1, 2)),
        [np.array([[3, -4]], np.int8)],
        np.array([[-4, 13]], np.int8),
    ),
    "addition": (
        "ADD",
        {"fused_activation_function": "NONE"},
        [act((1, 8)), act((1, 8))],
        act((1, 8), 1.0),
        [ROW, ROW],
        ROW,
    ),
    "subtraction": (
        "SUB",
        {},
        [act((1, 8)), const(np.full((1, 8), 1, np.int8), 0.5)],
        act((1, 8)),
        [ROW],
        np.maximum(ROW.astype(np.int16) - 1, -128).astype(np.int8),
    ),
    "multiplication": (
        "MUL",
        {},
        [act((1, 8)), const(np.full((1, 8), -2, np.int8), 0.5)],
        act((1, 8)),
        [ROW],
        np.minimum(-ROW.astype(np.int16), 127).astype(np.int8),
    ),
    "average pooling": (
        "AVERAGE_POOL_2D",
        POOL,
        [act((1, 2, 4, 1))],
        act((1, 1, 2, 1)),
        [np.array([[0, 4, -8, -8], [4, 8, -8, -8]], np.int8).reshape(1, 2, 4, 1)],
        np.array([4, -8], np.int8).reshape(1, 1, 2, 1),
    ),
    "max pooling": (
        "MAX_POOL_2D",
        POOL,
        [act((1, 4, 4, 2))],
        act((1, 2, 2, 2)),
        [FEATURES],
        FEATURES[:, 1::2, 1::2],
    ),
    "softmax of equals": (
        "SOFTMAX",
        {"beta": 1.0},
        [act((1, 4))],
        act((1, 4), 1 / 256, -128),
        [np.full((1, 4), 9, np.int8)],
        np.full((1, 4), 256 // 4 - 128, np.int8),
    ),
    "reshape by its option": (
        "RESHAPE",
        {"new_shape": (2, 4)},
        [act((1, 8))],
        act((2, 4)),
        [ROW],
        ROW.reshape(2, 4),
    ),
    "reshape by a tensor": (
        "RESHAPE",
        {},
        [act((1, 8)), const(ints(4, -1))],
        act((4, 2)),
        [ROW],
        ROW.reshape(4, 2),
    ),
    "padding with the zero point": (
        "PAD",
        {},
        [act((1, 8), zero=5), const(np.array([[0, 0], [1, 2]], np.int32))],
        act((1, 11), zero=5),
        [ROW],
        np.pad(ROW, ((0, 0), (1, 2)), constant_values=5),
    ),
    "mean": (
        "MEAN",
        {"keep_dims": True},
        [act((1, 2, 2, 1)), const(ints(1, 2))],
        act((1, 1, 1, 1)),
        [np.array([1, 2, 3, 6], np.int8).reshape(1, 2, 2, 1)],
        np.full((1, 1, 1, 1), 3, np.int8),
    ),
    "concatenation": (
        "CONCATENATION",
        {"axis": 1},
        [act((1, 8)), act((1, 8))],
        act((1, 16)),
        [ROW, ROW],
        np.concatenate([ROW, ROW], 1),
    ),
    "logistic of zero": (
        "LOGISTIC",
        {},
        [act((1, 1))],
        act((1, 1), 1 / 256, -128),
        [np.zeros((1, 1), np.int8)],
        np.zeros((1, 1), np.int8),
    ),
    "quantize": (
        "QUANTIZE",
        {},
        [real((1, 3))],
        act((1, 3), 0.5, 1),
        [np.array([[0, 1, -1]], np.float32)],
        np.array([[1, 3, -1]], np.int8),
    ),
    "dequantize": (
        "DEQUANTIZE",
        {},
        [act((1, 3), 0.5, 1)],
        real((1, 3)),
        [np.array([[1, 3, -1]], np.int8)],
        np.array([[0, 1, -1]], np.float32),
    ),
    "relu": ("RELU", {}, [act((1, 8))], act((1, 8)), [ROW], np.maximum(ROW, 0)),
    "relu6": ("RELU6", {}, [act((1, 8))], act((1, 8)), [ROW], np.clip(ROW, 0, 12)),
    "16-bit addition": (
        "ADD",
        {"pot_scale_int16": False},
        [act((1, 2), 0.5, dtype="int16"), act((1, 2), 0.5, dtype="int16")],
        act((1, 2), 0.5, dtype="int16"),
        [np.array([[300, -7]], np.int16), np.array([[1000, 8]], np.int16)],
        np.array([[1300, 1]], np.int16),
    ),
}


def one_operator(case: Case) -> bytes:
    """Build the case's model; constants and ABSENT are not inputs of the graph."""
    op, options, sources, result, _, _ = case
    tensors = [*sources, result]
    absent = {i for i, t in enumerate(sources) if t is ABSENT}
    feeds = [i for i, t in enumerate(sources) if t.data is None and i not in absent]
    inputs = tuple(-1 if i in absent else i for i in range(len(sources)))
    node = OperatorSpec(op, inputs, (len(sources),), options)
    return write_model(tensors, [node], feeds, [len(sources)])


@requires_litert
@pytest.mark.parametrize("name", CASES)
def test_litert_computes_the_obvious(name: str) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=one_operator(CASES[name]),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    interpreter.allocate_tensors()
    *_, values, expected = CASES[name]
    for detail, value in zip(interpreter.get_input_details(), values, strict=True):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)


def test_layout_of_the_file() -> None:
    weights = np.arange(5, dtype=np.int8).reshape(5, 1)
    model = write_model(
        [act((1, 1)), const(weights, 1.0), const(ints(1, 2, 3, 4, 5), 0.5), act((1, 5))],
        [OperatorSpec("FULLY_CONNECTED", (0, 1, 2), (3,), {}, version=4)],
        [0],
        [3],
    )
    assert model[4:8] == b"TFL3"
    parsed = tflite.Model.GetRootAs(model)
    assert parsed.Version() == 3
    assert parsed.Buffers(0).DataIsNone()
    buffers = [parsed.Subgraphs(0).Tensors(i).Buffer() for i in range(4)]
    assert buffers == [0, 1, 2, 0]
    assert parsed.Buffers(1).DataAsNumpy().tobytes() == weights.tobytes()
    for payload in (weights.tobytes(), ints(1, 2, 3, 4, 5).tobytes()):
        assert model.count(payload) == 1
        assert model.index(payload) % 16 == 0
    code = parsed.OperatorCodes(0)
    assert (
        code.BuiltinCode() == code.DeprecatedBuiltinCode() == tflite.BuiltinOperator.FULLY_CONNECTED
    )
    assert code.Version() == 4


def test_int4_lies_two_a_byte() -> None:
    """The low half first, two's complement; an odd last one leaves the high half 0."""
    weights = np.array([-8, 7, 3, -1, 5], np.int8).reshape(5, 1)
    spec = TensorSpec("c", (5, 1), "int4", (1.0,), (0,), data=weights)
    node = OperatorSpec("FULLY_CONNECTED", (0, 1, 2), (3,))
    model = write_model([act((1, 1)), spec, const(ints(0), 0.5), act((1, 5))], [node], [0], [3])
    parsed = tflite.Model.GetRootAs(model)
    assert parsed.Subgraphs(0).Tensors(1).Type() == tflite.TensorType.INT4
    assert parsed.Buffers(1).DataAsNumpy().tobytes() == bytes([0x78, 0xF3, 0x05])
    np.testing.assert_array_equal(
        unpack_int4(parsed.Buffers(1).DataAsNumpy(), 5), weights.reshape(-1)
    )
    wide = TensorSpec("c", (5, 1), "int4", (1.0,), (0,), data=weights + np.int8(1))
    with pytest.raises(IllegalGraph, match=r"tensor 0 \('c'\): int4 holds -8 to 7; found -7 to 8"):
        write_model([wide], [], [], [])


def test_codes_above_127_use_the_placeholder() -> None:
    node = OperatorSpec("GELU", (0,), (1,), {"approximate": True})
    parsed = tflite.Model.GetRootAs(write_model([real((1,)), real((1,))], [node, node], [0], [1]))
    assert parsed.OperatorCodesLength() == 1
    assert parsed.OperatorCodes(0).BuiltinCode() == tflite.BuiltinOperator.GELU
    assert parsed.OperatorCodes(0).DeprecatedBuiltinCode() == 127


def test_options_and_quantization_read_back() -> None:
    case = CASES["strided convolution keeps the corners"]
    graph = tflite.Model.GetRootAs(one_operator(case)).Subgraphs(0)
    options = tflite.Conv2DOptions()
    union = graph.Operators(0).BuiltinOptions()
    options.Init(union.Bytes, union.Pos)
    assert options.Padding() == tflite.Padding.VALID
    assert (options.StrideW(), options.DilationHFactor()) == (3, 1)
    assert options.FusedActivationFunction() == tflite.ActivationFunctionType.RELU
    quant = (
        tflite.Model.GetRootAs(one_operator(CASES["depthwise convolution by the centre tap"]))
        .Subgraphs(0)
        .Tensors(1)
        .Quantization()
    )
    assert quant.QuantizedDimension() == 3
    assert quant.ScaleAsNumpy().tolist() == [1.0, 1.0]
    assert quant.ZeroPointAsNumpy().tolist() == [0, 0]


def _model_of(tensor: TensorSpec, node: OperatorSpec | None = None) -> bytes:
    return write_model([tensor, act((1,))], [node] if node else [], [0], [1])


@pytest.mark.parametrize(
    ("tensor", "node", "message"),
    [
        (TensorSpec("w", (1,), "int2"), None, r"tensor 0 \('w'\): dtype 'int2'"),
        (TensorSpec("w", (1,), "int8", (1.0,)), None, "1 scales, 0 zero points"),
        (TensorSpec("w", (3, 2), "int8", (1.0, 1.0), (0, 0)), None, "2 scales do not fit axis 0"),
        (TensorSpec("w", (2,), "int8", data=np.zeros(3, np.int8)), None, r"int8\[3\], the tensor"),
        (act((1,)), OperatorSpec("RELU", (7,), (1,)), r"node 0 \(RELU\): tensor 7 does not exist"),
        (act((1,)), OperatorSpec("RELU", (0,), (-1,)), "tensor -1 does not exist"),
        (act((1,)), OperatorSpec("CONV2D", (0,), (1,)), "'CONV2D' is not a builtin operator"),
        (act((1,)), OperatorSpec("RELU", (0,), (1,), {"beta": 1}), "no options; leave out beta"),
        (act((1,)), OperatorSpec("SOFTMAX", (0,), (1,), {"gamma": 1}), "has no field 'gamma'"),
        (act((1,)), OperatorSpec("SOFTMAX", (0,), (1,), {"beta": [1]}), "takes a number"),
        (act((1,)), OperatorSpec("CONV_2D", (0,), (1,), {"padding": "FULL"}), "'FULL' is no value"),
    ],
)
def test_contradictions_are_refused(
    tensor: TensorSpec, node: OperatorSpec | None, message: str
) -> None:
    with pytest.raises(IllegalGraph, match=message):
        _model_of(tensor, node)
