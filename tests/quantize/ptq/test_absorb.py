"""High-bias absorption: c leaves one bias, W2 c enters the next; exact where nothing is cut."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

import workloads
from simulator.execute import run
from simulator.graph import Graph
from tests.digits_mlp import SEEDS, digits, digits_graph
from tests.float_builder import RELU, RELU6, FloatNet
from tests.ops.onnx_runtime import graph_of, model, node
from tests.quantize.ptq.random_nets import Recipe, built, recipes
from tests.shared import absence, shared_folder
from tests.test_float_onnx import normalization, normalized, reals
from workloads.float_graph import as_double, layers
from workloads.quantize.ptq import forward, prepared
from workloads.quantize.ptq.absorb import absorb, absorption
from workloads.quantize.ptq.equalize import equalization
from workloads.quantize.ptq.preactivations import estimated_statistics, with_preactivations
from workloads.quantize.ptq.statistics import Statistics, batch_norm_statistics

Doubles = NDArray[np.float64]


def normal(shape: tuple[int, ...], seed: int = 0) -> Doubles:
    return np.random.default_rng(seed).standard_normal(shape)


def least(graph: Graph, batch: Doubles) -> dict[str, Doubles]:
    """The least w x + b of each channel on data, by weights: the `c` that nothing is below."""
    split, names = with_preactivations(graph)
    (values,) = forward(split, [{"x": batch}], list(names.values()))
    return {w: values[n].reshape(-1, values[n].shape[-1]).min(axis=0) for w, n in names.items()}


def ends(graph: Graph, batch: Doubles) -> Doubles:
    (found,) = forward(graph, [{"x": batch}], graph.outputs)
    return np.asarray(found[graph.outputs[0]])


def unpadded(seed: int, middle: str = "max pool") -> Graph:
    """Layers with high biases, nothing padded."""
    net = FloatNet((1, 9, 9, 3), "float64")
    x = net.conv(
        "x", normal((6, 3, 3, 3), seed), 9 * normal((6,), seed + 1), bounds=RELU, padding="VALID"
    )
    made: dict[str, Callable[[str], str]] = {
        "max pool": net.max_pool,
        "average pool": net.average_pool,
        "none": str,
        "mean": lambda x: net.mean(x, keep=True),
    }
    x = made[middle](x)
    x = net.conv(
        x, normal((6, 1, 1, 1), seed + 2), 5 * normal((6,), seed + 3), bounds=RELU, padding="VALID"
    )
    flat = net.flatten(x)
    return net.graph(net.dense(flat, normal((4, net.shape(flat)[1]), seed + 4)))


@pytest.mark.parametrize("middle", ["max pool", "average pool", "none", "mean"])
@pytest.mark.parametrize("seed", range(3))
def test_exact_where_nothing_is_cut(seed: int, middle: str) -> None:
    """C is the data's least w x + b: by statistics with that mean and no deviation."""
    graph, batch = unpadded(seed, middle), normal((8, 1, 9, 9, 3), seed)
    low = least(graph, batch)
    statistics = {w: Statistics(c, np.zeros(len(c))) for w, c in low.items()}
    made = absorption(graph, statistics)
    assert made.pairs
    assert all(pair.exact for pair in made.pairs)
    for pair in made.pairs:
        np.testing.assert_array_equal(pair.removed, np.maximum(low[pair.first], 0))
    before, after = ends(graph, batch), ends(made.graph, batch)
    assert np.abs(before - after).max() <= 1e-9 * np.abs(before).max()
    left = least(made.graph, batch)
    for pair in made.pairs:
        np.testing.assert_allclose(left[pair.first], np.minimum(low[pair.first], 0), atol=1e-9)


def test_the_removed_bias_is_c_and_arrives() -> None:
    """b1 - c and b2 + W2 c, with c = max(0, beta - 3 |gamma|), by hand."""
    net = FloatNet((1, 2), "float64")
    w1, b1, w2 = normal((3, 2), 1), np.array([5.0, 1.0, -4.0]), normal((2, 3), 2)
    graph = net.graph(net.dense(net.dense("x", w1, b1, bounds=RELU), w2))
    beta, gamma = np.array([7.0, 2.0, 1.0]), np.array([1.5, 1.0, -0.25])
    name = "dense0.weights"
    made = absorption(graph, {name: Statistics(beta, np.abs(gamma))})
    (pair,) = made.pairs
    np.testing.assert_allclose(pair.removed, [2.5, 0, 0.25], rtol=1e-15)
    first, second = layers(made.graph)
    np.testing.assert_allclose(made.graph.constants[first.bias], [2.5, 1, -4.25], rtol=1e-15)
    moved = made.graph.constants[second.bias]
    np.testing.assert_allclose(moved, w2 @ [2.5, 0, 0.25], rtol=1e-14)
    np.testing.assert_array_equal(made.graph.constants[first.weights], w1)
    shifted = made.shifted({name: Statistics(beta, np.abs(gamma))})[name]
    np.testing.assert_allclose(shifted.mean, beta - pair.removed)


