"""A trained network as a `Plan`: what it computes with, in codes and grids."""

from typing import Any

import jax
import numpy as np

from simulator.graph import Graph
from workloads.quantize.grid import Grid
from workloads.quantize.ptq.places import places
from workloads.quantize.ptq.plan import Plan, Weights
from workloads.quantize.quantizer import PER_TENSOR, per_channel
from workloads.train.fakes import largest_code
from workloads.train.forward import SERVING, Values
from workloads.train.functional import with_parameters
from workloads.train.network import Network, Tree


def plan_of(network: Network, parameters: Tree, state: Tree) -> Plan:
    """Codes and grids as a pass of these parameters has them; biases are on the grid s_x s_w."""
    values = jax.tree.map(np.asarray, _values(network, parameters, state))
    axes = {layer.weights: layer.filter_axis for layer in network.forward.layers.values()}
    weights = {}
    for name, bits in network.bits.items():
        scale = np.asarray(values["scales"][name], np.float64)
        codes = np.rint(values["weights"][name] / scale).astype(np.int32)
        layout = per_channel(axes[name]) if scale.size > 1 else PER_TENSOR
        top, row = largest_code(bits), tuple(scale.reshape(-1).tolist())
        grid = Grid(row, (0,) * len(row), -top, top, layout=layout)
        weights[name] = Weights(codes, grid)
    activations = {
        name: Grid(
            (float(values["grids"][root][0]),),
            (int(values["grids"][root][1]),),
            *(0, network.tops[root]),
        )
        for name, root in network.forward.roots.items()
    }
    graph = with_parameters(network.graph, values["constants"])
    return Plan(_on_grid(graph, network, weights, activations), weights, activations)


def _values(network: Network, parameters: Tree, state: Tree) -> Any:
    def found(parameters: Tree, state: Tree) -> Any:
        made = network.values(parameters, state, jax.random.key(0), SERVING)
        return {
            "weights": {name: made.constants[name] for name in network.bits},
            "scales": dict(made.weight_scales),
            "grids": made.grids,
            "constants": network.constants(parameters, state),
        }

    return jax.jit(found)(parameters, state)


def _on_grid(graph: Graph, network: Network, weights: Any, activations: Any) -> Graph:
    """The graph with the biases of integer layers at their codes, as training rounds them."""
    values = {}
    for layer in network.forward.layers.values():
        if not (layer.bias and network.forward.is_integer(layer)):
            continue
        x = np.float32(activations[layer.activations].scale[0])
        step = x * np.array(weights[layer.weights].grid.scale, np.float32)
        bias = graph.constants[layer.bias]
        held = np.rint(bias.astype(np.float32) / step)
        values[layer.bias] = (held * step).astype(np.float32).reshape(bias.shape)
    return with_parameters(graph, values)


def values_of(plan: Plan) -> Values:
    """What a pass takes from a plan."""
    first = {name: group[0] for group in places(plan.graph).groups for name in group}
    constants = {name: held.real().astype(np.float32) for name, held in plan.weights.items()}
    real = {n: v for n, v in plan.graph.constants.items() if v.dtype == np.float32}
    scales = {}
    for name, held in plan.weights.items():
        row = np.array(held.grid.scale, np.float32)
        scales[name] = np.asarray(held.grid.layout.spread(row, held.codes.shape))
        if scales[name].ndim == 0:
            scales[name] = scales[name].reshape((1,) * held.codes.ndim)
    grids = {
        first[name]: (np.float32(grid.scale[0]), np.float32(grid.zero_point[0] - grid.low))
        for name, grid in plan.activations.items()
    }
    tops = {
        first[name]: np.float32(grid.high - grid.low) for name, grid in plan.activations.items()
    }
    return Values({**real, **constants}, scales, grids, tops, {})
