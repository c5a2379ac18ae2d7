"""How many bits the weights of a graph take once they are coded: the entropy of their values.

What a lossless coder that looks at single weights reaches at best (Shannon 1948, theorem 9). Real
coders add tables and padding; Ethos-U's adapts its Golomb-Rice codes within a layer.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Graph


def entropy_bits(values: NDArray[Any]) -> int:
    """Bits of all values of an array at the entropy of their histogram, rounded up, at least 1."""
    _, counts = np.unique(values, return_counts=True)
    return max(1, math.ceil(float((counts * np.log2(values.size / counts)).sum())))


def coded_weight_bits(graph: Graph) -> tuple[int, ...]:
    """By node, the coded bits of its weights; 0 where it has none. Made at the first call.

    A network that holds shapes and no values has none to code: its weights count as they are.
    """
    return graph.kept(coded_weight_bits, None, lambda: _coded(graph))


def _coded(graph: Graph) -> tuple[int, ...]:
    coded = []
    for node, work in zip(graph.nodes, graph.work, strict=True):
        names = [
            name
            for name in node.inputs
            if name in graph.constants
            and graph.tensors[name].elements == work.weight_elements
            and graph.tensors[name].bits == work.weight_bits
        ]
        values = graph.constants[names[0]] if work.macs and names else None
        coded.append(0 if values is None or _shape_alone(values) else entropy_bits(values))
    return tuple(coded)


def _shape_alone(values: NDArray[Any]) -> bool:
    """Whether one value is seen everywhere: that of a network without values, which has no code."""
    return values.size > 1 and not any(values.strides)
