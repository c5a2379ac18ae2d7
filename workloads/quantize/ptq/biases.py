"""Wider steps for filters whose weights are so small that their bias leaves the accumulator.

A bias lies on s_x s_w (Jacob et al. 2018, arXiv 1712.05877, section 2.4): where batch norms leave
weights near 0 beside a bias, it has more of these steps than the accumulator holds.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from workloads.float_graph import Layer, layers
from workloads.quantize.grid import Grid, single
from workloads.quantize.ptq.plan import Plan, Weights, bias_bits
from workloads.quantize.quantizer import Reals


def with_room_for_biases(plan: Plan) -> Plan:
    """The plan with a wider step for each filter whose bias leaves the accumulator with its sum.

    |bias| + the reach of the products is held to 2^(n-1) - 1 steps of s_x s_w, n as `bias_bits`.
    There s_w (float32) grows until the bias takes half of that, and the codes are rounded anew,
    from the graph's weights: they lose less than taps 2^-22 of the bias. Weights of one scale keep
    one. Bias and weights of other filters stay, as does a sum that is too long without its bias.
    Done twice it changes nothing.
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
    short: NDArray[np.bool_] = (sums > room) & (steps > room / 2)
    if not short.any():
        return held
    least = np.where(short, bias, 0) / (step * room / 2)
    if len(scale) == 1:
        short, least = np.array([True]), least.max(keepdims=True)
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
