"""What layers give before their activation, which is fused, as tensors of the graph."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from simulator.graph import Array, Graph, Node, Source
from simulator.numeric.bounds import UNBOUNDED
from simulator.numeric.dialect import dialect
from simulator.ops.float_unary import FloatUnary
from workloads.float_graph import layer_of
from workloads.float_graph.activations import bounds_on
from workloads.float_graph.edit import rebuilt
from workloads.quantize.ptq.channels import rebounded
from workloads.quantize.ptq.simulate import forward
from workloads.quantize.ptq.statistics import Statistics
from workloads.quantize.quantizer import Reals


def with_preactivations(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """The graph with activations taken out of its layers, and w x + b of each, by its weights.

    A layer whose weights another one reads too is left out of the names.
    """
    tensors, nodes, names = dict(graph.tensors), list[Node](), dict[str, list[str]]()
    for node in graph.nodes:
        layer, given = layer_of(graph, node), node.outputs[0]
        if layer is None or bounds_on(node) == UNBOUNDED:
            nodes.append(node)
        else:
            before, given = given, f"{given}@sum"
            tensors[given] = tensors[before]
            plain = replace(node, outputs=(given,))
            nodes.append(rebounded(plain, UNBOUNDED, tensors, graph.constants))
            nodes.append(_activation(graph, node, given))
        if layer is not None:
            names.setdefault(layer.weights, []).append(given)
    split = rebuilt(graph, nodes, tensors, graph.constants)
    return split, {weights: given[0] for weights, given in names.items() if len(given) == 1}


def estimated_statistics(
    graph: Graph, batches: Iterable[Mapping[str, Array]]
) -> dict[str, Statistics]:
    """Mean and deviation of every layer's w x + b over calibration data, for want of batch norms.

    Batches have every graph input as [samples, *shape]. One sample is in memory at a time, and sums
    are in double (Chan et al. 1983).
    """
    split, names = with_preactivations(graph)
    seen: dict[str, Running] = {}
    for values in forward(split, singly(batches), tuple(names.values())):
        for weights, name in names.items():
            seen[weights] = seen.get(weights, Running()).with_values(values[name])
    return {weights: found.statistics() for weights, found in seen.items()}


def singly(batches: Iterable[Mapping[str, Array]]) -> Iterator[dict[str, Array]]:
    """Batches of one sample each: their tensors are small."""
    for batch in batches:
        count = min((len(value) for value in batch.values()), default=0)
        for at in range(count):
            yield {name: value[at : at + 1] for name, value in batch.items()}


@dataclass(frozen=True, eq=False)
class Running:
    """Count, mean and sum of squared distances of what was seen, by the last axis."""

    count: int = 0
    mean: Reals | float = 0.0
    squares: Reals | float = 0.0

    def with_values(self, values: Array) -> "Running":
        """With every element of an array of one more tensor; the last axis is the channel's."""
        rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
        mean = rows.mean(axis=0)
        total = self.count + len(rows)
        apart = mean - self.mean
        squares = self.squares + np.square(rows - mean).sum(axis=0)
        return Running(
            total,
            self.mean + apart * (len(rows) / total),
            squares + np.square(apart) * (self.count * len(rows) / total),
        )

    def statistics(self) -> Statistics:
        """Of the whole."""
        return Statistics(np.asarray(self.mean), np.sqrt(self.squares / self.count))


def _activation(graph: Graph, node: Node, before: str) -> Node:
    """The cut of a node's fused bounds, as a node of its own."""
    low, high = bounds_on(node)
    kind = graph.tensors[node.outputs[0]]
    relu = (low, high) == (0.0, inf)
    source = Source(
        place=f"{node.name}, its activation",
        options={"function": "relu" if relu else "clip", "parameters": () if relu else (low, high)},
        inputs=(kind,),
        outputs=(kind,),
        constants=(None,),
        dialect=dialect("litert-ref") if node.source is None else node.source.dialect,
    )
    return Node(f"{node.name}@cut", FloatUnary.decode(source), (before,), node.outputs, source)
