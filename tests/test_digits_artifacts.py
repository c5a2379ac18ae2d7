"""The shipped digits network and its held-out images are what their docstring says."""

import importlib.util
from math import prod
from typing import Any

import numpy as np
import pytest
import tflite

from workloads.zoo import digits
from workloads.zoo.digits.quantize import activation_quant, quantize_weights

Array = np.ndarray[Any, Any]

requires_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="ai_edge_litert (extra 'reference') is not installed: the accuracy is not measured",
)


@pytest.fixture(scope="module")
def subgraph() -> Any:
    return tflite.Model.GetRootAs(digits.model_path().read_bytes()).Subgraphs(0)


def operators(subgraph: Any) -> list[tuple[str, Any]]:
    """The operators in order, by schema name."""
    model = tflite.Model.GetRootAs(digits.model_path().read_bytes())
    nodes = [subgraph.Operators(i) for i in range(subgraph.OperatorsLength())]
    return [
        (tflite.opcode2name(model.OperatorCodes(n.OpcodeIndex()).BuiltinCode()), n) for n in nodes
    ]


def quant(subgraph: Any, index: int) -> tuple[list[float], list[int]]:
    """A tensor's scales and zero points."""
    parameters = subgraph.Tensors(index).Quantization()
    return parameters.ScaleAsNumpy().tolist(), parameters.ZeroPointAsNumpy().tolist()


def shape(subgraph: Any, index: int) -> list[int]:
    result: list[int] = subgraph.Tensors(index).ShapeAsNumpy().tolist()
    return result


def litert_codes(images: Array) -> Array:
    """Run the shipped model in LiteRT's reference kernels; int8 (N, 10)."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_path=str(digits.model_path()),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
    )
    detail = interpreter.get_input_details()[0]
    interpreter.resize_tensor_input(detail["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], digits.quantize_input(images, *detail["quantization"]))
    interpreter.invoke()
    codes: Array = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return codes


def test_files_are_small() -> None:
    assert 4_000 < digits.model_path().stat().st_size < 40_000
    assert (digits.model_path().parent / "heldout.npz").stat().st_size < 20_000


def test_heldout_is_stratified() -> None:
    images, labels = digits.heldout()
    assert (images.shape, images.dtype) == ((360, 8, 8, 1), np.uint8)
    assert (labels.shape, labels.dtype) == ((360,), np.uint8)
    assert (images.min(), images.max()) == (0, 16)
    assert set(np.bincount(labels)) <= {34, 35, 36, 37}


def test_quantize_input_is_exact_and_clamps(subgraph: Any) -> None:
    (scale,), (zero_point,) = quant(subgraph, subgraph.Inputs(0))
    pixels = np.arange(17, dtype=np.uint8)
    codes = digits.quantize_input(pixels, scale, zero_point)
    assert codes.tolist() == [15 * p - 128 for p in range(17)]
    assert digits.quantize_input(pixels, 0.1, 0).tolist() == [min(10 * p, 127) for p in range(17)]


@requires_litert
def test_accuracy_of_the_int8_network() -> None:
    images, labels = digits.heldout()
    accuracy = (litert_codes(images).argmax(1) == labels).mean()
    assert accuracy >= 0.97


def test_operators_and_macs(subgraph: Any) -> None:
    nodes = operators(subgraph)
    assert [name for name, _ in nodes] == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "CONV_2D",
        "CONV_2D",
        "ADD",
        "AVERAGE_POOL_2D",
        "RESHAPE",
        "FULLY_CONNECTED",
        "SOFTMAX",
    ]
    macs = 0
    for name, node in nodes:
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            kernel = shape(subgraph, node.Inputs(1))
            per_output = kernel[:3] if name == "DEPTHWISE_CONV_2D" else kernel[1:]
            macs += prod(shape(subgraph, node.Outputs(0))) * prod(per_output)
    assert macs == 168_448
    assert [shape(subgraph, n.Inputs(1))[1:3] for _, n in nodes[:4]] == [
        [3, 3],
        [3, 3],
        [1, 1],
        [3, 3],
    ]
    assert nodes[4][1].Inputs(0) == nodes[3][1].Inputs(0), "the ADD closes a residual"


def test_weights_and_biases_follow_the_int8_specification(subgraph: Any) -> None:
    model = tflite.Model.GetRootAs(digits.model_path().read_bytes())
    for name, node in operators(subgraph):
        if node.InputsLength() != 3:
            continue
        source, weights, bias = node.InputsAsNumpy().tolist()
        scales, zero_points = quant(subgraph, weights)
        axis = subgraph.Tensors(weights).Quantization().QuantizedDimension()
        assert axis == (3 if name == "DEPTHWISE_CONV_2D" else 0)
        channels = 1 if name == "FULLY_CONNECTED" else shape(subgraph, weights)[axis]
        assert len(scales) == channels
        assert set(zero_points) == {0}
        codes = model.Buffers(subgraph.Tensors(weights).Buffer()).DataAsNumpy().view(np.int8)
        assert np.abs(codes.astype(int)).max() == 127
        expected = quant(subgraph, source)[0][0] * np.array(scales)
        np.testing.assert_allclose(quant(subgraph, bias)[0], expected, rtol=1e-6)
        assert subgraph.Tensors(bias).Type() == tflite.TensorType.INT32


def test_activations_follow_the_int8_specification(subgraph: Any) -> None:
    nodes = operators(subgraph)
    for name, node in nodes:
        if name in ("AVERAGE_POOL_2D", "RESHAPE"):
            assert quant(subgraph, node.Inputs(0)) == quant(subgraph, node.Outputs(0))
    assert quant(subgraph, nodes[-1][1].Outputs(0)) == ([1 / 256], [-128])
    for _, node in nodes:
        assert subgraph.Tensors(node.Outputs(0)).Type() == tflite.TensorType.INT8


def test_weights_use_the_whole_symmetric_range() -> None:
    weights = np.array([[[[1.0, -0.25]]], [[[0.5, 0.5]]], [[[0.0, 0.0]]]])
    codes, scales = quantize_weights(weights, axis=0)
    assert codes.reshape(3, 2).tolist() == [[127, -32], [127, 127], [0, 0]]
    np.testing.assert_allclose(scales[:2], [1 / 127, 0.5 / 127], rtol=1e-6)
    codes, scales = quantize_weights(weights, axis=None)
    assert codes.reshape(3, 2).tolist() == [[127, -32], [64, 64], [0, 0]]
    assert scales.shape == (1,)


@pytest.mark.parametrize(
    ("values", "zero_point", "span"),
    [([0.0, 2.55], -128, 2.55), ([1.0, 2.55], -128, 2.55), ([-1.0, 1.55], -28, 2.55)],
)
def test_activation_range_contains_zero(values: list[float], zero_point: int, span: float) -> None:
    scale, got = activation_quant(np.array(values))
    assert got == zero_point
    assert scale == pytest.approx(span / 255, rel=1e-6)
