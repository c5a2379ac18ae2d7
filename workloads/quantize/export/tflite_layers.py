"""Convolutions and products with constant weights, as CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED.

Weights are symmetric, with one scale or one a filter; biases lie on s_x s_w.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Node
from simulator.numeric.bounds import UNBOUNDED
from simulator.ops.float_conv_2d import FloatConv2D
from simulator.ops.float_fully_connected import FloatFullyConnected
from simulator.ops.float_matmul import FloatMatMul
from workloads.float_graph import Layer, layer_of
from workloads.float_graph.activations import bounds_on
from workloads.quantize.export.tflite_draft import Draft, Held
from workloads.quantize.export.tflite_grids import FileWeights, file_bias, file_weights
from workloads.quantize.export.tflite_windows import dilations, padded, strides

TO_CHANNELS_LAST: Final = (3, 1, 2, 0)
"""Filters (c m, ky, kx, 1) as DEPTHWISE_CONV_2D has them, (1, ky, kx, c m)."""

_LEAST: Final = float(np.finfo(np.float32).tiny)


def convolution(draft: Draft, node: Node) -> None:
    """CONV_2D, with groups where there are several, or DEPTHWISE_CONV_2D."""
    op, layer, x = node.op, _layer(draft, node), draft.operand(node)
    assert isinstance(op, FloatConv2D)
    weights, bias = _quantized(draft, layer, x)
    scheme, x = padded(draft, x, op.windows)
    options = {**strides(op.windows, scheme), **dilations(op.windows)}
    if layer.groups > 1 and weights.codes.shape[3] == 1:
        turned = np.ascontiguousarray(weights.codes.transpose(TO_CHANNELS_LAST))
        options["depth_multiplier"] = turned.shape[3] // x.shape[3]
        weights = FileWeights(turned, weights.scales, weights.dtype)
        inputs = _inputs(draft, layer, x, weights, bias, 3)
        draft.give(node, "DEPTHWISE_CONV_2D", inputs, options, bounds=op.bounds)
        return
    inputs = _inputs(draft, layer, x, weights, bias, 0)
    draft.give(node, "CONV_2D", inputs, options, bounds=op.bounds)


def product(draft: Draft, node: Node) -> None:
    """FULLY_CONNECTED; BATCH_MATMUL of two tensors that are computed."""
    op = node.op
    if isinstance(op, FloatMatMul) and node.inputs[1] not in draft.graph.constants:
        batch_product(draft, node, op)
        return
    layer, x = _layer(draft, node), draft.operand(node)
    weights, bias = _quantized(draft, layer, x)
    if layer.filter_axis == 1:
        turned = np.ascontiguousarray(weights.codes.T)
        weights = FileWeights(turned, weights.scales, weights.dtype)
    keeps = op.keep_dims if isinstance(op, FloatFullyConnected) else len(x.shape) > 2
    options = {"weights_format": "DEFAULT", "keep_num_dims": keeps}
    inputs = _inputs(draft, layer, x, weights, bias, 0)
    draft.give(node, "FULLY_CONNECTED", inputs, options, bounds=bounds_on(node))


def batch_product(draft: Draft, node: Node, op: FloatMatMul) -> None:
    """BATCH_MATMUL of int8 or int16 tensors."""
    if len(node.inputs) > 2 or op.alpha != 1 or op.bounds != UNBOUNDED:
        found = "an addend, a factor or an activation"
        draft.refuse(node, "BATCH_MATMUL only multiplies", found, "Export them as operators.")
    a, b = draft.operand(node, 0), draft.operand(node, 1)
    draft.give(node, "BATCH_MATMUL", [a.index, b.index], {"adj_x": False, "adj_y": False})


def _layer(draft: Draft, node: Node) -> Layer:
    layer = layer_of(draft.graph, node)
    if layer is None:
        found = f"'{node.inputs[1]}' {draft.graph.tensors[node.inputs[1]].shape}"
        rule = "weights are one constant matrix or filters, the bias is constant, factors are 1"
        draft.refuse(node, rule, found, "Fold them into constants.")
    if layer.weights not in draft.plan.weights:
        draft.refuse(
            node,
            "a full-integer .tflite has no float weights",
            f"'{layer.weights}' without a grid",
            "Quantize it too.",
        )
    return layer


def _quantized(draft: Draft, layer: Layer, x: Held) -> tuple[FileWeights, NDArray[Any]]:
    place = f"{draft.graph.name}, weights '{layer.weights}'"
    held = draft.plan.weights[layer.weights]
    weights = file_weights(held, x.grid, place)
    filters = held.codes.shape[layer.filter_axis]
    bias = draft.graph.constants[layer.bias] if layer.bias else np.zeros(filters)
    codes = file_bias(weights, bias.reshape(-1), x.grid, layer.filter_axis, place)
    return weights, codes


def _inputs(
    draft: Draft, layer: Layer, x: Held, weights: FileWeights, bias: NDArray[Any], axis: int
) -> list[int]:
    """The operator's inputs; filters lie along `axis` of its weights."""
    scales = weights.scales
    w = draft.constant(layer.weights, weights.codes, dtype=weights.dtype, scales=scales, axis=axis)
    steps = tuple(max(float(np.float32(x.grid.scale) * np.float32(s)), _LEAST) for s in scales)
    b = draft.constant(layer.bias or f"{layer.weights}@bias", bias, scales=steps)
    return [x.index, w, b]


EMITTERS: Final[dict[str, Callable[[Draft, Node], None]]] = {
    "float_conv_2d": convolution,
    "float_fully_connected": product,
    "float_matmul": product,
}
"""By kind of operator."""
