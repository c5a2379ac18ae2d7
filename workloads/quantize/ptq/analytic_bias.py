"""Bias correction without data: the mean input of each layer from the batch norms before it.

Nagel et al. 2021 (arXiv 2106.08295) section 3.3, Nagel et al. 2019 (arXiv 1906.04721) section
4.2: b -= (W^ - W) E[x], with E[x] the mean of a normal variable behind its activation. What
layers give is taken for normal and independent; a sum of two branches adds their means and
variances.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from simulator.graph import Array, Graph, Node
from simulator.numeric.bounds import UNBOUNDED
from simulator.numeric.datapath import GRAPH_DATAPATH
from simulator.ops.arithmetic import Arithmetic
from simulator.ops.float_average_pool import FloatAveragePool
from simulator.ops.float_reduce import FloatReduce
from simulator.ops.float_unary import FloatUnary
from simulator.ops.max_pool import MaxPool
from workloads.float_graph import Layer, layer_of, layers
from workloads.float_graph.batch_norm import channel_map
from workloads.quantize.ptq.bias_correction import BiasCorrection, correctable, corrected
from workloads.quantize.ptq.channels import cuts_to
from workloads.quantize.ptq.grouped import with_biases
from workloads.quantize.ptq.places import moves
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.relu_moments import clipped_moments
from workloads.quantize.ptq.statistics import LayerStatistics
from workloads.quantize.quantizer import Reals


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and variance of every element of a tensor, arrays of its shape, float64."""

    mean: Reals
    variance: Reals


_NOTHING: Final[Mapping[str, Moments]] = {}


def analytic_bias_correction(
    plan: Plan, statistics: LayerStatistics, inputs: Mapping[str, Moments] = _NOTHING
) -> BiasCorrection:
    """Correct the bias of every layer whose mean input follows from `statistics`.

    `statistics` are those of the layers of the plan's own graph. `inputs` are moments of graph
    inputs, where they are known; layers whose input's are not keep their bias.
    """
    ready = replace(plan, graph=with_biases(plan.graph, plan.weights.keys()))
    known = expectations(ready.graph, statistics, inputs)
    names, removed = set(correctable(ready)), dict[str, Reals]()
    for layer in layers(ready.graph):
        x = known.get(layer.activations)
        if x is None or layer.weights not in names:
            continue
        true = ready.graph.constants[layer.weights].astype(np.float64)
        change = plan.weights[layer.weights].real() - true
        shift = _product(layer, x.mean, change, None)
        removed[layer.weights] = shift.reshape(-1, shift.shape[-1]).mean(axis=0)
    return corrected(ready, removed)


def expectations(
    graph: Graph, statistics: LayerStatistics, inputs: Mapping[str, Moments] = _NOTHING
) -> dict[str, Moments]:
    """The moments of every tensor that they can be followed to.

    From `statistics` where a layer has them, else from its input's. Averages keep the variance, as
    neighbours are alike; a maximum's moments are not followed.
    """
    found = dict(inputs)
    for node in graph.nodes:
        made = _behind(graph, node, statistics, found)
        if made is not None:
            low, high = cuts_to(node)
            ends = clipped_moments(made.mean, np.sqrt(made.variance), low, high)
            plain = (low, high) == UNBOUNDED
            found[node.outputs[0]] = made if plain else Moments(*ends)
    return found


def _behind(
    graph: Graph, node: Node, statistics: LayerStatistics, found: Mapping[str, Moments]
) -> Moments | None:
    """The moments of what a node computes, before it is cut to bounds."""
    layer, op = layer_of(graph, node), node.op
    if layer is not None:
        return _of_layer(graph, layer, statistics, found)
    given = [found.get(name) for name in node.inputs]
    x = given[0] if given else None
    if isinstance(op, Arithmetic):
        return _of_sum(graph, node, found)
    if isinstance(op, FloatUnary):
        return x if op.function in ("relu", "clip") else None
    if x is None or isinstance(op, MaxPool):
        return None
    averages = isinstance(op, FloatAveragePool) or (
        isinstance(op, FloatReduce) and op.function == "mean"
    )
    if node.op.kind == "concatenation":
        parts = [m for m in given if m is not None]
        if len(parts) < len(given):
            return None
        return Moments(_run(op, [m.mean for m in parts]), _run(op, [m.variance for m in parts]))
    if not averages and not moves(node):
        return None
    rest: list[Array | None] = [graph.constants.get(name) for name in node.inputs[1:]]
    plain: Any = replace(op, bounds=UNBOUNDED) if isinstance(op, FloatAveragePool) else op
    return Moments(_run(plain, [x.mean, *rest]), _run(plain, [x.variance, *rest]))


def _of_layer(
    graph: Graph, layer: Layer, statistics: LayerStatistics, found: Mapping[str, Moments]
) -> Moments | None:
    known, shape = statistics.get(layer.weights), graph.tensors[layer.output].shape
    if known is not None:
        mean, variance = known.mean, np.square(known.deviation)
        return Moments(np.broadcast_to(mean, shape), np.broadcast_to(variance, shape))
    x = found.get(layer.activations)
    if x is None:
        return None
    weights = graph.constants[layer.weights].astype(np.float64)
    bias = graph.constants[layer.bias].astype(np.float64) if layer.bias else None
    mean = _product(layer, x.mean, weights, bias)
    return Moments(mean, _product(layer, x.variance, np.square(weights), None))


def _of_sum(graph: Graph, node: Node, found: Mapping[str, Moments]) -> Moments | None:
    """Of a sum of two tensors, or of a map of channels."""
    made = channel_map(graph, node)
    if made is not None:
        x = found.get(made.x)
        if x is None:
            return None
        return Moments(x.mean * made.gain + made.offset, x.variance * np.square(made.gain))
    terms = [found.get(name) for name in node.inputs]
    op = node.op
    if not isinstance(op, Arithmetic) or op.function not in ("add", "sub") or len(terms) != 2:
        return None
    first, second = terms
    if first is None or second is None:
        return None
    sign = 1.0 if op.function == "add" else -1.0
    return Moments(first.mean + sign * second.mean, first.variance + second.variance)


def _product(layer: Layer, x: Reals, weights: Reals, bias: Array | None) -> Reals:
    """W x + b of a layer in float64, with other weights, uncut."""
    op: Any = layer.node.op
    return _run(replace(op, bounds=UNBOUNDED), [x, weights, bias])


def _run(op: Any, inputs: list[Any]) -> Reals:
    given = [None if v is None else np.ascontiguousarray(v) for v in inputs]
    result: Reals = op.run(given, GRAPH_DATAPATH)[0]
    return result
