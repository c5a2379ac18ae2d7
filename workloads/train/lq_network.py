"""A network on learned bases: where they are, where they start, and what it is served as."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import jax
import numpy as np

from simulator.errors import Unsupported
from simulator.graph import Array, Graph
from simulator.numeric.levels import CodeSet
from workloads.float_graph import Layer
from workloads.quantize.lq import LqGrid
from workloads.quantize.lq_graph import lowered
from workloads.quantize.lq_start import best_uniform, published_activations, published_weights
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.quantizer import per_channel
from workloads.train.data import Samples, order_of
from workloads.train.fakes import TINY
from workloads.train.forward import forward_of
from workloads.train.functional import Function, function_of, with_parameters
from workloads.train.lq_forward import LqForward
from workloads.train.lq_settings import LqSettings
from workloads.train.structure import Same, structure

CALIBRATION: Final = 256
"""Samples whose activations the first bases are fitted to."""


@dataclass(frozen=True, eq=False)
class LqNetwork:
    """A float graph with the grids of its weights and activations, by name of the tensor."""

    graph: Graph
    weights: Mapping[str, LqGrid]
    activations: Mapping[str, LqGrid]

    @property
    def served(self) -> Graph:
        """The graph of codes and bases that the engine runs and machines price."""
        return lowered(self.graph, self.weights, self.activations)

    @property
    def forward(self) -> LqForward:
        """The pass of a training step."""
        layers = forward_of(self.graph, (), frozenset()).layers
        sets: dict[str, CodeSet] = {n: grid.code_set for n, grid in self.activations.items()}
        return LqForward(self.graph, layers, frozenset(self.weights), sets)

    @property
    def logits(self) -> str:
        """The tensor whose largest element is the prediction."""
        return forward_of(self.graph, (), frozenset()).logits

    @property
    def bases(self) -> dict[str, dict[str, Array]]:
        """As the pass takes them."""
        return {
            "weights": {n: grid.array for n, grid in self.weights.items()},
            "activations": {n: grid.array[0] for n, grid in self.activations.items()},
        }

    def after(self, constants: Mapping[str, Any], bases: Mapping[str, Any]) -> "LqNetwork":
        """With trained constants and bases; constants that are not normal numbers become 0."""
        normal = {n: np.where(np.abs(v) < TINY, 0, v) for n, v in constants.items()}
        return LqNetwork(
            with_parameters(self.graph, normal),
            {
                n: LqGrid.of(np.asarray(bases["weights"][n]), grid.code_set, grid.layout)
                for n, grid in self.weights.items()
            },
            {
                n: LqGrid.of(np.asarray(bases["activations"][n]), grid.code_set)
                for n, grid in self.activations.items()
            },
        )


def lq_network(graph: Graph, data: Samples, settings: LqSettings) -> LqNetwork:
    """A float network with its first bases; batch normalizations are folded before.

    Activations that are nowhere negative in the first samples get {0, 1}, others {-1, 1}. Raises
    Unsupported for a network without a form in JAX, or without a layer to quantize.
    """
    ready = prepared(graph)
    function = function_of(ready)
    quantized = _quantized(ready, settings)
    if not quantized:
        raise Unsupported(
            f"{graph.name}: its first and last layers are all that it has; train it with ends: 8"
        )
    weights, widths = {}, dict[str, int]()
    for layer, w_bits, x_bits in quantized:
        if layer.weights not in weights:
            weights[layer.weights] = _first_weights(ready, layer, w_bits, settings)
        widths[layer.activations] = max(x_bits, widths.get(layer.activations, 0))
    seen = _activations(function, data, settings, tuple(widths))
    activations = {n: _first_activations(seen[n], bits, settings) for n, bits in widths.items()}
    return LqNetwork(ready, weights, activations)


def _quantized(graph: Graph, settings: LqSettings) -> list[tuple[Layer, int, int]]:
    """Every layer that gets bases, and the bits of its weights and of what it reads."""
    every = list(forward_of(graph, (), frozenset()).layers.values())
    ends = {every[0].weights, every[-1].weights}
    plain = (settings.weights, settings.activations)
    wide = (settings.ends, settings.ends)
    found = [(layer, *(wide if layer.weights in ends else plain)) for layer in every]
    return [entry for entry in found if entry[1]]


def _first_weights(graph: Graph, layer: Layer, bits: int, settings: LqSettings) -> LqGrid:
    w = graph.constants[layer.weights]
    layout, channels = per_channel(layer.filter_axis), w.shape[layer.filter_axis]
    if settings.bases == "uniform":
        return best_uniform(w, bits, "bipolar", layout)
    row = published_weights(bits, w.size // w.shape[layer.input_axis]).array
    return LqGrid.of(np.repeat(row, channels, axis=0), "bipolar", layout)


def _first_activations(seen: Array, bits: int, settings: LqSettings) -> LqGrid:
    if (seen < 0).any():
        return best_uniform(seen, bits, "bipolar")
    return (
        best_uniform(seen, bits, "binary")
        if settings.bases == "uniform"
        else published_activations(bits)
    )


def _activations(
    function: Function, data: Samples, settings: LqSettings, names: tuple[str, ...]
) -> dict[str, Array]:
    """The named tensors of the float network for the first samples of an epoch."""
    rows = next(order_of(data.count, CALIBRATION, settings.seed, 0))
    inputs, _ = data.batch(rows)
    compiled = _compiled(Same((*structure(function.graph), names), function))
    return {n: np.asarray(v) for n, v in compiled(dict(function.initial), inputs).items()}


@lru_cache(maxsize=16)
def _compiled(given: Same[Function]) -> Any:
    names: tuple[str, ...] = given.key[-1]  # type: ignore[assignment]

    def run(parameters: Any, sample: Mapping[str, Any]) -> dict[str, Any]:
        found = {**sample, **given.value.apply(parameters, sample)}
        return {name: found[name] for name in names}

    return jax.jit(jax.vmap(run, in_axes=(None, 0)))
