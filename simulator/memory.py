"""Tensor lifetimes of a graph run in node order, and the peak they need.

Counts activations only: constants stay where the machine keeps its weights. Not an arena plan: no
fragmentation, and no operator writes over its input.
"""

from simulator.graph import Graph, TensorType


def lifetimes(graph: Graph) -> dict[str, tuple[int, int]]:
    """First and last node index at which each activation tensor must exist, both included.

    Graph inputs exist from the first node on, graph outputs until the last.
    """
    last = max(len(graph.nodes) - 1, 0)
    spans = dict.fromkeys(graph.inputs, (0, 0))
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            if name in spans:
                spans[name] = (spans[name][0], index)
        spans.update((name, (index, index)) for name in node.outputs)
    for name in graph.outputs:
        if name in spans:
            spans[name] = (spans[name][0], last)
    return spans


def peak_memory_bytes(graph: Graph, batch: int = 1, operand_bits: int | None = None) -> int:
    """The most bytes of activations alive at one node, for `batch` inferences at once.

    `operand_bits` caps the width of quantized operands, as a datapath that narrows them does.
    """
    sizes = [0] * max(len(graph.nodes), 1)
    for name, (first, last) in lifetimes(graph).items():
        stored = batch * graph.tensors[name].elements * _bits(graph.tensors[name], operand_bits)
        for index in range(first, last + 1):
            sizes[index] += -(-stored // 8)
    return max(sizes)


def constant_bytes(graph: Graph) -> int:
    """Bytes of all weights and biases, each packed at its own width."""
    kinds = [graph.tensors[name] for name in graph.constants]
    return sum(-(-kind.elements * kind.bits // 8) for kind in kinds)


def _bits(kind: TensorType, operand_bits: int | None) -> int:
    if operand_bits is None or kind.quant is None or kind.bits > 16:
        return kind.bits
    return min(kind.bits, operand_bits)
