"""Weights onto grids, and biases that fit: steps of post-training quantization.

Nagel et al. 2021 (arXiv 2106.08295) sections 2.4.1 and 3.1.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, Literal, TypeAlias

import numpy as np

from simulator.graph import Array, Graph
from workloads.float_graph import Layer, layers
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
from workloads.quantize.ptq.plan import BIAS_BITS, Plan, Weights

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


def fitted_biases(plan: Plan) -> Plan:
    """The plan with wider steps for the channels whose bias does not fit 32 bits.

    The bias is held in steps of s_x s_w: that of a channel with weights near 0 may be beyond
    2^31 - 1 of them. There s_w grows until it fits, and the codes are rounded anew.
    """
    weights = dict(plan.weights)
    for layer in layers(plan.graph):
        if layer.bias and plan.is_integer(layer):
            weights[layer.weights] = _fitted(plan, layer, weights[layer.weights])
    return replace(plan, weights=weights)


def _fitted(plan: Plan, layer: Layer, held: Weights) -> Weights:
    (step,) = plan.activations[layer.activations].scale
    bias = np.abs(plan.graph.constants[layer.bias].astype(np.float64)).reshape(-1)
    most = 2.0 ** (BIAS_BITS - 1) - 1
    scale = np.array(held.grid.scale)
    if len(scale) == 1:
        bias = bias.max(keepdims=True)
    least = np.broadcast_to(bias, scale.shape) / (step * most)
    short = scale < least
    if not short.any():
        return held
    # One part in a million more: the product of the scales is rounded.
    wider = np.where(short, least * (1 + 1e-6), scale).astype(np.float32)
    grid = replace(held.grid, scale=tuple(wider.tolist()))
    codes = grid.quantize(plan.graph.constants[layer.weights])
    moved = grid.layout.spread(short, codes.shape)
    return Weights(np.where(moved, codes, held.codes), grid)
