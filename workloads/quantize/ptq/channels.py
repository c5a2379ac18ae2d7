"""Pairs of layers of which the second reads what the first gives, channel by channel.

`joint` follows a layer's output to the layer that reads it. Only where nobody else sees a tensor
on the way may both layers change it between them: what a skip connection or an output of the
network also reads ends the way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array, Graph, Node
from simulator.numeric.bounds import Bounds
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.ops.expand_dims import ExpandDims
from simulator.ops.float_average_pool import FloatAveragePool
from simulator.ops.float_fully_connected import FloatFullyConnected
from simulator.ops.float_reduce import FloatReduce
from simulator.ops.float_unary import FloatUnary
from simulator.ops.max_pool import MaxPool
from simulator.ops.mirror_pad import MirrorPad
from simulator.ops.pad import Pad
from simulator.ops.reshape import Reshape
from simulator.ops.squeeze import Squeeze
from simulator.ops.transpose import Transpose
from workloads.float_graph import Layer, layer_of
from workloads.float_graph.activations import bounds_on
from workloads.float_graph.edit import only_reader

Channels: TypeAlias = NDArray[np.int64]
NO_CHANNEL: Final = -1
"""Of elements that are zeros of a padding."""

_MOVES: Final = (Reshape, Transpose, Squeeze, ExpandDims, Pad, MirrorPad)


@dataclass(frozen=True, eq=False)
class Step:
    """A node on the way and, for each index of its output's last axis, the channel that is there.

    `channels` is None where elements of several channels share an index.
    """

    node: Node
    channels: Channels | None


@dataclass(frozen=True, eq=False)
class Joint:
    """Input k of the second layer holds elements of output channel `channels[k]` of the first.

    `steps` begin with the first layer's own node. k counts all groups of a convolution's input, or
    the columns of a product.
    """

    first: Layer
    second: Layer
    channels: Channels
    steps: tuple[Step, ...]


def joint(graph: Graph, first: Layer, passes: Callable[[Node], bool]) -> Joint | None:
    """The layer behind `first`, and how channels get there; None where there is no such way.

    `passes` says of the first layer's node and of every node between whether the caller's change
    of the channels can go through it.
    """
    shape = graph.tensors[first.output].shape
    # 0 is left for zeros that a padding adds.
    labels: Channels = np.broadcast_to(np.arange(1, shape[-1] + 1), shape)
    node, steps = first.node, list[Step]()
    while passes(node):
        steps.append(Step(node, _last_axis(labels)))
        reader = only_reader(graph, node.outputs[0])
        if reader is None or reader.inputs[0] != node.outputs[0]:
            return None
        second = layer_of(graph, reader)
        if second is not None:
            channels = _columns(graph, second, labels)
            return None if channels is None else Joint(first, second, channels, tuple(steps))
        moved = _carried(graph, reader, labels)
        if moved is None:
            return None
        node, labels = reader, moved
    return None


def cuts_to(node: Node) -> Bounds:
    """The bounds that a node cuts its output to, whether fused or as its own function."""
    op = node.op
    if isinstance(op, FloatUnary) and op.function == "relu":
        return (0.0, inf)
    if isinstance(op, FloatUnary) and op.function == "clip":
        low, high = op.parameters
        return low, high
    return bounds_on(node)


def changes_alone(graph: Graph, layer: Layer) -> bool:
    """Whether nothing else reads the layer's constants, so that they can change."""
    names = [name for name in (layer.weights, layer.bias) if name]
    return all(only_reader(graph, name) is layer.node for name in names)


def is_depthwise(graph: Graph, layer: Layer) -> bool:
    """Whether output channel k is made of input channel k alone."""
    shape = graph.constants[layer.weights].shape
    return len(shape) == 4 and layer.groups == shape[0] and shape[layer.input_axis] == 1


def _carried(graph: Graph, node: Node, labels: Channels) -> Channels | None:
    """Where the labels lie behind a node; None for operators that are none of those followed."""
    op, shape = node.op, graph.tensors[node.outputs[0]].shape
    if isinstance(op, FloatUnary):
        return labels
    if isinstance(op, Pad) and op.fill != 0:
        return None
    if isinstance(op, _MOVES):
        moved: Channels = op.run((labels, *(None,) * (len(node.inputs) - 1)), GRAPH_DATAPATH)[0]
        return moved
    if isinstance(op, MaxPool | FloatAveragePool):
        common = _last_axis(labels)
        return None if common is None else np.broadcast_to(common + 1, shape)
    if isinstance(op, FloatReduce):
        agreed = _agreed(labels, op.axes)
        return None if agreed is None else agreed.reshape(shape)
    return None


def _columns(graph: Graph, layer: Layer, labels: Channels) -> Channels | None:
    """The channel of each input of a layer."""
    if isinstance(layer.node.op, FloatFullyConnected):
        labels = labels.reshape(-1, graph.constants[layer.weights].shape[layer.input_axis])
    return _last_axis(labels)


def _last_axis(labels: Channels) -> Channels | None:
    agreed = _agreed(labels, tuple(range(labels.ndim - 1)))
    return None if agreed is None else agreed - 1


def _agreed(labels: Channels, axes: tuple[int, ...]) -> Channels | None:
    """The one label along some axes, zeros apart; None where there are two."""
    highest: Array = labels.max(axis=axes)
    lowest = labels.min(axis=axes, where=labels > 0, initial=np.iinfo(np.int64).max)
    return highest if np.all((lowest == highest) | (highest == 0)) else None
