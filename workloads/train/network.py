"""A network in training: its parameters, its state, and the values that a pass takes from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simulator.errors import Unsupported
from simulator.graph import Graph
from workloads.quantize.ptq.places import Places, places
from workloads.quantize.ptq.prepare import prepared
from workloads.train.arithmetic import kept_apart
from workloads.train.fakes import (
    affine_grid,
    fake_weights,
    largest_code,
    rounded,
    weight_scale,
)
from workloads.train.forward import Forward, Mode, Values, forward_of
from workloads.train.functional import function_of
from workloads.train.normalization import Norm, folded_bias, folded_weights, norms_of
from workloads.train.settings import Settings

Tree: TypeAlias = dict[str, Any]
NORM_DECAY: Final = 0.95
"""Of the averages of a normalization's mean and variance, a step."""


@dataclass(frozen=True, eq=False)
class Network:
    """What stays as it is while a network trains.

    bits : of the weights that have grids, by name.
    tops : the greatest code of each group of activations, by first tensor.
    known : the half-open range of groups that need no data, by first tensor.
    """

    settings: Settings
    source: Graph
    forward: Forward
    bits: Mapping[str, int]
    tops: Mapping[str, int]
    norms: Mapping[str, Norm]
    known: Mapping[str, tuple[float, float]]

    @property
    def graph(self) -> Graph:
        """The prepared graph."""
        return self.forward.graph

    def parameters(self) -> Tree:
        """What the optimizer moves, at the start: float32 arrays in a tree of dictionaries."""
        held = dict(function_of(self.graph).initial)
        for norm in self.norms.values():
            held[norm.weights] = norm.raw
            held.pop(norm.bias, None)
        gammas = {n: {"gamma": v.gamma, "beta": v.beta} for n, v in self.norms.items()}
        if self.settings.start == "scratch":
            held = self._drawn(held)
            gammas = {
                n: {"gamma": np.ones_like(v["gamma"]), "beta": np.zeros_like(v["beta"])}
                for n, v in gammas.items()
            }
        return {"constants": held, "norms": gammas, "scales": {}, "zeros": {}, "weight_scales": {}}

    def _drawn(self, held: Mapping[str, Any]) -> dict[str, Any]:
        """He-normal weights, zero biases: a start that no training went before."""
        draw = np.random.default_rng((self.settings.seed, 1))
        fresh = dict(held)
        for layer in self.forward.layers.values():
            shape = held[layer.weights].shape
            taps = np.prod(shape) / shape[layer.filter_axis]
            values = draw.standard_normal(shape) * np.sqrt(2 / taps)
            fresh[layer.weights] = values.astype(np.float32)
            if layer.bias in fresh:
                fresh[layer.bias] = np.zeros_like(fresh[layer.bias])
        return fresh

    def state(self) -> Tree:
        """What passes update: averaged ends of activations, bounds in use, averaged statistics.

        Widths are part of it, so that networks which differ in them alone are compiled once.
        """
        roots = [root for root in self.tops if root not in self.known]
        scratch = self.settings.start == "scratch"
        norms = {
            n: {
                "mean": np.zeros_like(v.mean) if scratch else v.mean,
                "variance": np.ones_like(v.variance) if scratch else v.variance,
            }
            for n, v in self.norms.items()
        }
        ends = {root: np.zeros(2, np.float32) for root in roots}
        levels = {
            "tops": {root: np.float32(top) for root, top in self.tops.items()},
            "largest": {n: np.float32(largest_code(bits)) for n, bits in self.bits.items()},
        }
        seen = np.float32(0)
        return {"ends": ends, "bounds": dict(ends), "seen": seen, "norms": norms, "levels": levels}

    def learned(self, parameters: Tree, state: Tree) -> Tree:
        """Parameters with scales and zero points that are learned, from weights and bounds."""
        if self.settings.ranges != "learned":
            return parameters
        scales, zeros = {}, {}
        for root, (low, high) in state["bounds"].items():
            scale, zero = affine_grid(low, high, self.tops[root])
            scales[root], zeros[root] = np.log(np.asarray(scale)), np.asarray(zero)
        effective = self.constants(parameters, state)
        weights = {
            name: np.log(np.asarray(self._scale(name, effective[name], state), np.float32))
            for name in self.bits
        }
        return {**parameters, "scales": scales, "zeros": zeros, "weight_scales": weights}

    def constants(self, parameters: Tree, state: Tree) -> dict[str, Any]:
        """The real constants of the prepared graph: normalizations folded by their averages."""
        made = dict(parameters["constants"])
        for name, norm in self.norms.items():
            gamma, beta = (parameters["norms"][name][key] for key in ("gamma", "beta"))
            mean, deviation = self._averages(name, state)
            made[name] = folded_weights(norm, made[name], gamma, deviation)
            bias = folded_bias(gamma, beta, mean, deviation)
            made[norm.bias] = bias.reshape(self.graph.constants[norm.bias].shape)
        return made

    def grids(self, parameters: Tree, state: Tree) -> dict[str, tuple[Any, Any]]:
        """(scale, zero point) of every group, float32 scalars.

        Stored before use, as all that codes come from: whatever a pass is compiled with, it sees
        the same numbers.
        """
        made = {}
        for root, top in state["levels"]["tops"].items():
            if root in self.known:
                low, high = self.known[root]
                scale = jnp.float32(high - low) / (top + 1)
                made[root] = (scale, -low / scale)
            elif parameters["scales"]:
                zero = jnp.clip(rounded(parameters["zeros"][root]), 0, top)
                made[root] = (jnp.exp(parameters["scales"][root]), zero)
            else:
                low, high = state["bounds"][root]
                made[root] = affine_grid(low, high, top)
        return {root: (kept_apart(scale), kept_apart(zero)) for root, (scale, zero) in made.items()}

    def values(self, parameters: Tree, state: Tree, key: Any, mode: Mode) -> Values:
        """All that a pass takes; weights are on their grids, with noise where the mode has it."""
        effective = self.constants(parameters, state)
        scales = {}
        norms = {}
        for index, (name, largest) in enumerate(state["levels"]["largest"].items()):
            w = effective[name]
            scale = self._scale(name, w, state)
            if parameters["weight_scales"]:
                scale = jnp.exp(parameters["weight_scales"][name])
            scale = kept_apart(scale)
            noise: Any = 0.0
            if mode.noise:
                drawn = jax.random.fold_in(key, index)
                noise = jax.random.uniform(drawn, w.shape, minval=-0.5, maxval=0.5)
            effective[name] = fake_weights(w, scale, largest, noise=noise)
            scales[name] = scale
        if mode.batch_statistics:
            for name, norm in self.norms.items():
                held = parameters["norms"][name]
                deviation = self._averages(name, state)[1]
                raw = parameters["constants"][name]
                norms[name] = (raw, held["gamma"], held["beta"], deviation, norm.epsilon)
        tops = state["levels"]["tops"]
        return Values(effective, scales, self.grids(parameters, state), tops, norms)

    def observed(self, state: Tree, ends: Mapping[str, Any], statistics: Any, *, use: bool) -> Tree:
        """The state after a pass: averages moved, and bounds set to them where `use`."""
        decay = jnp.where(state["seen"] > 0, self.settings.range_decay, 0.0)
        moved = {n: decay * old + (1 - decay) * ends[n] for n, old in state["ends"].items()}
        norms = dict(state["norms"])
        for name, (mean, variance) in statistics.items():
            old = norms[name]
            norms[name] = {
                "mean": NORM_DECAY * old["mean"] + (1 - NORM_DECAY) * mean,
                "variance": NORM_DECAY * old["variance"] + (1 - NORM_DECAY) * variance,
            }
        bounds = moved if use else state["bounds"]
        return {
            **state,
            "ends": moved,
            "bounds": bounds,
            "seen": state["seen"] + 1,
            "norms": norms,
        }

    def _averages(self, name: str, state: Tree) -> tuple[Any, Any]:
        held = state["norms"][name]
        deviation = jnp.sqrt(kept_apart(held["variance"] + self.norms[name].epsilon))
        return held["mean"], kept_apart(deviation)

    def _scale(self, name: str, w: Any, state: Tree) -> Any:
        axis = next(v.filter_axis for v in self.forward.layers.values() if v.weights == name)
        kept = axis if self.settings.per_channel else None
        return weight_scale(lax.stop_gradient(w), kept, state["levels"]["largest"][name])


