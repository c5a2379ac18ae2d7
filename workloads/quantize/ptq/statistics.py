"""Mean and deviation of what layers give before their activation, by batch norms or by data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from simulator.graph import Graph
from simulator.ops.batch_normalization import BatchNormalization
from workloads.float_graph import Layer, layers
from workloads.float_graph.activations import bounds_on
from workloads.float_graph.batch_norm import channel_map
from workloads.float_graph.edit import only_reader
from workloads.quantize.quantizer import Reals


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and standard deviation, (channels,) each, of a layer's output w x + b.

    Before its activation, over samples and positions.
    """

    mean: Reals
    deviation: Reals

    def scaled(self, factor: Reals) -> "Statistics":
        """Of the output times a factor a channel."""
        return Statistics(self.mean * factor, self.deviation * np.abs(factor))

    def shifted(self, offset: Reals) -> "Statistics":
        """Of the output plus an offset a channel."""
        return Statistics(self.mean + offset, self.deviation)


LayerStatistics: TypeAlias = Mapping[str, Statistics]
"""By the name of a layer's weight constant."""


def batch_norm_statistics(graph: Graph) -> dict[str, Statistics]:
    """From a graph whose batch norms are not folded yet: mean beta, deviation |gamma|.

    Nagel et al. 2019 (arXiv 1906.04721) section 4.2: what a batch norm gives has these in each
    channel. Only for layers that it folds into, and through products and sums with constants
    behind it. Layers that share their weights with another are left out.
    """
    found = ((layer, _behind(graph, layer)) for layer in layers(graph))
    return {layer.weights: known for layer, known in found if known is not None}


def _behind(graph: Graph, layer: Layer) -> Statistics | None:
    if only_reader(graph, layer.weights) is not layer.node:
        return None
    node, known = layer.node, None
    while bounds_on(node) == (-np.inf, np.inf):
        reader = only_reader(graph, node.outputs[0])
        made = None if reader is None else channel_map(graph, reader)
        if reader is None or made is None or made.x != node.outputs[0]:
            return known
        if isinstance(reader.op, BatchNormalization):
            gamma, beta = (graph.constants[n].astype(np.float64) for n in reader.inputs[1:3])
            known = Statistics(beta, np.abs(gamma))
        elif known is not None:
            known = known.scaled(made.gain).shifted(made.offset)
        node = reader
    return known
