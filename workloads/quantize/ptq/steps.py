"""Weights onto grids: a step of post-training quantization.

Nagel et al. 2021 (arXiv 2106.08295) sections 2.4.1 and 3.1.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Literal, TypeAlias

import numpy as np

from simulator.graph import Array, Graph
from workloads.float_graph import layers
from workloads.quantize import (
    PER_TENSOR,
    Form,
    Grid,
    Layout,
    float32_scales,
    mse_range,
    per_channel,
    symmetric,
)
from workloads.quantize.ptq.plan import Weights

WeightRanges: TypeAlias = Literal["mse", "minmax"]
RESTRICTED: Final = 4
"""From so many bits on the least code is left out, as runtimes of integer weights want it."""


def weight_form(bits: int) -> Form:
    """Symmetric grids, scales of float32; codes to +-(2^(bits-1) - 1) at 4 bits and above.

    Below 4 bits the code that this would cost is a quarter or an eighth of all.
    """
    return float32_scales(partial(symmetric, bits=bits, restricted=bits >= RESTRICTED))


def quantized_weights(
    graph: Graph, bits: Mapping[str, int], ranges: WeightRanges, *, channels: bool
) -> dict[str, Weights]:
    """Codes of each weight constant in `bits`, rounded to nearest (ties to even).

    One scale an output channel, or one for the tensor.
    """
    found = dict[str, Weights]()
    for layer in layers(graph):
        if layer.weights in bits and layer.weights not in found:
            value = graph.constants[layer.weights].astype(np.float64)
            layout = per_channel(layer.filter_axis) if channels else PER_TENSOR
            grid = weight_grid(value, weight_form(bits[layer.weights]), layout, ranges)
            found[layer.weights] = Weights(grid.quantize(value), grid)
    return found


def weight_grid(value: Array, form: Form, layout: Layout, ranges: WeightRanges) -> Grid:
    """The grid of a weight tensor; a channel of zeros has the middle one of the others' scales.

    On any scale it is exact, and its bias is held in steps of the scale of the sums.
    """
    if ranges == "mse":
        low, high = mse_range(value, form, layout=layout)
    else:
        low, high = layout.reduce(np.minimum, value), layout.reduce(np.maximum, value)
    grid = form(low, high, layout=layout)
    idle = (low == 0) & (high == 0)
    if not idle.any() or idle.all():
        return grid
    scale = np.array(grid.scale)
    scale[idle] = np.median(scale[~idle]).astype(np.float32)
    return replace(grid, scale=tuple(scale.tolist()))