def test_what_is_cut_differs_by_what_was_cut() -> None:
    """One neuron: r(x - c) + c is r(x) but for x below c."""
    net = FloatNet((1, 1), "float64")
    x = net.dense("x", np.ones((1, 1)), np.zeros(1), bounds=RELU)
    graph = net.graph(net.dense(x, np.ones((1, 1)), np.zeros(1)))
    made = absorb(graph, {"dense0.weights": Statistics(np.array([5.0]), np.array([1.0]))})
    for value in (-1.0, 1.0, 2.0, 3.0, 9.0):
        (y,) = run(made, {"x": np.array([[value]])})[0].values()
        assert y[0, 0] == max(value, 2.0)


def test_padding_is_exact_inside_and_named() -> None:
    net = FloatNet((1, 8, 8, 2), "float64")
    x = net.conv("x", normal((3, 1, 1, 2)), np.full(3, 9.0), bounds=RELU)
    graph = net.graph(net.conv(x, normal((4, 3, 3, 3), 1)))
    batch = normal((4, 1, 8, 8, 2), 2)
    low = least(graph, batch)
    statistics = {w: Statistics(c, np.zeros(len(c))) for w, c in low.items()}
    made = absorption(graph, statistics)
    (pair,) = made.pairs
    assert not pair.exact
    apart = np.abs(ends(graph, batch) - ends(made.graph, batch))[:, 0]
    assert apart[:, 1:-1, 1:-1].max() <= 1e-12
    assert apart.max() > 0.1
    assert absorption(graph, statistics, padded=False).pairs == ()


@pytest.mark.parametrize("case", ["relu6", "none", "leaky", "two readers", "sum"])
def test_only_behind_a_plain_relu(case: str) -> None:
    net = FloatNet((1, 4, 4, 2), "float64")
    bounds = {"relu6": RELU6, "none": (-inf, inf), "leaky": (-inf, inf)}.get(case, RELU)
    x = net.conv("x", normal((3, 1, 1, 2)), np.full(3, 9.0), bounds=bounds)
    read = net.unary(x, "leaky_relu", 0.1) if case == "leaky" else x
    if case == "sum":
        read = net.add_node("float_reduce", [x], {"function": "sum", "axes": (1, 2), "keep": True})
    tail = [net.conv(read, normal((4, 1, 1, 3), 1))]
    if case == "two readers":
        tail.append(net.unary(x, "tanh"))
    graph = net.graph(*tail)
    high = {"conv0.weights": Statistics(np.full(3, 9.0), np.ones(3))}
    assert absorption(graph, high).pairs == ()


@settings(max_examples=30, deadline=None)
@given(recipes)
def test_random_networks(recipe: Recipe) -> None:
    """Where no padding lies between, the data's least values absorb without a change."""
    graph = built(recipe, largest=0.5)
    batch = normal((2, 1, 12, 12, 3), recipe.seed)
    statistics = {w: Statistics(c, np.zeros(len(c))) for w, c in least(graph, batch).items()}
    made = absorption(graph, statistics, padded=False)
    before, after = ends(graph, batch), ends(made.graph, batch)
    assert np.abs(before - after).max() <= 1e-9 * (np.abs(before).max() or 1)


def test_batch_norms_behind_equalization(tmp_path: Path) -> None:
    """Statistics read before folding, scaled by the factors, give c of the equalized layer."""
    rng = Random(4)
    held = normalization(rng, "n", 6)
    held["n.beta"] = np.linspace(1, 9, 6).astype(np.float32)
    constants = {"w": reals(rng, (6, 4, 1, 1), 4), "v": reals(rng, (5, 6, 1, 1), 6), **held}
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        normalized("n", "c", "m"),
        node("Relu", ["m"], ["r"]),
        node("Conv", ["r", "v"], ["y"]),
    ]
    data = model(nodes, {"x": ("float32", (1, 4, 5, 5))}, {"y": "float32"}, constants)
    read = graph_of(data, tmp_path)
    equalized = equalization(prepared(read))
    made = absorption(equalized.graph, equalized.scaled(batch_norm_statistics(read)))
    (one,), (pair,) = equalized.pairs, made.pairs
    beta, gamma = (held[f"n.{key}"].astype(np.float64) for key in ("beta", "gamma"))
    expected = np.maximum(beta - 3 * np.abs(gamma), 0) / one.scale
    np.testing.assert_allclose(pair.removed, expected, rtol=1e-12)
    assert pair.exact


