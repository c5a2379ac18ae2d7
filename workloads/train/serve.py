"""A plan executed as training executes it: the forward pass of codes and grids, in JAX."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from simulator.graph import Array
from workloads.float_graph import Layer, layers
from workloads.quantize.ptq.places import places
from workloads.quantize.ptq.plan import Plan, bias_codes
from workloads.train.arithmetic import exact_sums
from workloads.train.forward import SERVING, Forward, forward_of
from workloads.train.plans import values_of
from workloads.train.structure import Same, structure

CHUNK = 512
"""Samples of one compiled pass."""


def predictions(
    plan: Plan, inputs: Mapping[str, Array], wanted: Sequence[str] = ()
) -> dict[str, Array]:
    """The network's outputs, or the `wanted` tensors, [samples, *shape] in reals on their grids.

    The same function as a training step's forward pass. Its values are those of the integer graph
    of `workloads.quantize.export.integer` while sums of products stay below 2^24.
    """
    names = tuple(wanted) or plan.graph.outputs
    first = {name: group[0] for group in places(plan.graph).groups for name in group}
    groups = frozenset(first[name] for name in plan.activations)
    forward = forward_of(plan.graph, groups, frozenset(plan.weights))
    compiled = _compiled(Same((*structure(plan.graph), groups, forward.weights, names), forward))
    values, count = values_of(plan), len(next(iter(inputs.values())))
    parts = [
        compiled(values, {n: v[start : start + CHUNK] for n, v in inputs.items()})
        for start in range(0, count, CHUNK)
    ]
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in names}


@lru_cache(maxsize=16)
def _compiled(given: Same[Forward]) -> Any:
    names: tuple[str, ...] = given.key[-1]  # type: ignore[assignment]

    def run(values: Any, batch: Mapping[str, Any]) -> dict[str, Any]:
        keys = jax.random.split(jax.random.key(0), len(next(iter(batch.values()))))
        return given.value.run(values, batch, keys, SERVING, names)[0]

    return jax.jit(run)


def inexact_layers(plan: Plan) -> tuple[str, ...]:
    """Integer layers, by node, whose sums may pass 2^24: there `predictions` rounds.

    The engine's sums are exact in 32 bits. Empty where training's forward pass is exact throughout.
    """
    return tuple(
        layer.node.name
        for layer in layers(plan.graph)
        if plan.is_integer(layer) and not _is_exact(plan, layer)
    )


def _is_exact(plan: Plan, layer: Layer) -> bool:
    codes, x = plan.weights[layer.weights].codes, plan.activations[layer.activations]
    (zero,) = x.zero_point
    farthest = max(x.high - zero, zero - x.low)
    bias = bias_codes(plan, layer) if layer.bias else 0
    return exact_sums(codes, layer.filter_axis, farthest, bias)
