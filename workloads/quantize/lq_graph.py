"""A float network with layers on learned bases: codes and bases where there were reals.

Each activation is quantized where a layer reads it, once for all that do; what lies between layers
stays real. LQ-Nets leaves the first convolution and the last product as they are: so does a network
whose weights and activations are left out here.
"""

from collections.abc import Mapping

import numpy as np

from simulator.errors import IllegalValues
from simulator.graph import Array, Graph, Node, Operator, TensorType
from simulator.numeric.levels import CodeSet
from simulator.ops.float_conv_2d import FloatConv2D
from simulator.ops.float_fully_connected import FloatFullyConnected
from simulator.ops.lq_conv_2d import LqConv2D
from simulator.ops.lq_fully_connected import LqFullyConnected
from simulator.ops.lq_quantize import LqQuantize
from workloads.float_graph.activations import bounds_on
from workloads.float_graph.edit import rebuilt
from workloads.float_graph.layers import Layer, layer_of
from workloads.quantize.lq import LqGrid


def lowered(
    graph: Graph, weights: Mapping[str, LqGrid], activations: Mapping[str, LqGrid]
) -> Graph:
    """The network in which layers with both grids multiply codes.

    `weights` by the name of the constant, one basis or one an output channel; `activations` by the
    name of the tensor that a layer reads, one basis. All other nodes, names of tensors and real
    values stay. Raises IllegalValues for bases along another axis.
    """
    work = _Lowering(graph)
    for node in graph.nodes:
        layer = layer_of(graph, node)
        if layer is None or layer.weights not in weights or layer.activations not in activations:
            work.nodes.append(node)
        else:
            work.layer(layer, weights[layer.weights], activations[layer.activations])
    return rebuilt(graph, work.nodes, work.tensors, work.constants)


class _Lowering:
    """Collects the nodes, tensors and constants of the new network."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self.tensors = dict(graph.tensors)
        self.constants = dict(graph.constants)

    def layer(self, layer: Layer, weights: LqGrid, activations: LqGrid) -> None:
        """The layer on codes, and before it what makes them unless it is there."""
        if activations.layout.axis is not None or weights.layout.axis not in (
            None,
            layer.filter_axis,
        ):
            raise IllegalValues(
                f"{self.graph.name}, {layer.node.name}: activations need one basis, weights one or "
                f"one along axis {layer.filter_axis}; found axes {activations.layout.axis} and "
                f"{weights.layout.axis}"
            )
        x, u = self._quantized(layer.activations, activations)
        codes = weights.quantize(self.graph.constants[layer.weights])
        rows = np.moveaxis(codes, layer.filter_axis, 0).astype(np.uint8)
        w = self._constant(f"{layer.weights}/codes", rows, weights.bits)
        v = self._constant(f"{layer.weights}/basis", weights.array)
        names = [x, w, u, v]
        if layer.bias:
            bias = self.graph.constants[layer.bias].reshape(-1)
            spread = np.ascontiguousarray(np.broadcast_to(bias, rows.shape[:1]))
            names.append(self._constant(f"{layer.weights}/bias", spread))
        op = _operator(layer.node, activations.code_set, weights.code_set)
        self.nodes.append(Node(layer.node.name, op, tuple(names), layer.node.outputs))

    def _quantized(self, name: str, grid: LqGrid) -> tuple[str, str]:
        codes, basis = f"{name}/codes", f"{name}/basis"
        if codes not in self.tensors:
            shape = self.tensors[name].shape
            self.tensors[codes] = TensorType(shape, "uint8", grid.bits)
            self._constant(basis, grid.array[0])
            op = LqQuantize(grid.code_set)
            self.nodes.append(Node(f"{name}/quantize", op, (name, basis), (codes,)))
        return codes, basis

    def _constant(self, name: str, value: Array, bits: int | None = None) -> str:
        held = np.ascontiguousarray(value)
        width = bits or 8 * held.dtype.itemsize
        self.tensors[name] = TensorType(held.shape, held.dtype.name, width)
        self.constants[name] = held
        return name


def _operator(node: Node, x_codes: CodeSet, w_codes: CodeSet) -> Operator:
    bounds = bounds_on(node)
    if isinstance(node.op, FloatConv2D):
        return LqConv2D(node.op.windows, x_codes, w_codes, bounds)
    # A product of matrices keeps every dimension but the last.
    keep = node.op.keep_dims if isinstance(node.op, FloatFullyConnected) else True
    return LqFullyConnected(x_codes, w_codes, bounds, keep)
