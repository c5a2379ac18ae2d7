"""Batch normalization folded into the weights and biases beside it.

y = gamma (x - mean) / sqrt(variance + epsilon) + beta is g x + o with one g and o a channel
(Jacob et al. 2018, arXiv 1712.05877, section 3.2, eq. 14; Nagel et al. 2021, arXiv 2106.08295,
section 3.1). Products and sums with constants a channel are folded too: files hold normalizations
that were taken apart.

After a layer, w' = g w and b' = g b + o: exact. Before one, w' = w g and b' = b + w o: exact unless
the layer pads, for zeros are padded behind the normalization; there only o = 0 is folded. New
values are computed in double and rounded once to the graph's own dtype.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array, Graph, Node
from simulator.numeric.bounds import UNBOUNDED
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.batch_normalization import BatchNormalization
from simulator.ops.float_conv_2d import FloatConv2D
from workloads.float_graph.activations import bounded, bounds_on
from workloads.float_graph.edit import decoded, only_reader, producer, rebuilt
from workloads.float_graph.layers import Layer, layer_of

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class ChannelMap:
    """A node y = gain x + offset with one of both a channel, the last axis of `x`."""

    node: Node
    x: str
    gain: Doubles
    offset: Doubles


def fold_batch_norm(graph: Graph) -> Graph:
    """The graph with every normalization folded that a layer before or behind it can take."""
    while True:
        before = graph
        for node in before.nodes:
            found = channel_map(graph, node)
            if found is not None:
                graph = _after_layer(graph, found) or _before_layer(graph, found) or graph
        if graph is before:
            return graph


def channel_map(graph: Graph, node: Node) -> ChannelMap | None:
    """A node as a map of channels; None where it is none or its parameters are computed."""
    kind = graph.tensors[node.outputs[0]]
    if not kind.shape or not kind.dtype.startswith("float"):
        return None
    held = [graph.constants.get(name) for name in node.inputs]
    if isinstance(node.op, BatchNormalization):
        if node.op.axis != len(kind.shape) - 1 or any(value is None for value in held[1:]):
            return None
        gamma, beta, mean, variance = (np.asarray(v, np.float64) for v in held[1:])
        gain = gamma / np.sqrt(variance + node.op.epsilon)
        return ChannelMap(node, node.inputs[0], gain, beta - mean * gain)
    if isinstance(node.op, Arithmetic) and len(held) == 2:
        return _arithmetic(graph, node, node.op.function, held)
    return None


def _arithmetic(
    graph: Graph, node: Node, function: str, held: list[Array | None]
) -> ChannelMap | None:
    first, second = held
    at = 0 if first is None else 1
    value = second if first is None else first
    shape = graph.tensors[node.outputs[0]].shape
    if value is None or (first is not None and second is not None):
        return None
    one_a_channel = value.size == 1 or (value.size,) == value.shape[-1:] == shape[-1:]
    if graph.tensors[node.inputs[at]].shape != shape or not one_a_channel:
        return None
    number = np.broadcast_to(value.astype(np.float64).reshape(-1), shape[-1:])
    one, zero = np.ones(shape[-1]), np.zeros(shape[-1])
    maps = {
        "add": (one, number),
        "mul": (number, zero),
        "sub": (one, -number) if at == 0 else (-one, number),
    }
    if function == "div" and at == 0 and np.all(number != 0):
        maps["div"] = (1 / number, zero)
    return ChannelMap(node, node.inputs[at], *maps[function]) if function in maps else None


def _after_layer(graph: Graph, found: ChannelMap) -> Graph | None:
    """Folded into the layer that produces x; None where there is none, or others read x."""
    before = producer(graph, found.x)
    layer = None if before is None else layer_of(graph, before)
    if layer is None or only_reader(graph, found.x) is not found.node:
        return None
    if bounds_on(layer.node) != UNBOUNDED:
        return None
    w = graph.constants[layer.weights].astype(np.float64)
    shape = [-1 if k == layer.filter_axis else 1 for k in range(w.ndim)]
    bias = _bias(graph, layer, w.shape[layer.filter_axis])
    made = w * found.gain.reshape(shape), found.gain * bias + found.offset
    return _replaced(graph, layer, found, made, layer.activations, found.node.outputs)


def _before_layer(graph: Graph, found: ChannelMap) -> Graph | None:
    """Folded into the one layer that reads y; None where that is not exact."""
    output = found.node.outputs[0]
    behind = only_reader(graph, output)
    layer = None if behind is None else layer_of(graph, behind)
    if layer is None or layer.activations != output or bounds_on(found.node) != UNBOUNDED:
        return None
    if np.any(found.offset) and pads(graph, layer):
        return None
    w = graph.constants[layer.weights].astype(np.float64)
    filters, each = w.shape[layer.filter_axis], w.shape[layer.input_axis]
    if each * layer.groups != found.gain.size:
        return None
    # Row f: what belongs to the input channels of the group of filter f.
    group = np.arange(filters) * layer.groups // filters
    gain, offset = (v.reshape(layer.groups, each)[group] for v in (found.gain, found.offset))
    order = (layer.filter_axis, layer.input_axis)
    rows = np.moveaxis(w, order, (0, 1))
    spread = (filters, each, *(1,) * (w.ndim - 2))
    shift = (rows * offset.reshape(spread)).reshape(filters, -1).sum(axis=1)
    scaled = np.moveaxis(rows * gain.reshape(spread), (0, 1), order)
    made = scaled, _bias(graph, layer, filters) + shift
    return _replaced(graph, layer, found, made, found.x, layer.node.outputs)


def pads(graph: Graph, layer: Layer) -> bool:
    """Whether a window of the layer reaches beyond its input."""
    op, shape = layer.node.op, graph.tensors[layer.activations].shape
    if not isinstance(op, FloatConv2D):
        return False
    over = op.windows.over(shape)
    ends = (
        (out - 1) * stride + (kernel - 1) * dilation - before
        for out, stride, kernel, dilation, before in zip(
            over.output, over.stride, over.kernel, over.dilation, over.padding, strict=True
        )
    )
    return any(over.padding) or any(e >= n for e, n in zip(ends, shape[1:3], strict=True))


def _bias(graph: Graph, layer: Layer, filters: int) -> Doubles:
    if not layer.bias:
        return np.zeros(filters)
    return graph.constants[layer.bias].astype(np.float64).reshape(-1)


def _replaced(
    graph: Graph,
    layer: Layer,
    found: ChannelMap,
    made: tuple[Doubles, Doubles],
    x: str,
    outputs: tuple[str, ...],
) -> Graph:
    """The graph without the map's node, the layer with new weights and bias in its place."""
    tensors, constants = dict(graph.tensors), dict(graph.constants)
    weights = _named(graph, layer.weights, layer)
    bias = _named(graph, layer.bias, layer) if layer.bias else f"{layer.node.name}@bias"
    for name, old, value in ((weights, layer.weights, made[0]), (bias, layer.bias, made[1])):
        kind = graph.tensors[layer.weights]
        shape = graph.tensors[old].shape if old else value.shape
        constants[name] = value.astype(kind.dtype).reshape(shape)
        tensors[name] = replace(kind, shape=shape)
    moved = replace(layer.node, inputs=(x, weights, bias), outputs=outputs)
    node = decoded(moved, tensors, constants)
    if bounds_on(found.node) != UNBOUNDED:
        node = bounded(node, bounds_on(found.node), tensors, constants)
    nodes = tuple(node if n is layer.node else n for n in graph.nodes if n is not found.node)
    return rebuilt(graph, nodes, tensors, constants)


def _named(graph: Graph, name: str, layer: Layer) -> str:
    """The name of a changed constant: another one where other nodes read it too."""
    return name if only_reader(graph, name) is layer.node else f"{name}@{layer.node.name}"
