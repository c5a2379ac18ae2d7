"""Activations that only cut, applied by the operator before them.

ReLU, ReLU6 and Clip of a tensor that nobody else reads become the `bounds` of the operator that
produces it, so that a quantizer sees one tensor, and one grid, for both. Nothing is rounded: the
outputs keep their bits.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import TypeAlias

from simulator.graph import Array, Graph, Node, TensorType
from simulator.numeric.bounds import UNBOUNDED, Bounds, within
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.float_average_pool import FloatAveragePool
from simulator.ops.float_conv_2d import FloatConv2D
from simulator.ops.float_fully_connected import FloatFullyConnected
from simulator.ops.float_matmul import FloatMatMul
from simulator.ops.float_unary import FloatUnary
from simulator.ops.max_pool import MaxPool
from workloads.float_graph.edit import decoded, only_reader, producer, rebuilt

Bounded: TypeAlias = (
    Arithmetic | FloatAveragePool | FloatConv2D | FloatFullyConnected | FloatMatMul | MaxPool
)
"""Operators that cut their output to bounds."""


def fuse_activations(graph: Graph) -> Graph:
    """The graph without ReLU, ReLU6 and Clip nodes that can be bounds of the node before."""
    for node in graph.nodes:
        outer = _cuts_to(graph, node)
        before = None if outer is None else _fusible(graph, node)
        if outer is None or before is None:
            continue
        made = bounded(replace(before, outputs=node.outputs), outer, graph.tensors, graph.constants)
        kept = tuple(made if n is before else n for n in graph.nodes if n is not node)
        graph = rebuilt(graph, kept, graph.tensors, graph.constants)
    return graph


def bounds_on(node: Node) -> Bounds:
    """The bounds that a node cuts its output to; (-inf, inf) where it cuts nothing."""
    return node.op.bounds if isinstance(node.op, Bounded) else UNBOUNDED


def bounded(
    node: Node, outer: Bounds, tensors: Mapping[str, TensorType], constants: Mapping[str, Array]
) -> Node:
    """A node that also cuts to `outer`, decoded for its inputs and outputs as they are now."""
    op = node.op
    assert isinstance(op, Bounded)
    if node.source is None:
        return replace(node, op=replace(op, bounds=within(op.bounds, outer)))
    inner = node.source.options.get("bounds", UNBOUNDED)
    return decoded(node, tensors, constants, {"bounds": within(inner, outer)})


def _cuts_to(graph: Graph, node: Node) -> Bounds | None:
    """The bounds of a node that only cuts a real tensor."""
    if not isinstance(node.op, FloatUnary) or not node.op.dtype.startswith("float"):
        return None
    if node.op.function == "relu":
        return (0.0, inf)
    if node.op.function == "clip":
        low, high = node.op.parameters
        return low, high
    return None


def _fusible(graph: Graph, node: Node) -> Node | None:
    """The node before, where its output goes nowhere else."""
    before = producer(graph, node.inputs[0])
    if before is None or not isinstance(before.op, Bounded):
        return None
    return before if only_reader(graph, node.inputs[0]) is node else None
