"""Sampled rows times weights are the layer's output, for each kind of layer."""

from math import inf
from typing import Any

import numpy as np
import pytest

from simulator.errors import IllegalValues
from simulator.graph import Graph
from tests.float_builder import RELU, FloatNet
from workloads.float_graph import layers
from workloads.float_graph.activations import bounds_on
from workloads.quantize.ptq.adaround_rows import (
    as_matrices,
    choose,
    collect,
    count_samples,
    from_matrices,
)


def conv_net(seed: int, kind: str, dtype: str) -> Graph:
    rng = np.random.default_rng(seed)
    net = FloatNet((2, 7, 6, 4), dtype)
    channels = {"dense": 4, "grouped": 2, "depthwise": 1}[kind.split()[0]]
    weights = rng.standard_normal((8, 3, 2, channels))
    options: dict[str, Any] = {}
    if "strided" in kind:
        options = {"stride": 2, "padding": (2, 0, 1, 3)}
    if "valid" in kind:
        options = {"padding": "VALID"}
    return net.graph(net.conv("x", weights, rng.standard_normal(8), bounds=RELU, **options))


def product_net(seed: int, kind: str, dtype: str) -> Graph:
    rng = np.random.default_rng(seed)
    net = FloatNet((3, 5, 6), dtype)
    shape = (6, 9) if kind == "matmul" else (9, 6)
    add = net.matmul if kind == "matmul" else net.dense
    return net.graph(add("x", rng.standard_normal(shape), rng.standard_normal(9)))


KINDS = ("dense", "dense strided", "dense valid", "grouped strided", "depthwise", "depthwise valid")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [*KINDS, "matmul", "fully connected"])
def test_rows_times_weights_are_the_output(kind: str, dtype: str) -> None:
    make = conv_net if kind in KINDS else product_net
    graph = make(1, kind, dtype)
    (layer,) = layers(graph)
    shape = graph.tensors["x"].shape
    x = np.random.default_rng(2).standard_normal((10, *shape)).astype(dtype)
    outputs = graph.constants[layer.bias].size
    places = graph.tensors[layer.output].elements // outputs
    chosen, held = choose(10, places, 10 * places, 0.2, 0)
    assert len(chosen.samples) == 8 * places
    assert len(held.samples) == 2 * places
    weights = as_matrices(layer, graph.constants[layer.weights])
    bias = graph.constants[layer.bias].reshape(layer.groups, 1, -1)
    parts = collect(graph, graph, layer, [{"x": x[:4]}, {"x": x[4:]}], (chosen, held))
    at_once = collect(graph, graph, layer, [{"x": x}], (chosen, held))
    for rows, whole in zip(parts, at_once, strict=True):
        y = np.clip(rows.inputs @ weights.transpose(0, 2, 1) + bias, *bounds_on(layer.node))
        assert y == pytest.approx(rows.targets, abs=2e-5)
        assert rows.targets.std() > 0.1
        assert (whole.inputs == rows.inputs).all()
        assert (whole.targets == rows.targets).all()


@pytest.mark.parametrize("kind", ["dense", "grouped", "matmul"])
def test_matrices_and_back(kind: str) -> None:
    graph = (product_net if kind == "matmul" else conv_net)(0, kind, "float32")
    (layer,) = layers(graph)
    weights = graph.constants[layer.weights]
    there = as_matrices(layer, weights)
    assert there.ndim == 3
    assert (from_matrices(layer, there, weights.shape) == weights).all()


def test_the_choice_is_uniform_and_of_other_samples() -> None:
    seen, unseen = choose(100, 50, 2000, 0.25, seed=7)
    assert len(set(zip(seen.samples.tolist(), seen.places.tolist(), strict=True))) == 2000
    assert len(unseen.samples) == 500
    assert not set(seen.samples.tolist()) & set(unseen.samples.tolist())
    # 2000 of 3750 drawn: 75 samples, each 26.7 times in the mean with a deviation below 3.6.
    counts = np.bincount(seen.samples, minlength=100)
    assert (counts > 0).sum() == 75
    assert np.abs(counts[counts > 0] - 26.7).max() < 5 * 3.6
    assert len(choose(1, 4, 10, 0.5, 0)[1].samples) == 0
    other = choose(100, 50, 2000, 0.25, seed=8)[0]
    assert (other.samples != seen.samples).any()


def test_batches_that_cannot_be_read_again_or_hold_nothing_are_refused() -> None:
    batches = [{"x": np.zeros((3, 2))}, {"x": np.zeros((4, 2))}]
    assert count_samples(batches) == 7
    with pytest.raises(IllegalValues, match="give a list"):
        count_samples(iter(batches))
    with pytest.raises(IllegalValues, match="found none"):
        count_samples([])


def test_far_outside_the_image_there_are_zeros() -> None:
    """A window that touches nothing but padding."""
    net = FloatNet((1, 2, 2, 1))
    name = net.conv("x", np.ones((1, 1, 1, 1)), padding=(3, 3, 3, 3), bounds=(-inf, inf))
    graph = net.graph(name)
    (layer,) = layers(graph)
    chosen, _ = choose(2, 64, 128, 0.0, 0)
    (rows,) = collect(graph, graph, layer, [{"x": np.ones((2, 1, 2, 2, 1), np.float32)}], [chosen])
    assert (rows.inputs == rows.targets).all()
    assert rows.inputs.sum() == 8
