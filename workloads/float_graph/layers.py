"""The layers of a float network that have weights: convolutions and products with a constant."""

from dataclasses import dataclass

from simulator.graph import Array, Graph, Node
from simulator.ops.float_conv_2d import FloatConv2D
from simulator.ops.float_fully_connected import FloatFullyConnected
from simulator.ops.float_matmul import FloatMatMul


@dataclass(frozen=True)
class Layer:
    """A node y = w x + b with constant weights, and where its channels lie.

    `weights` and `bias` are names of constants; `bias` is empty where there is none. Output channel
    f is index f along `filter_axis` of the weights. Along `input_axis` lie the input channels of
    the group that f belongs to: all of them where `groups` is 1.
    """

    node: Node
    weights: str
    bias: str
    filter_axis: int
    input_axis: int
    groups: int

    @property
    def activations(self) -> str:
        """The tensor that it reads."""
        return self.node.inputs[0]

    @property
    def output(self) -> str:
        """The tensor that it gives; its last axis counts the output channels."""
        return self.node.outputs[0]


def layers(graph: Graph) -> tuple[Layer, ...]:
    """Every layer, in order of execution."""
    found = (layer_of(graph, node) for node in graph.nodes)
    return tuple(layer for layer in found if layer is not None)


def layer_of(graph: Graph, node: Node) -> Layer | None:
    """A node as a layer; None for other operators, computed weights, and scaled products."""
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    if len(node.inputs) < 2 or not _known(graph, node.inputs[1], bias):
        return None
    weights = graph.constants[node.inputs[1]]
    op, name = node.op, node.inputs[1]
    if isinstance(op, FloatConv2D):
        groups = graph.tensors[node.inputs[0]].shape[3] // weights.shape[3]
        return Layer(node, name, bias, 0, 3, groups)
    if isinstance(op, FloatFullyConnected):
        return Layer(node, name, bias, 0, 1, 1)
    if isinstance(op, FloatMatMul) and weights.ndim == 2 and op.alpha == 1:
        if not bias:
            return Layer(node, name, bias, 1, 0, 1)
        if op.beta == 1 and _one_a_column(graph.constants[bias], weights.shape[1]):
            return Layer(node, name, bias, 1, 0, 1)
    return None


def _known(graph: Graph, weights: str, bias: str) -> bool:
    return weights in graph.constants and (not bias or bias in graph.constants)


def _one_a_column(addend: Array, columns: int) -> bool:
    return addend.size == columns and (addend.ndim == 0 or addend.shape[-1] == columns)