def test_statistics_of_a_normalization_that_goes_on(tmp_path: Path) -> None:
    """A product and a sum behind it move beta and |gamma| along; nothing of one before a layer."""
    rng = Random(6)
    held = normalization(rng, "n", 6)
    held["n.gamma"][0] *= -1
    constants = {
        "w": reals(rng, (6, 4, 1, 1), 4),
        "v": reals(rng, (5, 6, 1, 1), 6),
        "k": np.array(-2, np.float32),
        "o": np.array(0.5, np.float32),
        **held,
    }
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        normalized("n", "c", "m"),
        node("Mul", ["m", "k"], ["p"]),
        node("Add", ["p", "o"], ["q"]),
        node("Relu", ["q"], ["r"]),
        normalized("n", "r", "s"),
        node("Conv", ["s", "v"], ["y"]),
    ]
    data = model(nodes, {"x": ("float32", (1, 4, 5, 5))}, {"y": "float32"}, constants)
    found = batch_norm_statistics(graph_of(data, tmp_path))
    (only,) = found.values()
    beta, gamma = (held[f"n.{key}"].astype(np.float64) for key in ("beta", "gamma"))
    np.testing.assert_allclose(only.mean, 0.5 - 2 * beta, rtol=1e-12)
    np.testing.assert_allclose(only.deviation, 2 * np.abs(gamma), rtol=1e-12)


def test_statistics_of_data() -> None:
    """Mean and deviation over samples and positions, batch by batch, before the ReLU."""
    graph = unpadded(3)
    batch = normal((12, 1, 9, 9, 3), 5)
    found = estimated_statistics(graph, [{"x": batch[:5]}, {"x": batch[5:]}])
    x = batch.reshape(12, 9, 9, 3)
    first = layers(graph)[0]
    w, b = graph.constants[first.weights], graph.constants[first.bias]
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    true = np.einsum("nyxcij,fijc->nyxf", windows, w) + b
    np.testing.assert_allclose(found[first.weights].mean, true.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found[first.weights].deviation, true.std(axis=(0, 1, 2)), rtol=1e-10)
    assert len(found) == 3


def test_digits() -> None:
    """Spread of what absorption removes and changes, statistics estimated on training images."""
    images = digits().train[:128, None].astype(np.float64)
    for seed in SEEDS:
        graph = equalization(digits_graph(seed, scaled=True, dtype="float64")).graph
        made = absorption(graph, estimated_statistics(graph, [{"x": images}]))
        before, after = ends(graph, images), ends(made.graph, images)
        apart = np.abs(before - after).max() / np.abs(before).max()
        removed = {p.first: round(float(p.removed.max()), 3) for p in made.pairs}
        print(f"\nseed {seed}: largest c {removed}, largest change {apart:.2g}")
        assert apart < 0.05
        low = least(graph, images)
        kept = {
            p.first: Statistics(
                np.minimum(p.removed, np.maximum(low[p.first], 0)), np.zeros(len(p.removed))
            )
            for p in made.pairs
        }
        exact = ends(absorb(graph, kept), images)
        assert np.abs(before - exact).max() <= 1e-9


@pytest.mark.parametrize("name", ["ad_autoencoder", "vww_mobilenetv1_025_96"])
def test_trained_networks(name: str) -> None:
    """Equalized, then exact on data wherever no zeros are padded."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    read = workloads.load(folder / f"models/float/mlperf_{name}_float.tflite")
    graph = equalization(as_double(prepared(read))).graph
    (start,) = graph.inputs
    shape = graph.tensors[start].shape
    batch = {start: np.random.default_rng(0).uniform(0, 1, (3, *shape))}
    split, names = with_preactivations(graph)
    (values,) = forward(split, [batch], list(names.values()))
    low = {w: values[n].reshape(-1, values[n].shape[-1]).min(axis=0) for w, n in names.items()}
    statistics = {w: Statistics(c, np.zeros(len(c))) for w, c in low.items()}
    made = absorption(graph, statistics, padded=False)
    last = layers(graph)[-1].output  # before a softmax, which would hide much
    (before,) = forward(graph, [batch], [last])
    (after,) = forward(made.graph, [batch], [last])
    apart = float(np.abs(before[last] - after[last]).max())
    print(f"\n{name}: {len(made.pairs)} pairs, largest change {apart:.2g}")
    assert made.pairs
    assert apart <= 1e-9
