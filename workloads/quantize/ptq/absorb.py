"""High-bias absorption: what a ReLU never cuts moves from one layer's bias to the next one's.

Nagel et al. 2021 (arXiv 2106.08295) section 3.2, Nagel et al. 2019 (arXiv 1906.04721) section
4.1. r(W1 x + b1 - c) = r(W1 x + b1) - c wherever W1 x + b1 >= c >= 0: c leaves b1, and W2 c,
summed over space, goes into b2. Equalization makes biases high; without c the activation's range is
smaller.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np

from simulator.graph import Graph, Node
from simulator.ops.float_average_pool import FloatAveragePool
from simulator.ops.float_reduce import FloatReduce
from simulator.ops.float_unary import FloatUnary
from simulator.ops.pad import Pad
from workloads.float_graph import layers
from workloads.float_graph.batch_norm import pads
from workloads.quantize.ptq.channels import Joint, changes_alone, cuts_to, joint
from workloads.quantize.ptq.grouped import bias_of, by_group, with_biases, with_layer_values
from workloads.quantize.ptq.statistics import LayerStatistics, Statistics
from workloads.quantize.quantizer import Reals

DEVIATIONS: Final = 3.0
"""Below the mean: 99.865 % of a normal distribution lies above, and is not cut."""


@dataclass(frozen=True, eq=False)
class Absorbed:
    """What went from the bias of one layer to that of the next, both by their weight constants.

    `removed` is c (channels,), >= 0. `exact`: where w x + b >= c the function is kept. Not so where
    zeros are padded on the way, for c is missing at the borders, which the paper lets pass.
    """

    first: str
    second: str
    removed: Reals
    exact: bool


@dataclass(frozen=True, eq=False)
class Absorption:
    """A graph with other biases and what was moved; `shifted` says the statistics of its layers."""

    graph: Graph
    pairs: tuple[Absorbed, ...]

    def shifted(self, statistics: LayerStatistics) -> dict[str, Statistics]:
        """Statistics of the layers' outputs before, as they are after."""
        removed = {pair.first: -pair.removed for pair in self.pairs}
        return {n: s.shifted(removed[n]) if n in removed else s for n, s in statistics.items()}


def absorb(graph: Graph, statistics: LayerStatistics) -> Graph:
    """The graph of `absorption`."""
    return absorption(graph, statistics).graph


def absorption(
    graph: Graph,
    statistics: LayerStatistics,
    *,
    deviations: float = DEVIATIONS,
    padded: bool = True,
) -> Absorption:
    """Move c = max(0, mean - `deviations` * deviation) out of every layer before a ReLU.

    `statistics` are those of the layers' outputs as they are now: batch norms' after equalization
    (`Equalization.scaled`), or estimated on data. Without `padded`, layers behind zero padding are
    left alone. Only through ReLU, pools, means and changes of shape, where nobody else reads.
    """
    moved = [
        found
        for found in _absorbed(graph, statistics, deviations)
        if (found[1].exact or padded) and np.any(found[1].removed > 0)
    ]
    names = {name for _, pair in moved for name in (pair.first, pair.second)}
    ready = with_biases(graph, names)
    by_name = {layer.weights: layer for layer in layers(ready)}
    biases = {name: bias_of(ready, by_name[name]) for name in names}
    for found, pair in moved:
        biases[pair.first] = biases[pair.first] - pair.removed
        biases[pair.second] = biases[pair.second] + _through(graph, found, pair.removed)
    values = {by_name[name].bias: value for name, value in biases.items()}
    return Absorption(with_layer_values(ready, values), tuple(pair for _, pair in moved))


def _absorbed(
    graph: Graph, statistics: LayerStatistics, deviations: float
) -> Iterator[tuple[Joint, Absorbed]]:
    """Every pair of layers with a ReLU between, and what can be moved."""
    own = [layer for layer in layers(graph) if changes_alone(graph, layer)]
    names = {layer.weights for layer in own}
    for layer in own:
        known = statistics.get(layer.weights)
        found = None if known is None else joint(graph, layer, _keeps_offsets)
        if known is None or found is None or found.second.weights not in names:
            continue
        if all(cuts_to(step.node) != (0, inf) for step in found.steps):
            continue
        removed = np.maximum(known.mean - deviations * known.deviation, 0.0)
        zeros = any(isinstance(step.node.op, Pad) for step in found.steps)
        exact = not zeros and not pads(graph, found.second)
        yield found, Absorbed(layer.weights, found.second.weights, removed, exact)


def _keeps_offsets(node: Node) -> bool:
    """Whether x - c comes out of a node as y - c, for y >= c."""
    op = node.op
    if isinstance(op, FloatUnary) and op.function not in ("relu", "clip"):
        return False
    if isinstance(op, FloatReduce) and op.function == "sum":
        return False
    if isinstance(op, FloatAveragePool) and op.count_padding:
        return False
    return cuts_to(node) in ((0, inf), (-inf, inf))


def _through(graph: Graph, found: Joint, removed: Reals) -> Reals:
    """W2 c: (filters of the second layer,)."""
    weights = by_group(graph.constants[found.second.weights].astype(np.float64), found.second)
    values = np.append(removed, 0.0)[found.channels]  # the last: of no channel
    inputs = values.reshape(weights.shape[0], weights.shape[2])
    return np.asarray(np.einsum("gfit,gi->gf", weights, inputs)).reshape(-1)
