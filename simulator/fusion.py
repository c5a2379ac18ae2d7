"""Operator fusion: element-wise operators applied to sums as they leave the datapath.

A convolution with its activation is one operator in TFLite already; what is found here are the
separate ones that follow it (requantizations, activations, residual additions). The tensor between
the two never reaches the outermost memory; work, cycles and instructions stay those of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.graph import Graph, Node
from simulator.work import Work


@dataclass(frozen=True)
class Pair:
    """Node indices of a producer and of what is fused into it, and the tensor between them."""

    producer: int
    consumer: int
    tensor: str
    elements: int


def fusible(graph: Graph) -> tuple[Pair, ...]:
    """Every pair that may be fused, in order; made at the first call.

    A consumer is element-wise, without multiply-accumulates, and the only one that wants the
    tensor, which has its output's shape; its other operands are there before the producer runs.
    The producer multiplies and accumulates, or is itself fused into what does.
    """
    return graph.kept(fusible, None, lambda: _fusible(graph))


def _fusible(graph: Graph) -> tuple[Pair, ...]:
    users: dict[str, int] = dict.fromkeys(graph.outputs, 1)
    producers: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            users[name] = users.get(name, 0) + 1
        producers.update((name, index) for name in node.outputs)
    streams = [work.macs > 0 and len(node.outputs) == 1 for node, work in _nodes(graph)]
    # The node whose pass through the datapath a fused node belongs to.
    head = list(range(len(graph.nodes)))
    pairs = []
    for index, (node, work) in enumerate(_nodes(graph)):
        if node.op.in_place != "elementwise" or work.macs or len(node.outputs) != 1:
            continue
        made = [producers[name] for name in node.inputs if name in producers]
        first = max(made, default=-1)
        name = graph.nodes[first].outputs[0] if first >= 0 and streams[first] else ""
        if not name or users[name] != 1 or name in graph.variables:
            continue
        kind, y = graph.tensors[name], graph.tensors[node.outputs[0]]
        widths = {kind.bits, graph.work[first].output_bits, work.activation_bits}
        if kind.shape == y.shape and len(widths) == 1 and _others_are_there(made, first, head):
            streams[index], head[index] = True, head[first]
            pairs.append(Pair(first, index, name, kind.elements))
    return tuple(pairs)


def _others_are_there(made: Sequence[int], first: int, head: Sequence[int]) -> bool:
    """Whether every operand but the fused one was made before the pass through the datapath."""
    return all(other < head[first] for other in made if other != first)


def _nodes(graph: Graph) -> list[tuple[Node, Work]]:
    return list(zip(graph.nodes, graph.work, strict=True))