def network_of(graph: Graph, settings: Settings) -> Network:
    """A float graph made ready to train; raises Unsupported where it has no form in JAX."""
    ready = prepared(graph)
    function_of(ready)
    found = places(ready)
    tops = {
        group[0]: (1 << bits) - 1
        for group in found.groups
        if (bits := _bits_of(ready, found, group, settings))
    }
    by_name = {layer.weights: layer for layer in forward_of(ready, (), frozenset()).layers.values()}
    widths = {name: n for name in by_name if (n := _weight_bits(by_name, name, settings))}
    forward = forward_of(ready, tops, frozenset(widths))
    norms = norms_of(graph, ready) if settings.batch_norm == "correction" else {}
    if settings.batch_norm == "correction" and not norms:
        raise Unsupported(
            f"{graph.name}: no batch normalization stands behind a layer; train with batch_norm: "
            "static"
        )
    known = {root: found.known[root] for root in tops if root in found.known}
    return Network(settings, graph, forward, widths, tops, norms, known)


def _weight_bits(layers: Mapping[str, Any], name: str, settings: Settings) -> int:
    ends = (next(iter(layers)), next(reversed(list(layers))))
    wide = settings.ends is not None and settings.weights and name in ends
    return (settings.ends or 0) if wide else settings.weights


def _bits_of(graph: Graph, found: Places, group: tuple[str, ...], settings: Settings) -> int:
    """Bits of a group: `ends` for what the first layer reads, the last reads and all behind it."""
    if settings.ends is None or not settings.activations:
        return settings.activations
    layers = list(forward_of(graph, (), frozenset()).layers.values())
    first, last = layers[0].activations, layers[-1].activations
    at = next(i for i, n in enumerate(graph.nodes) if n.name == layers[-1].node.name)
    behind = {name for node in graph.nodes[at:] for name in node.outputs}
    return settings.ends if {first, last, *behind} & set(group) else settings.activations
