"""Models from the writer load in LiteRT and compute what one can see by eye."""

import numpy as np
import pytest
import tflite

from simulator.errors import IllegalGraph
from tests.ops.litert import requires_litert
from tests.tflite_cases import CASES, act, const, ints, one_operator, real
from workloads.tflite.tensors import unpack_int4
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model


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
