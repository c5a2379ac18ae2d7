"""Plans with the simplest ranges, for tests of what comes before and after them."""

from collections.abc import Mapping
from functools import partial

import numpy as np

from simulator.graph import Array, Graph
from workloads.float_graph import Layer, layers
from workloads.quantize import PER_TENSOR, Grid, affine, float32_scales, per_channel, symmetric
from workloads.quantize.ptq import Plan, Weights, forward, places


def min_max_plan(
    graph: Graph,
    batch: Mapping[str, Array] | None,
    bits: tuple[int, int] = (8, 8),
    *,
    channels: bool = False,
) -> Plan:
    """Symmetric weights, a scale a tensor or a channel; affine activations, true min and max.

    `bits` are (weights, activations); activations stay float without a batch [samples, *shape].
    """
    weights = {
        layer.weights: weight_grid(graph, layer, bits[0], channels=channels)
        for layer in layers(graph)
    }
    return Plan(graph, weights, {} if batch is None else activation_grids(graph, batch, bits[1]))


def weight_grid(graph: Graph, layer: Layer, bits: int, *, channels: bool = False) -> Weights:
    values = graph.constants[layer.weights]
    layout = per_channel(layer.filter_axis) if channels else PER_TENSOR
    form = float32_scales(partial(symmetric, bits=bits, restricted=True))
    grid = form(layout.reduce(np.minimum, values), layout.reduce(np.maximum, values), layout=layout)
    return Weights(grid.quantize(values), grid)


def activation_grids(graph: Graph, batch: Mapping[str, Array], bits: int) -> dict[str, Grid]:
    found = places(graph)
    (values,) = forward(graph, [batch], found.tensors)
    form = float32_scales(partial(affine, bits=bits, signed=True))
    grids = dict[str, Grid]()
    for group in found.groups:
        low = np.array([min(values[name].min() for name in group)])
        high = np.array([max(values[name].max() for name in group)])
        grids |= dict.fromkeys(group, form(low, high))
    return grids
