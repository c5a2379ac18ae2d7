"""Batch normalizations behind layers, trained beside them and folded where they are served."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Graph
from simulator.ops.batch_normalization import BatchNormalization
from workloads.float_graph import layer_of, layers
from workloads.float_graph.edit import only_reader, producer
from workloads.train.arithmetic import kept_apart


@dataclass(frozen=True, eq=False)
class Norm:
    """y = gamma (w x - mean) / sqrt(variance + epsilon) + beta behind the layer of `weights`.

    Arrays are (channels,) but `raw`, the layer's weights before folding; the mean is of w x without
    the layer's bias, which it takes in.
    """

    weights: str
    bias: str
    filter_axis: int
    raw: NDArray[Any]
    gamma: NDArray[Any]
    beta: NDArray[Any]
    mean: NDArray[Any]
    variance: NDArray[Any]
    epsilon: float

    def spread(self, row: Any) -> Any:
        """One value a channel, broadcasting against the weights."""
        return row.reshape([-1 if k == self.filter_axis else 1 for k in range(self.raw.ndim)])


def norms_of(graph: Graph, ready: Graph) -> dict[str, Norm]:
    """The normalizations of `graph` that `ready` has folded into the layer before, by weights.

    Left out where other factors were folded into the same layer.
    """
    behind = {layer.node.name: layer for layer in layers(ready)}
    found = dict[str, Norm]()
    for node in graph.nodes:
        if not isinstance(node.op, BatchNormalization):
            continue
        before = producer(graph, node.inputs[0])
        layer = None if before is None else layer_of(graph, before)
        if layer is None or only_reader(graph, node.inputs[0]) is not node:
            continue
        folded = behind.get(layer.node.name)
        if folded is None or any(name not in graph.constants for name in node.inputs[1:]):
            continue
        gamma, beta, mean, variance = (graph.constants[n] for n in node.inputs[1:])
        raw = graph.constants[layer.weights]
        start = graph.constants[layer.bias].reshape(-1) if layer.bias else np.zeros_like(mean)
        norm = Norm(
            weights=folded.weights,
            bias=folded.bias,
            filter_axis=folded.filter_axis,
            raw=raw,
            gamma=gamma,
            beta=beta,
            mean=mean - start,
            variance=variance,
            epsilon=float(node.op.epsilon),
        )
        gain = norm.spread(gamma / np.sqrt(variance + norm.epsilon))
        if np.allclose(raw * gain, ready.constants[folded.weights], rtol=1e-4, atol=1e-6):
            found[folded.weights] = norm
    return found


def folded_weights(norm: Norm, raw: Any, gamma: Any, deviation: Any) -> Any:
    """Weights gamma W / sigma: c gamma W / sigma_B with c = sigma_B / sigma, whatever the batch."""
    return kept_apart(raw * norm.spread(kept_apart(gamma / deviation)))


def folded_bias(gamma: Any, beta: Any, mean: Any, deviation: Any) -> Any:
    """Bias beta - gamma mean / sigma: that of phase 2, and of what is served."""
    return kept_apart(beta - kept_apart(kept_apart(gamma * mean) / deviation))
