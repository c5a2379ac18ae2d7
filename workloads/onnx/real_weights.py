"""Real weights between quantized activations: ONNX Runtime quantizes them to int8 before it fuses.

Facts: onnxruntime 1.31.1 core/optimizer/qdq_transformer/weight_bias_quantization.cc and
core/util/qmath.h GetQuantizationParameter: one scale and zero point over the range with 0.
"""

from dataclasses import replace

import numpy as np

from simulator.graph import Array
from workloads.onnx.model import Model, OnnxNode, Tensor
from workloads.onnx.qdq import DEQUANTIZE, Edges, ends_on_grid


def quantize_weights(model: Model) -> None:
    """Give real constant weights of Conv and Gemm codes and a DequantizeLinear."""
    edges = Edges(model)
    nodes = list[OnnxNode]()
    for node in model.nodes:
        if node.op in ("Conv", "Gemm") and _is_taken(model, edges, node):
            made = _define(model, node)
            nodes.append(made)
            node = replace(node, inputs=(node.inputs[0], made.outputs[0], *node.inputs[2:]))
        nodes.append(node)
    model.nodes = nodes


def _is_taken(model: Model, edges: Edges, node: OnnxNode) -> bool:
    x, w, bias = edges.producers.get(node.inputs[0]), node.inputs[1], node.input(2)
    if x is None or x.op != DEQUANTIZE or model.scalar(x.input(1)) is None:
        return False
    if w not in model.constants or model.types[w].element != "float":
        return False
    if bias and (bias not in model.constants or model.constants[bias].ndim != 1):
        return False
    return ends_on_grid(edges, node)


def _define(model: Model, node: OnnxNode) -> OnnxNode:
    """Constants of codes, scale and zero point, and the DQ that reads them."""
    name = node.inputs[1]
    codes, scale, zero = int8_codes(model.constants[name])
    held = {"codes": codes, "scale": scale, "zero": zero}
    names = {what: model.fresh(f"{name}_{what}{node.index}") for what in (*held, "values")}
    for what, value in held.items():
        model.constants[names[what]] = value
        element = "float" if what == "scale" else "int8"
        model.types[names[what]] = Tensor(element, value.shape)
    model.types[names["values"]] = model.types[name]
    inputs = (names["codes"], names["scale"], names["zero"])
    # Above every index there is and the ones that biases get.
    index = 3 * (max(n.index for n in model.nodes) + 1) + node.index
    return OnnxNode(index, DEQUANTIZE, inputs, (names["values"],), {}, "", f"{node.place}, weights")


def int8_codes(weights: Array) -> tuple[Array, Array, Array]:
    """Codes, scale and zero point in int8 of real weights, every step in float32."""
    low, high = (np.float32(end) for end in (min(weights.min(), 0), max(weights.max(), 0)))
    scale = np.float32((high - low) / np.float32(255)) if high != low else np.float32(1)
    start = np.float32(-128) - low / scale
    zero = np.rint(np.clip(start, np.float32(-128), np.float32(127)))
    codes = np.clip(np.rint(weights / scale) + zero, -128, 127).astype(np.int8)
    return codes, np.array(scale, np.float32), np.array(zero, np.int8)
