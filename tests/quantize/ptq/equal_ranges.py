"""Ranges of layers joined by equalization, counted without it, and what two networks compute."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.execute import run
from simulator.graph import Graph
from workloads.float_graph import Layer, cut, layers
from workloads.quantize.ptq.equalize import Equalization

Doubles = NDArray[np.float64]


def outputs(graph: Graph, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return run(graph, {graph.inputs[0]: x})[0]


def normal(shape: tuple[int, ...], seed: int = 0) -> Doubles:
    return np.random.default_rng(seed).standard_normal(shape)


def difference(before: Graph, after: Graph, x: Doubles) -> float:
    """The largest of all outputs, as a part of the largest output before."""
    true, found = outputs(before, x), outputs(after, x)
    return max(float(np.abs(true[n] - found[n]).max() / (np.abs(true[n]).max() or 1)) for n in true)


def by_output(graph: Graph, layer: Layer) -> Doubles:
    """Max |w| of each filter, filter by filter."""
    weights = np.moveaxis(graph.constants[layer.weights], layer.filter_axis, 0)
    return np.array([np.abs(each).max() for each in weights])


def reads(graph: Graph, first: Layer, second: Layer) -> NDArray[np.bool_]:
    """(channels, inputs): which inputs of the second layer a channel of the first one's reaches.

    Found by ones in one channel and zeros elsewhere.
    """
    weights = graph.constants[second.weights]
    inputs = second.groups * weights.shape[second.input_axis]
    kind = graph.tensors[first.output]
    found = []
    for channel in range(kind.shape[-1]):
        x = np.zeros(kind.shape, kind.dtype)
        x[..., channel] = 1
        if first.output != second.activations:
            part = cut(graph, [first.output], [second.activations])
            x = run(part, {first.output: x})[0][second.activations]
        found.append((x.reshape(-1, inputs) != 0).any(axis=0))
    return np.array(found)


def by_input(graph: Graph, layer: Layer, reached: NDArray[np.bool_]) -> Doubles:
    """Max |w| of what reads each channel of the layer before."""
    moved = np.moveaxis(
        graph.constants[layer.weights], (layer.filter_axis, layer.input_axis), (0, 1)
    )
    groups = np.split(np.abs(moved), layer.groups)
    ranges = np.concatenate([g.max(axis=(0, *range(2, moved.ndim))) for g in groups])
    return np.array([ranges[row].max(initial=0) for row in reached])


def unequal(made: Equalization) -> float:
    """The largest |r1 / r2 - 1| of all pairs, dead channels apart, whose factor is 1."""
    by_name, worst = {layer.weights: layer for layer in layers(made.graph)}, 0.0
    for pair in made.pairs:
        first = by_output(made.graph, by_name[pair.first])
        ends = by_name[pair.first], by_name[pair.second]
        second = by_input(made.graph, ends[1], reads(made.graph, *ends))
        alive = pair.scale != 1
        worst = max(worst, float(np.abs(first[alive] / second[alive] - 1).max(initial=0)))
    return worst
