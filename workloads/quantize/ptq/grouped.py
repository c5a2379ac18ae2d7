"""A layer's weights and biases as plain arrays, whatever the operator, and back."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from simulator.graph import Array, Graph, TensorType
from workloads.float_graph import Layer, layers, with_constants
from workloads.float_graph.edit import decoded, rebuilt
from workloads.quantize.quantizer import Reals


def by_group(values: Array, layer: Layer) -> Array:
    """An array of the shape of the weights as (groups, filters, inputs of a group, taps)."""
    moved = np.moveaxis(values, (layer.filter_axis, layer.input_axis), (0, 1))
    filters, inputs = moved.shape[:2]
    return moved.reshape(layer.groups, filters // layer.groups, inputs, -1)


def from_groups(grouped: Array, layer: Layer, shape: tuple[int, ...]) -> Array:
    """`by_group` turned back into the weights' own shape."""
    order = (layer.filter_axis, layer.input_axis)
    moved_shape = np.moveaxis(np.empty(shape, np.bool_), order, (0, 1)).shape
    return np.moveaxis(grouped.reshape(moved_shape), (0, 1), order)


def bias_of(graph: Graph, layer: Layer) -> Reals:
    """The bias in float64, one value a filter; zeros where there is none."""
    if not layer.bias:
        return np.zeros(graph.constants[layer.weights].shape[layer.filter_axis])
    return graph.constants[layer.bias].astype(np.float64).reshape(-1)


def with_biases(graph: Graph) -> Graph:
    """The graph with a bias of zeros at every layer that had none."""
    tensors, constants = dict(graph.tensors), dict(graph.constants)
    bare = {layer.node.outputs: layer for layer in layers(graph) if not layer.bias}
    nodes = list(graph.nodes)
    for at, node in enumerate(nodes):
        layer = bare.get(node.outputs)
        if layer is None:
            continue
        name, kind = f"{layer.output}@bias", tensors[layer.weights]
        constants[name] = np.zeros(bias_of(graph, layer).shape, kind.dtype)
        tensors[name] = TensorType(constants[name].shape, kind.dtype, kind.bits)
        nodes[at] = decoded(replace(node, inputs=(*node.inputs[:2], name)), tensors, constants)
    return rebuilt(graph, nodes, tensors, constants) if bare else graph


def with_layer_values(graph: Graph, values: Mapping[str, Reals]) -> Graph:
    """The graph with new values of weights and biases, rounded once to the dtypes that it holds."""
    held = {
        name: value.reshape(graph.constants[name].shape).astype(graph.constants[name].dtype)
        for name, value in values.items()
    }
    return with_constants(graph, held)
