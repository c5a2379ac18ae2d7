"""Wider steps for filters whose weights are so small that integers would lose their bias.

A bias lies on s_x s_w (Jacob et al. 2018, arXiv 1712.05877, section 2.4): where batch norms leave
weights near 0 beside a bias, it has more of these steps than the accumulator holds.
"""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workloads.float_graph import Layer, layers
from workloads.quantize.grid import Grid, single
from workloads.quantize.ptq.plan import Plan, Weights, bias_bits
from workloads.quantize.quantizer import Reals

LEAST_MULTIPLIER: Final = 2.0**-31
"""Of sums, to bring them onto the output's grid."""


def with_room_for_biases(plan: Plan) -> Plan:
    """The plan with a wider step for each filter whose bias leaves the accumulator with its sum.

    |bias| + the reach of the products is held to 2^(n-1) - 1 steps of s_x s_w, n as `bias_bits`,
    and s_x s_w to 2^-31 s_y: fixed-point multipliers of less are 0 (LiteRT quantization_util.cc),
    whatever the bias. There s_w (float32) grows until the bias takes half of the room, and the
    codes are rounded anew, from the graph's weights: what they lose, no output shows. Weights of
    one scale keep one. Other filters stay, as does a sum that is too long without its bias. Done
    twice it changes nothing.
    """
    weights = dict(plan.weights)
    for layer in layers(plan.graph):
        held = plan.weights.get(layer.weights)
        grouped = held is not None and held.grid.layout.group_size
        if layer.bias and plan.is_integer(layer) and not grouped:
            weights[layer.weights] = _widened(plan, layer, weights[layer.weights])
    return replace(plan, weights=weights)


def _widened(plan: Plan, layer: Layer, held: Weights) -> Weights:
    x = single(plan.activations[layer.activations])
    (step,), room = x.scale, 2.0 ** (bias_bits(plan, layer) - 1) - 1
    bias = np.abs(plan.graph.constants[layer.bias].astype(np.float64)).reshape(-1)
    scale = np.array(held.grid.scale)
    steps = bias / (step * np.array(single(held.grid).scale))
    sums = steps + _reach(held, layer.filter_axis, x)
    least = np.where((sums > room) & (steps > room / 2), bias, 0) / (step * room / 2)
    if len(scale) == 1:
        least = least.max(keepdims=True)
    least = np.maximum(least, plan.activations[layer.output].scale[0] / step * LEAST_MULTIPLIER)
    short = np.array(single(held.grid).scale) < least
    if not short.any():
        return held
    # One part in a million more: the scales are rounded to float32.
    wider = np.where(short, (least * (1 + 1e-6)).astype(np.float32), scale)
    grid = replace(held.grid, scale=tuple(wider.tolist()))
    codes = grid.quantize(plan.graph.constants[layer.weights])
    moved = grid.layout.spread(short, codes.shape)
    return Weights(np.where(moved, codes, held.codes), grid)


def _reach(held: Weights, axis: int, x: Grid) -> Reals:
    """The farthest sum of products from 0 in steps, of each filter."""
    zeros = held.grid.layout.spread(np.array(held.grid.zero_point), held.codes.shape)
    sizes: NDArray[np.int64] = np.abs(held.codes.astype(np.int64) - zeros)
    others = tuple(k for k in range(sizes.ndim) if k != axis)
    farthest = max(abs(end - x.zero_point[0]) for end in (x.low, x.high))
    return np.asarray(sizes.sum(axis=others) * float(farthest))
