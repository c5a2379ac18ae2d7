"""The forward pass on grids: one function for training, and for what was trained.

Where a layer's input, weights and output have grids, its products are summed as codes and brought
onto the output's grid by the integer network's own float32 steps (`arithmetic`). So a training
step sees the values that are served; gradients are those of the reals.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simulator.graph import Graph, Node
from simulator.numeric.bounds import UNBOUNDED, Bounds
from workloads.float_graph import Layer, layer_of
from workloads.float_graph.activations import bounds_on
from workloads.quantize.ptq.places import moves, places
from workloads.train import arithmetic
from workloads.train.fakes import codes, on_grid, rounded
from workloads.train.functional import computed, evaluated
from workloads.train.twins import SUMS, Real, cut, window_counts

BATCH: Final = "batch"
"""The name of the axis of samples, over which ranges and statistics are taken."""


@dataclass(frozen=True)
class Mode:
    """What one pass does: quantize activations, normalize by the batch, round with noise."""

    activations: bool = True
    batch_statistics: bool = False
    noise: bool = False


SERVING: Final = Mode()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Values:
    """The numbers of one pass.

    constants : real constants by name; weights on their grids.
    weight_scales : by name, broadcasting against the weights; missing where they stay float.
    grids : (scale, zero point) of each group by its first tensor, float32 scalars.
    tops : the greatest code of each group; codes start at 0.
    norms : by weights, the raw weights, gamma, beta and the averaged deviation of a normalization
        that is taken over the batch; empty in other modes.
    """

    constants: Mapping[str, Real]
    weight_scales: Mapping[str, Real]
    grids: Mapping[str, tuple[Real, Real]]
    tops: Mapping[str, Real]
    norms: Mapping[str, tuple[Real, Real, Real, Real, float]]


@dataclass(frozen=True, eq=False)
class Forward:
    """A prepared graph and where it has quantizers; how fine they are is said by `Values`.

    roots : the first tensor of the group of each quantized tensor.
    layers : every layer by the name of its node.
    weights : the names of those whose weights have grids.
    """

    graph: Graph
    roots: Mapping[str, str]
    layers: Mapping[str, Layer]
    weights: frozenset[str]

    @property
    def logits(self) -> str:
        """The tensor whose largest element is the prediction: what a final softmax reads."""
        (last,) = self.graph.outputs[:1]
        made = next((n for n in self.graph.nodes if last in n.outputs), None)
        if made is not None and made.op.kind in ("softmax", "float_softmax"):
            return made.inputs[0]
        return last

    def is_integer(self, layer: Layer) -> bool:
        """Whether its input, weights and output have grids."""
        ends = (layer.activations, layer.output)
        return layer.weights in self.weights and all(n in self.roots for n in ends)

    def run(
        self, values: Values, inputs: Mapping[str, Real], keys: Real, mode: Mode, wanted: Any
    ) -> tuple[dict[str, Real], tuple[Any, Any]]:
        """The `wanted` tensors, [samples, *shape], and what was seen (ends, statistics)."""

        def one(sample: Mapping[str, Real], key: Real) -> tuple[dict[str, Real], tuple[Any, Any]]:
            work = _Pass(self, values, mode, key)
            found = work.evaluate(sample)
            ends = {
                root: jnp.stack([_over_batch("pmin", low), _over_batch("pmax", high)])
                for root, (low, high) in work.ends.items()
            }
            return {name: found[name] for name in wanted}, (ends, work.statistics)

        return jax.vmap(one, axis_name=BATCH, out_axes=(0, None))(dict(inputs), keys)


def forward_of(graph: Graph, groups: Collection[str], weights: frozenset[str]) -> Forward:
    """The forward pass of a prepared graph; `groups` are the first tensors of quantized ones."""
    found = places(graph)
    roots = {n: found.group_of(n)[0] for n in found.tensors if found.group_of(n)[0] in groups}
    layers = {n.name: layer for n in graph.nodes if (layer := layer_of(graph, n)) is not None}
    return Forward(graph, roots, layers, weights)


def _over_batch(name: str, x: Real) -> Real:
    """The least, greatest or mean of a value over the samples: pmin, pmax, pmean."""
    reduction: Any = getattr(lax, name)
    return reduction(x, BATCH)


class _Pass:
    """One sample through the network."""

    def __init__(self, forward: Forward, values: Values, mode: Mode, key: Real) -> None:
        self.forward = forward
        self.values = values
        self.mode = mode
        self.key = key
        self.ends: dict[str, tuple[Real, Real]] = {}
        self.statistics: dict[str, tuple[Real, Real]] = {}
        self.drawn = 0

    def evaluate(self, sample: Mapping[str, Real]) -> dict[str, Real]:
        """Every tensor by name; a quantized one is on its grid."""
        graph = self.forward.graph
        known = {**graph.constants, **self.values.constants, **sample}
        for name in (*graph.inputs, *graph.constants):
            if name in self.forward.roots:
                known[name] = self.placed(name, jnp.asarray(known[name]))
        made = evaluated(graph, known, self.node)
        return {**{name: known[name] for name in graph.inputs}, **made}

    def node(self, node: Node, given: list[Any]) -> tuple[Real, ...]:
        """A node's outputs, on grids where they have any."""
        forward = self.forward
        if moves(node) and bounds_on(node) == UNBOUNDED:
            return computed(forward.graph, node, given)
        layer = forward.layers.get(node.name)
        if layer is not None:
            return (self.layer(layer, node, given),)
        reals = computed(forward.graph, node, given)
        steps = None
        if self.mode.activations:
            steps = self._cut(node.outputs[0], self.steps(node, given), bounds_on(node))
        return tuple(
            self.placed(name, y, steps) if name in forward.roots else y
            for name, y in zip(node.outputs, reals, strict=False)
        )

    def placed(self, name: str, y: Real, steps: Real | None = None) -> Real:
        """A tensor on its grid; `steps` as the integer network computes them, else y / scale."""
        root = self.forward.roots[name]
        low, high = jnp.min(y), jnp.max(y)
        if root in self.ends:
            low, high = (
                jnp.minimum(low, self.ends[root][0]),
                jnp.maximum(high, self.ends[root][1]),
            )
        self.ends[root] = (lax.stop_gradient(low), lax.stop_gradient(high))
        if not self.mode.activations:
            return y
        scale, zero = self.values.grids[root]
        steps = y / scale if steps is None else steps
        if self.mode.noise:
            self.drawn += 1
            drawn = jax.random.fold_in(self.key, self.drawn)
            steps = steps + jax.random.uniform(drawn, y.shape, minval=-0.5, maxval=0.5)
        top = self.values.tops[root]
        return on_grid(y, lax.stop_gradient(steps), scale, zero, jnp.zeros_like(top), top, False)

    def layer(self, layer: Layer, node: Node, given: list[Any]) -> Real:
        """Sums of products, a bias, bounds, and the output's grid."""
        op: Any = node.op
        sums, bias = SUMS[op.kind], given[2] if layer.bias else None
        if layer.weights in self.values.norms:
            y = self.normalized(layer, node, given)
            return self._bounded(layer, op, y, None)
        if not (self.forward.is_integer(layer) and self.mode.activations):
            y = sums(op, given[0], given[1])
            return self._bounded(layer, op, y if bias is None else y + bias, None)
        x_scale = self._scale(layer.activations)
        w_scale = lax.stop_gradient(self.values.weight_scales[layer.weights])
        channels = self.row(layer, w_scale)
        step = x_scale * channels
        total = sums(op, codes(given[0], x_scale), codes(given[1], w_scale))
        if bias is not None:
            total = total + rounded(bias / step)
        exact = total * arithmetic.multiplier(x_scale, channels, self._scale(layer.output))
        return self._bounded(layer, op, total * step, exact)

    def _bounded(self, layer: Layer, op: Any, y: Real, steps: Real | None) -> Real:
        """Cut, then on the grid if there is one."""
        y = cut(y, op.bounds)
        if layer.output not in self.forward.roots:
            return y
        return self.placed(layer.output, y, self._cut(layer.output, steps, op.bounds))

    def _cut(self, name: str, steps: Real | None, bounds: Bounds) -> Real | None:
        """Steps of a tensor's grid cut to real bounds."""
        if steps is None or bounds == UNBOUNDED:
            return steps
        low, high = (np.float32(b) / self._scale(name) for b in bounds)
        return jnp.clip(steps, low, high)

    def _scale(self, name: str) -> Real:
        return lax.stop_gradient(self.values.grids[self.forward.roots[name]][0])

    def row(self, layer: Layer, scale: Real) -> Real:
        """Scales of weights as they lie along the output's last axis."""
        return scale.reshape(-1) if scale.size > 1 else scale.reshape(())

    def normalized(self, layer: Layer, node: Node, given: list[Any]) -> Real:
        """By the batch's statistics; the quantized weights are those of the averages.

        Krishnamoorthi 2018 section 3.2.2, phase 1: c = sigma_B / sigma, y = conv(Q(c gamma W /
        sigma_B), x) / c + beta - gamma mu_B / sigma_B.
        """
        raw, gamma, beta, deviation, epsilon = self.values.norms[layer.weights]
        sums = SUMS[node.op.kind]
        plain = sums(node.op, given[0], raw)
        axes = tuple(range(plain.ndim - 1))
        mean = _over_batch("pmean", plain.mean(axis=axes))
        variance = _over_batch("pmean", jnp.square(plain - mean).mean(axis=axes))
        self.statistics[layer.weights] = (lax.stop_gradient(mean), lax.stop_gradient(variance))
        batch = jnp.sqrt(variance + epsilon)
        y = sums(node.op, given[0], given[1]) * (deviation / batch)
        return y + (beta - gamma * mean / batch)

    def steps(self, node: Node, given: Sequence[Any]) -> Real | None:
        """The output in steps of its grid as the integer network has it; None for y / scale."""
        roots, op = self.forward.roots, node.op
        names = (*node.inputs[: 2 if op.kind == "arithmetic" else 1], node.outputs[0])
        if not all(name in roots for name in names):
            return None
        grids = [self.values.grids[roots[name]] for name in names]
        scales, zeros = [g[0] for g in grids], [g[1] for g in grids]
        function = getattr(op, "function", "")
        if op.kind == "arithmetic" and function in ("add", "mul"):
            steps = [codes(x, s) for x, s in zip(given, scales, strict=False)]
            if function == "mul":
                return arithmetic.multiplied((steps[0], steps[1]), scales, zeros[2])
            raw = (steps[0] + zeros[0], steps[1] + zeros[1])
            return arithmetic.added(raw, scales, zeros)
        if op.kind == "float_average_pool":
            return self._pooled(op, given[0], scales, zeros)
        return None

    def _pooled(self, op: Any, x: Real, scales: Sequence[Real], zeros: Sequence[Real]) -> Real:
        over = op.windows.over(x.shape)
        if over.kernel == x.shape[1:3] and not any(over.padding):
            return arithmetic.pooled_globally(codes(x, scales[0]), scales[0], scales[1])
        count: Any = np.float32(over.kernel[0] * over.kernel[1])
        if not op.count_padding:
            with jax.ensure_compile_time_eval():
                count = window_counts(x.shape, over)
        return arithmetic.pooled(x, over, count, (scales[1], zeros[1]))
