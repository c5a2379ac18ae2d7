"""The forward pass on learned bases: one function for training, and for what was trained.

A layer sums planes of codes as the engine does, in its order and precision (`lq_sums`), and so do
the float layers before it: no value lies on the other side of a threshold. Gradients are those of
the reals that codes stand for (`lq_quantizers.straight_through`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from simulator.graph import Graph, Node
from simulator.numeric.levels import CodeSet
from workloads.float_graph import Layer
from workloads.train.functional import computed, evaluated
from workloads.train.lq_quantizers import (
    encode,
    gated,
    moments,
    planes,
    reached,
    rows_of,
    shaped,
    straight_through,
)
from workloads.train.lq_sums import averaged, ordered, plane_sums
from workloads.train.twins import SUMS, Real, cut

Bases = Mapping[str, Any]
"""By name: (channels, K) of weights, (K,) of activations; float64."""


@dataclass(frozen=True, eq=False)
class LqForward:
    """A prepared graph and where it has learned quantizers; how fine they are is said by bases.

    layers : every layer by the name of its node.
    weights : the names of the weights that have bases; those of layers whose input has one.
    activations : what the bits of each quantized tensor stand for.
    """

    graph: Graph
    layers: Mapping[str, Layer]
    weights: frozenset[str]
    activations: Mapping[str, CodeSet]

    def run(
        self,
        constants: Mapping[str, Real],
        bases: Mapping[str, Bases],
        inputs: Mapping[str, Real],
        wanted: Sequence[str],
    ) -> tuple[dict[str, Real], dict[str, tuple[Real, Real]]]:
        """The `wanted` tensors, [samples, *shape], and the moments of activations over samples.

        `constants` are the real ones; `bases` are "weights" and "activations" by name.
        """
        coded = {n: self.coded(n, constants[n], bases["weights"][n]) for n in self.weights}

        def one(sample: Mapping[str, Real]) -> tuple[dict[str, Real], Any]:
            work = _Pass(self, coded, bases)
            known = {**self.graph.constants, **constants, **sample}
            found = {**sample, **evaluated(self.graph, known, work.node)}
            return {name: found[name] for name in wanted}, work.moments

        found, each = jax.vmap(one)(dict(inputs))
        return found, {n: (square.sum(0), product.sum(0)) for n, (square, product) in each.items()}

    def axis(self, name: str) -> int:
        """Along which the output channels of these weights lie."""
        return next(v.filter_axis for v in self.layers.values() if v.weights == name)

    def coded(self, name: str, w: Real, basis: Real) -> tuple[Real, Real]:
        """The planes of weights (K, *shape), and their reals, through which gradients pass."""
        axis, still = self.axis(name), lax.stop_gradient(w)
        codes, found = encode(rows_of(still, axis), basis, "bipolar")
        each = planes(codes, basis.shape[-1], "bipolar")
        reals = shaped(found, axis, w.shape).astype(jnp.float32)
        signs = jnp.stack([shaped(plane, axis, w.shape) for plane in each])
        return signs, straight_through(reals, w)

    def weight_moments(self, name: str, w: Real, basis: Real) -> tuple[Real, Real]:
        """B'B and B'x of every channel."""
        rows = rows_of(w, self.axis(name))
        codes, _ = encode(rows, basis, "bipolar")
        return moments(rows, codes, basis.shape[-1], "bipolar")


class _Pass:
    """One sample through the network."""

    def __init__(
        self, forward: LqForward, coded: Mapping[str, Any], bases: Mapping[str, Bases]
    ) -> None:
        self.forward = forward
        self.coded = coded
        self.bases = bases
        self.moments: dict[str, tuple[Real, Real]] = {}
        self.read: dict[str, tuple[Real, Real]] = {}

    def node(self, node: Node, given: list[Any]) -> tuple[Real, ...]:
        """A node's outputs, in the engine's order of sums."""
        op: Any = node.op
        layer = self.forward.layers.get(node.name)
        if layer is not None:
            return (self.layer(layer, given),)
        y = computed(self.forward.graph, node, given)
        if op.kind == "float_average_pool":
            exact = cut(averaged(op, lax.stop_gradient(given[0])), op.bounds)
            return (straight_through(exact, y[0]),)
        if op.kind == "float_reduce":
            wide = [lax.stop_gradient(given[0]).astype(jnp.float64)]
            (exact,) = computed(self.forward.graph, node, wide)
            return (straight_through(exact.astype(y[0].dtype), y[0]),)
        return y

    def layer(self, layer: Layer, given: list[Any]) -> Real:
        """Sums of products and a bias, cut to the bounds of a fused activation."""
        op: Any = layer.node.op
        x, w, bias = given[0], given[1], given[2] if layer.bias else None
        still = None if bias is None else lax.stop_gradient(bias)
        if layer.weights in self.forward.weights:
            signs, w = self.coded[layer.weights]
            codes, x = self.quantized(layer.activations, x)
            bases = (
                self.bases["activations"][layer.activations],
                self.bases["weights"][layer.weights],
            )
            exact = plane_sums(op, codes, signs, bases, still)
        else:
            exact = ordered(op, lax.stop_gradient(x), lax.stop_gradient(w), still)
        real = SUMS[op.kind](op, x, w)
        real = real if bias is None else real + bias.reshape(-1)
        return cut(straight_through(exact, real), op.bounds)

    def quantized(self, name: str, x: Real) -> tuple[Real, Real]:
        """The planes of an activation (K, *shape), and its reals; made once for all that read."""
        if name in self.read:
            return self.read[name]
        basis, code_set = self.bases["activations"][name], self.forward.activations[name]
        still = lax.stop_gradient(x).reshape(1, -1)
        codes, found = encode(still, basis[None], code_set)
        self.moments[name] = moments(still, codes, len(basis), code_set)
        each = planes(codes, len(basis), code_set).reshape(-1, *x.shape)
        levels, _ = reached(basis, code_set)
        reals = found.reshape(x.shape).astype(jnp.float32)
        self.read[name] = each, straight_through(reals, gated(x, levels, code_set))
        return self.read[name]
