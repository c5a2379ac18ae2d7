"""How far a quantized network is from the float one, on samples that it was not calibrated on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.graph import Array, Graph
from workloads.float_graph import layers
from workloads.quantize.ptq.calibrate import Batches, logits
from workloads.quantize.ptq.plan import Plan
from workloads.quantize.ptq.samples import Samples
from workloads.quantize.ptq.simulate import forward, simulated
from workloads.quantize.sqnr import decibels


class Noise:
    """Signal and noise of pairs of arrays, added up as they come."""

    def __init__(self) -> None:
        self._signal = 0.0
        self._noise = 0.0

    def add(self, real: Array, other: Array) -> None:
        """Take in a real array and what stands for it, of one shape."""
        wide = real.astype(np.float64)
        self._signal += float(np.square(wide).sum())
        self._noise += float(np.square(wide - other).sum())

    @property
    def decibels(self) -> float:
        """10 log10(signal / noise) of all that was added."""
        return decibels(self._signal, self._noise)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Samples and the class of each, int64 (N,)."""

    samples: Samples
    labels: NDArray[np.int64]


class Judge:
    """Compares networks with a float one: signal to noise of its logits, and top-1 accuracy.

    The logits are the outputs, or what goes into the softmax before them. Kept are those of the
    float network on the samples held out.
    """

    def __init__(self, graph: Graph, held: Samples, labelled: Labelled | None = None) -> None:
        self.tensors = tuple(logits(graph))
        self.held = held
        self.labelled = labelled
        self.expected = self._outputs(graph, held)

    def sqnr_db(self, graph: Graph) -> float:
        """10 log10(sum y^2 / sum (y - y^)^2) of the logits; of several outputs the least."""
        noise = {name: Noise() for name in self.tensors}
        place = 0
        for found in forward(graph, self.held, self.tensors):
            for name, value in found.items():
                noise[name].add(self.expected[name][place : place + len(value)], value)
            place += len(next(iter(found.values())))
        return min(one.decibels for one in noise.values())

    def top1(self, graph: Graph) -> float | None:
        """The share of labelled samples whose largest logit is their class; None without labels."""
        if self.labelled is None:
            return None
        chosen = classes(graph, self.labelled.samples, self.tensors[0])
        return float((chosen == self.labelled.labels).mean())

    def _outputs(self, graph: Graph, batches: Batches) -> dict[str, Array]:
        found = list(forward(graph, batches, self.tensors))
        return {name: np.concatenate([one[name] for one in found]) for name in self.tensors}


def classes(graph: Graph, batches: Batches, tensor: str) -> NDArray[np.int64]:
    """The place of each sample's largest value in a tensor, (N,)."""
    found = forward(graph, batches, [tensor])
    return np.concatenate([one[tensor].reshape(len(one[tensor]), -1).argmax(1) for one in found])


def layer_noise(
    float_graph: Graph, plan: Plan, batches: Batches, names: Sequence[str]
) -> Mapping[str, float]:
    """Signal to noise, in dB, of named tensors of a plan's network against the float one.

    Errors of the layers before are in it. One batch of both is in memory at a time.
    """
    noise = {name: Noise() for name in names}
    pairs = (forward(graph, batches, names) for graph in (float_graph, simulated(plan)))
    for real, other in zip(*pairs, strict=True):
        for name in names:
            noise[name].add(real[name], other[name])
    return {name: one.decibels for name, one in noise.items()}


def weight_noise(float_graph: Graph, plan: Plan) -> Mapping[str, float]:
    """Signal to noise, in dB, of the weights of each layer on a grid, by its node's name."""
    found = dict[str, float]()
    for layer in layers(float_graph):
        if layer.weights in plan.weights:
            noise = Noise()
            noise.add(float_graph.constants[layer.weights], plan.weights[layer.weights].real())
            found[layer.node.name] = noise.decibels
    return found
