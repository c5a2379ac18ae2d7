"""What quantization chose for each tensor of a float network: the whole of an integer network."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.config import close_match
from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Graph
from workloads.float_graph import Layer, layers
from workloads.quantize.grid import Grid
from workloads.quantize.ptq.places import places
from workloads.quantize.quantizer import Codes, Reals
from workloads.quantize.zero_points import quantize_bias

BIAS_BITS: Final = 32
WIDE_BIAS_BITS: Final = 48
"""What LiteRT's kernels of 16 bits rescale of an int64 sum; float32 runtimes hold more."""


@dataclass(frozen=True, eq=False)
class Weights:
    """The integer weights of a layer: `codes`, int32 in the shape of the constant, on `grid`."""

    codes: Codes
    grid: Grid

    def real(self) -> Reals:
        """The real values that the codes stand for, float64."""
        return self.grid.dequantize(self.codes)


@dataclass(frozen=True, eq=False)
class Plan:
    """A float network with the grids of its integer form.

    `weights` is keyed by the name of a layer's weight constant, `activations` by tensor: what is
    missing stays float. Biases stay real in `graph.constants`; integers hold them on the grid
    s_x s_w (`bias_codes`). Every tensor of a group of `places` is present, with one
    Grid, or none is. Raises IllegalGraph for names and shapes that the graph has not, and for
    groups on several grids; Unsupported for activations with several scales or another rounding
    than half to even, the one of every file format.
    """

    graph: Graph
    weights: Mapping[str, Weights]
    activations: Mapping[str, Grid]

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", MappingProxyType(dict(self.weights)))
        object.__setattr__(self, "activations", MappingProxyType(dict(self.activations)))
        _check_weights(self)
        _check_activations(self)

    def is_integer(self, layer: Layer) -> bool:
        """Whether a layer's weights, input and output are all on grids."""
        ends = (layer.activations, layer.output)
        return layer.weights in self.weights and all(name in self.activations for name in ends)


def bias_bits(plan: Plan, layer: Layer) -> int:
    """Bits of an integer layer's bias and sums: 32, or 48 where an operand has more than 8."""
    grids = plan.activations[layer.activations], plan.weights[layer.weights].grid
    return BIAS_BITS if max(grid.code_bits for grid in grids) <= 8 else WIDE_BIAS_BITS


def bias_codes(plan: Plan, layer: Layer) -> NDArray[np.int64]:
    """The bias of an integer layer in steps of s_x s_w, in the shape of its constant.

    Saturated at `bias_bits`, which `with_room_for_biases` keeps them from. Jacob et al. 2018
    (arXiv 1712.05877) section 2.4.
    """
    bias = plan.graph.constants[layer.bias]
    bits = bias_bits(plan, layer)
    flat = quantize_bias(bias.reshape(-1), *_bias_scales(plan, layer), bits=bits)
    return np.asarray(flat.reshape(bias.shape))


def real_bias(plan: Plan, layer: Layer) -> Reals:
    """The values that `bias_codes` stand for, float64, in the shape of the constant."""
    x_scale, w_scales = _bias_scales(plan, layer)
    codes = bias_codes(plan, layer)
    return np.asarray((codes.reshape(-1) * (x_scale * w_scales)).reshape(codes.shape))


def _bias_scales(plan: Plan, layer: Layer) -> tuple[float, Reals]:
    (x_scale,) = plan.activations[layer.activations].scale
    return x_scale, np.array(plan.weights[layer.weights].grid.scale)


def _check_weights(plan: Plan) -> None:
    axes = {layer.weights: layer.filter_axis for layer in layers(plan.graph)}
    for name, held in plan.weights.items():
        if name not in axes:
            raise IllegalGraph(
                f"{plan.graph.name}: '{name}' is not the weights of a layer; "
                f"{close_match(name, tuple(axes))}"
            )
        shape = plan.graph.constants[name].shape
        if held.codes.shape != shape:
            raise IllegalGraph(
                f"{plan.graph.name}: the codes of '{name}' must have shape {shape}; "
                f"found {held.codes.shape}"
            )
        axis = held.grid.layout.axis
        if axis is not None and axis % len(shape) != axes[name]:
            raise Unsupported(
                f"{plan.graph.name}: the scales of '{name}' lie along axis {axis}; only those of "
                f"output channels, axis {axes[name]}, leave the sums of integers"
            )


def _check_activations(plan: Plan) -> None:
    for name, grid in plan.activations.items():
        if len(grid.scale) != 1:
            raise Unsupported(
                f"{plan.graph.name}: '{name}' has {len(grid.scale)} scales; an activation has one, "
                "for the sums of a product mix its channels"
            )
        if grid.rounding != "half_even":
            raise Unsupported(
                f"{plan.graph.name}: '{name}' rounds '{grid.rounding}'; quantizers of activations "
                "in files round 'half_even'"
            )
    found = places(plan.graph)
    stray = next((n for n in plan.activations if n not in found.tensors), None)
    if stray is not None:
        raise IllegalGraph(
            f"{plan.graph.name}: no quantizer belongs at '{stray}'; "
            f"{close_match(stray, found.tensors)}"
        )
    for group in found.groups:
        if len({plan.activations.get(name) for name in group}) > 1:
            raise IllegalGraph(
                f"{plan.graph.name}: {', '.join(group)} hold the same elements and need one grid"
            )
