"""Convolutions and matrix products as ONNX has them: Conv, Gemm, MatMul."""

from math import prod

import numpy as np

from simulator.graph import Array, Node
from simulator.numeric.matmul import Window
from simulator.ops.float_conv_2d import FloatConv2D
from simulator.ops.float_fully_connected import FloatFullyConnected
from simulator.ops.float_matmul import FloatMatMul
from workloads.float_graph import Layer, layer_of
from workloads.float_graph.activations import bounds_on
from workloads.quantize.export.onnx_values import Order, Values

OIHW = (0, 3, 1, 2)
"""Axis k of ONNX's weights of a convolution is axis OIHW[k] of (filters, ky, kx, channels)."""


def pads_of(over: Window, image: tuple[int, ...]) -> list[int]:
    """Padding before and behind (top, left, bottom, right) of a window on (n, h, w, c)."""
    behind = [
        max((out - 1) * stride + (kernel - 1) * dilation + 1 - size - before, 0)
        for out, stride, kernel, dilation, size, before in zip(
            over.output,
            over.stride,
            over.kernel,
            over.dilation,
            image[1:3],
            over.padding,
            strict=True,
        )
    ]
    return [*over.padding, *behind]


def convolution(values: Values, node: Node) -> None:
    """Conv, of any groups."""
    assert isinstance(node.op, FloatConv2D)
    layer = _layer(values, node)
    image = values.shape(layer.activations)
    over = node.op.windows.over(image)
    x = _beside(values, layer, values.at(layer.activations, "nchw"))
    inputs = [x, _weights(values, layer, OIHW, 0)]
    if layer.bias:
        inputs.append(_bias(values, layer))
    y = values.writer.node(
        "Conv",
        inputs,
        f"{layer.output}_real",
        kernel_shape=over.kernel,
        strides=over.stride,
        dilations=over.dilation,
        pads=pads_of(over, image),
        group=layer.groups,
    )
    values.put(layer.output, "nchw", y, bounds_on(node))


def fully_connected(values: Values, node: Node) -> None:
    """Gemm of rows and weights (filters, inputs)."""
    assert isinstance(node.op, FloatFullyConnected)
    layer = _layer(values, node)
    shape = values.graph.constants[layer.weights].shape
    rows = prod(values.shape(layer.activations)) // shape[1]
    x = _beside(values, layer, _as_rows(values, layer.activations, (rows, shape[1])))
    inputs = [x, _weights(values, layer, (0, 1), 0)]
    if layer.bias:
        inputs.append(_bias(values, layer))
    _put_rows(values, node, inputs, (rows, shape[0]), 1.0, 1.0, turned=True)


def matrix_product(values: Values, node: Node) -> None:
    """Gemm where one matrix is constant and has a bias, else MatMul."""
    op = node.op
    assert isinstance(op, FloatMatMul)
    layer = layer_of(values.graph, node)
    x, w = node.inputs[:2]
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    if layer is None or not (bias or op.turned):
        if bias or op.alpha != 1:
            _plain_gemm(values, node, bias)
            return
        held = values.at(w, "own") if layer is None else _weights(values, layer, (0, 1), 1)
        y = values.writer.node("MatMul", [values.at(x, "own"), held], f"{node.outputs[0]}_real")
        values.put(node.outputs[0], "own", y, bounds_on(node))
        return
    shape = values.graph.constants[w].shape
    rows = prod(values.shape(x)) // shape[0]
    order, axis = ((1, 0), 0) if op.turned else ((0, 1), 1)
    given = _beside(values, layer, _as_rows(values, x, (rows, shape[0])))
    inputs = [given, _weights(values, layer, order, axis)]
    if bias:
        inputs.append(_bias(values, layer))
    _put_rows(values, node, inputs, (rows, shape[1]), 1.0, 1.0, turned=op.turned)


def _plain_gemm(values: Values, node: Node, bias: str) -> None:
    """A product with factors or an addend that is no bias: of two matrices."""
    op = node.op
    assert isinstance(op, FloatMatMul)
    shapes = [values.shape(name) for name in node.inputs[:2]]
    if any(len(shape) != 2 for shape in shapes):
        raise values.refuse(node, "a product with factors or an addend needs matrices of 2 axes")
    inputs = [values.at(name, "own") for name in (*node.inputs[:2], bias) if name]
    _put_rows(values, node, inputs, values.shape(node.outputs[0]), op.alpha, op.beta, turned=False)


def _put_rows(
    values: Values,
    node: Node,
    inputs: list[str],
    shape: tuple[int, ...],
    alpha: float,
    beta: float,
    *,
    turned: bool,
) -> None:
    """Gemm, its output in the shape that the graph has."""
    writer, name = values.writer, node.outputs[0]
    options = {key: v for key, v in (("alpha", alpha), ("beta", beta)) if v != 1}
    y = writer.node("Gemm", inputs, f"{name}_real", transB=int(turned), **options)
    values.put(name, "own", y, bounds_on(node))
    wanted = values.shape(name)
    if wanted != shape:
        held = values.at(name, "own")
        values.put_moved(name, "own", _reshaped(values, held, name, wanted))


def _as_rows(values: Values, name: str, shape: tuple[int, int]) -> str:
    """A tensor as a matrix."""
    x = values.at(name, "own")
    if values.shape(name) == shape:
        return x
    value = _reshaped(values, x, f"{name}_rows", shape)
    grid = values.plan.activations.get(name)
    if grid is None:
        return value
    return values.quantizers.moved(values.writer, value, f"{name}_rows", grid)


def _reshaped(values: Values, value: str, stem: str, shape: tuple[int, ...]) -> str:
    target = values.writer.constant("shape", np.array(shape, np.int64))
    return values.writer.node("Reshape", [value, target], f"{stem}_reshaped")


def _layer(values: Values, node: Node) -> Layer:
    layer = layer_of(values.graph, node)
    if layer is None:
        raise values.refuse(node, "weights and bias must be constant; fold them first")
    return layer


def _beside(values: Values, layer: Layer, value: str) -> str:
    """What the weights are multiplied with: between grids a format may guard real ones."""
    grids = values.plan.activations
    between = layer.activations in grids and layer.output in grids
    if between and layer.weights not in values.plan.weights:
        return values.quantizers.beside_reals(values.writer, value, layer.output)
    return value


def _weights(values: Values, layer: Layer, order: Order, axis: int) -> str:
    """The weights on their grid, or as they are."""
    if layer.weights in values.plan.weights:
        return values.quantizers.weights(values.writer, values.plan, layer, order, axis)
    value: Array = values.graph.constants[layer.weights]
    return values.writer.constant(layer.weights, value.transpose(order))


def _bias(values: Values, layer: Layer) -> str:
    """The bias on the grid of an integer layer, or as it is; (filters,)."""
    if values.plan.is_integer(layer):
        return values.quantizers.bias(values.writer, values.plan, layer)
    return values.writer.constant(layer.bias, values.graph.constants[layer.bias].reshape(-1))
