"""Cross-layer equalization: the function stays, ranges become equal, eight bits are enough again.

SEEDS of the thresholds: function to 1e-9 in float64, ranges to 1e-6, W8A8 with one scale a tensor
from below 20 % to within a point of float.
"""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

import workloads
from simulator.errors import BadConfig
from simulator.execute import run
from simulator.graph import Graph
from tests.digits_mlp import SEEDS, accuracy, digits, digits_graph, logits
from tests.float_builder import RELU, RELU6, FloatNet
from tests.ops.onnx_runtime import graph_of, model, node
from tests.quantize.ptq.plans import min_max_plan
from tests.quantize.ptq.random_nets import Recipe, built, recipes
from tests.shared import absence, shared_folder
from tests.test_float_onnx import normalization, normalized, reals
from workloads.float_graph import Layer, as_double, layers
from workloads.quantize.ptq import prepared, simulated
from workloads.quantize.ptq.equalize import Equalization, equalization, equalize
from workloads.quantize.ptq.ranges import factors
from workloads.quantize.ptq.statistics import batch_norm_statistics

FLOATS = {"mlperf_ad_autoencoder": 9, "mlperf_ic_resnet8": 3, "mlperf_vww_mobilenetv1_025_96": 27}
"""Pairs: a chain of ten, one in each of three residual blocks, a chain of 28."""
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


def by_input(graph: Graph, layer: Layer, count: int) -> Doubles:
    """Max |w| of what reads each channel, whose columns lie in turn: channels last, flattened."""
    weights = np.moveaxis(
        graph.constants[layer.weights], (layer.filter_axis, layer.input_axis), (0, 1)
    )
    found = np.zeros(count)
    for f, k in np.ndindex(*weights.shape[:2]):
        group = f * layer.groups // len(weights)
        channel = (group * weights.shape[1] + k) % count
        found[channel] = max(found[channel], np.abs(weights[f, k]).max())
    return found


def unequal(made: Equalization) -> float:
    """The largest |r1 / r2 - 1| of all pairs, dead channels apart, whose factor is 1."""
    by_name, worst = {layer.weights: layer for layer in layers(made.graph)}, 0.0
    for pair in made.pairs:
        first = by_output(made.graph, by_name[pair.first])
        second = by_input(made.graph, by_name[pair.second], len(first))
        alive = pair.scale != 1
        worst = max(worst, float(np.abs(first[alive] / second[alive] - 1).max(initial=0)))
    return worst


def test_digits_are_rescued() -> None:
    rows = len(digits().test)
    calibration = {"x": digits().train[None, :rows]}
    found_by_seed = []
    for seed in SEEDS:
        wide = equalization(digits_graph(seed, scaled=True, dtype="float64"))
        x = digits().test[:64]
        before = digits_graph(seed, scaled=True, dtype="float64")
        assert np.abs(logits(before, x) - logits(wide.graph, x)).max() <= 1e-9
        assert len(wide.pairs) == 2
        assert all(np.count_nonzero(pair.scale == 1) <= 2 for pair in wide.pairs)
        assert unequal(wide) <= 1e-6
        scaled = digits_graph(seed, scaled=True, rows=rows)
        networks = (scaled, equalize(scaled))
        found = [accuracy(simulated(min_max_plan(g, calibration))) for g in networks]
        channels = accuracy(simulated(min_max_plan(scaled, calibration, channels=True)))
        found_by_seed.append((accuracy(scaled), channels, *found))
    table = np.array(found_by_seed)
    print("\nfloat, W8A8 per channel, W8A8 per tensor, the same equalized:")
    print(np.round(table, 1), "mean", table.mean(axis=0).round(1), "sd", table.std(axis=0).round(1))
    assert (table[:, 2] < 20).all()
    assert (table[:, 0] - table[:, 3] <= 1).all()


@settings(max_examples=40, deadline=None)
@given(recipes)
def test_random_networks_keep_their_function(recipe: Recipe) -> None:
    graph = built(recipe)
    x = normal((1, 12, 12, 3), recipe.seed)
    for upper in ("per_channel", "keep"):
        made = equalization(graph, upper)
        assert made.function_changed == ()
        assert difference(graph, made.graph, x) <= 1e-9
        assert unequal(made) <= 1e-6
        assert max((pair.after for pair in made.pairs), default=1) <= 1 + 1e-6


@settings(max_examples=25, deadline=None)
@given(recipes)
def test_without_upper_bounds_nothing_changes_below_them(recipe: Recipe) -> None:
    """The network that `replace` makes is the one whose equalized tensors have no upper bound."""
    graph = built(recipe)
    made = equalization(graph, "replace")
    exact = equalization(graph, "per_channel")
    assert {p.first for p in exact.pairs} <= {p.first for p in made.pairs}
    x = normal((1, 12, 12, 3), recipe.seed)
    if not made.function_changed:
        assert difference(graph, made.graph, x) <= 1e-9
    again = equalization(made.graph, "keep")
    assert difference(made.graph, again.graph, x) <= 1e-9


def block(activation: Any, seed: int = 0, scale: float = 1.0) -> Graph:
    """conv, depthwise, conv."""
    net, draw = FloatNet((1, 6, 6, 3), "float64"), np.random.default_rng(seed)
    wide = 10 ** draw.uniform(-2, 2, (5, 1, 1, 1))
    x = net.conv(
        "x",
        scale * wide * draw.standard_normal((5, 3, 3, 3)),
        draw.standard_normal(5),
        bounds=activation,
    )
    x = net.conv(x, draw.standard_normal((5, 3, 3, 1)) / wide, bounds=activation)
    return net.graph(net.conv(x, draw.standard_normal((4, 1, 1, 5)), draw.standard_normal(4)))


def test_a_depthwise_triplet_in_closed_form() -> None:
    """s12 = r1 / cbrt(r1 r2 r3), s23 = cbrt(r1 r2 r3) / r3."""
    graph = block(RELU)
    first, middle, last = layers(graph)
    r1, r2 = by_output(graph, first), by_output(graph, middle)
    r3 = by_input(graph, last, 5)
    made = equalization(graph)
    (one, two) = made.pairs
    root = np.cbrt(r1 * r2 * r3)
    np.testing.assert_allclose(one.scale, r1 / root, rtol=1e-12)
    np.testing.assert_allclose(two.scale, root / r3, rtol=1e-12)
    assert made.sweeps <= 2
    for name, scale in (("first", 1 / one.scale), ("middle", one.scale / two.scale)):
        layer = {"first": first, "middle": middle}[name]
        expected = graph.constants[layer.weights] * scale[:, None, None, None]
        np.testing.assert_allclose(made.graph.constants[layer.weights], expected, rtol=1e-12)
    np.testing.assert_allclose(
        made.graph.constants[first.bias], graph.constants[first.bias] / one.scale, rtol=1e-12
    )
    np.testing.assert_array_equal(made.graph.constants[last.bias], graph.constants[last.bias])


def test_a_pair_in_closed_form() -> None:
    r1 = np.array([4.0, 1.0, 0.0, np.nan, np.inf, 2.0])
    r2 = np.array([1.0, 9.0, 3.0, 1.0, 1.0, 0.0])
    (s,) = factors([r1, r2])
    np.testing.assert_allclose(s, [2.0, 1 / 3, 1, 1, 1, 1], rtol=1e-15)


def test_an_upper_bound_becomes_one_a_channel() -> None:
    """Function kept to 1e-9 where the bound cuts; minima of 6 / s in the graph."""
    graph, x = block(RELU6, scale=20.0), normal((1, 6, 6, 3))
    made = equalization(graph, "per_channel")
    cut = outputs(graph, x)["float_conv_2d2"]
    free = outputs(equalize(graph, "replace"), x)["float_conv_2d2"]
    assert np.abs(cut - free).max() > 0.1  # ReLU in place of ReLU6 is another function here
    assert difference(graph, made.graph, x) <= 1e-9
    minima = [n for n in made.graph.nodes if n.op.kind == "arithmetic"]
    bounds = [made.graph.constants[n.inputs[1]] for n in minima]
    for found, pair in zip(bounds, made.pairs, strict=True):
        np.testing.assert_allclose(found, 6 / pair.scale, rtol=1e-12)


def test_an_upper_bound_is_dropped_and_named() -> None:
    graph, x = block(RELU6), normal((1, 6, 6, 3))
    made = equalization(graph, "replace")
    assert made.function_changed == ("float_conv_2d0", "float_conv_2d1")
    low = x / 1e4  # biases are below 6
    plain = equalization(block(RELU), "keep").graph
    assert difference(plain, made.graph, x) <= 1e-12
    assert [n.op.kind for n in made.graph.nodes] == ["float_conv_2d"] * 3
    assert outputs(made.graph, low)
    kept = equalization(graph, "keep")
    assert kept.pairs == ()
    assert kept.graph.constants.keys() == graph.constants.keys()


def test_bounds_that_do_not_scale_are_left_alone() -> None:
    for bounds in ((-1.0, 1.0), (0.5, np.inf), (-np.inf, -1.0)):
        made = equalization(block(bounds), "replace")
        assert made.pairs == ()


def test_only_inside_residual_blocks() -> None:
    """x0 -> conv -> r (read twice) -> conv -> conv -> + r -> conv: only the two inner ones."""
    net, draw = FloatNet((1, 5, 5, 4), "float64"), np.random.default_rng(3)
    weights = [
        draw.standard_normal((4, 1, 1, 4)) * 10 ** draw.uniform(-1, 1, (4, 1, 1, 1))
        for _ in range(4)
    ]
    r = net.conv("x", weights[0], bounds=RELU)
    inner = net.conv(net.conv(r, weights[1], bounds=RELU), weights[2])
    graph = net.graph(net.conv(net.arithmetic("add", r, inner, bounds=RELU), weights[3]))
    made = equalization(graph)
    assert [(p.first, p.second) for p in made.pairs] == [("conv1.weights", "conv2.weights")]
    for name in ("conv0.weights", "conv4.weights"):
        np.testing.assert_array_equal(made.graph.constants[name], graph.constants[name])
    assert difference(graph, made.graph, normal((1, 5, 5, 4))) <= 1e-9


@pytest.mark.parametrize("case", ["an output", "shared weights", "two readers", "sigmoid"])
def test_what_else_is_left_alone(case: str) -> None:
    net = FloatNet((1, 4), "float64")
    first, second = normal((4, 4), 1) * [[1], [9], [3], [5]], normal((4, 4), 2)
    x = net.dense("x", first, bounds=RELU)
    read = net.unary(x, "sigmoid") if case == "sigmoid" else x
    y = net.dense(read, second)
    ends = [y]
    if case == "an output":
        ends.append(x)
    if case == "two readers":
        ends.append(net.unary(x, "tanh"))
    if case == "shared weights":
        names = [y, net.nodes[0].inputs[1]]
        ends.append(net.add_node("float_fully_connected", names, {"keep_num_dims": True}))
    graph = net.graph(*ends)
    made = equalization(graph)
    assert made.pairs == ()
    for name, value in graph.constants.items():
        np.testing.assert_array_equal(made.graph.constants[name], value)


def test_dead_channels_keep_their_place() -> None:
    """Zero weights, and beside a bias weights of 1e-30, as trained networks have them: factor 1."""
    net = FloatNet((1, 6), "float64")
    first, second = normal((6, 6), 1), normal((3, 6), 2)
    first[0], first[1], second[:, 2] = 0, first[1] * 1e-30, 0
    x = net.dense("x", first, normal((6,), 3), bounds=RELU)
    graph = net.graph(net.dense(x, second))
    (pair,) = equalization(graph).pairs
    np.testing.assert_array_equal(pair.scale[:3], 1)
    assert (pair.scale[3:] != 1).all()


def test_dtype_and_memory_layout_of_files(tmp_path: Path) -> None:
    """NCHW: a flatten behind a pool puts each channel's positions side by side."""
    rng = Random(5)
    wide = (10 ** np.linspace(-2, 2, 6)).astype(np.float32).reshape(6, 1, 1, 1)
    constants = {
        "w": reals(rng, (6, 3, 3, 3), 27) * wide,
        **normalization(rng, "n", 6),
        "m": reals(rng, (24, 5), 24),
        "b": reals(rng, (5,)),
    }
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[3, 3], strides=[3, 3]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "m", "b"], ["y"]),
    ]
    constants = {k: v for k, v in constants.items() if not k.startswith("n.")}
    data = model(nodes, {"x": ("float32", (1, 3, 8, 8))}, {"y": "float32"}, constants)
    graph = prepared(graph_of(data, tmp_path))
    made = equalization(graph)
    (pair,) = made.pairs
    assert all(v.dtype == np.float32 for n, v in made.graph.constants.items() if n in ("w", "m"))
    first, second = (made.graph.constants[layer.weights] for layer in layers(made.graph))
    r1 = np.abs(first).max(axis=(1, 2, 3))
    r2 = np.abs(second.reshape(6, 4, 5)).max(axis=(1, 2))
    np.testing.assert_allclose(r1, r2, rtol=1e-6)
    wider = as_double(graph)
    assert difference(wider, equalize(wider), normal((1, 3, 8, 8))) <= 1e-9
    assert pair.before > 10 > pair.after


@pytest.mark.parametrize("name", FLOATS)
def test_trained_networks(name: str) -> None:
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    graph = as_double(prepared(workloads.load(folder / f"models/float/{name}_float.tflite")))
    made = equalization(graph)
    kind = graph.tensors[graph.inputs[0]]
    x = np.random.default_rng(0).uniform(0, 1, kind.shape)
    found = difference(graph, made.graph, x)
    worst = max(pair.before for pair in made.pairs)
    print(
        f"\n{name}: {len(made.pairs)} pairs, {made.sweeps} sweeps, ranges {worst:.0f}:1 to "
        f"{max(p.after for p in made.pairs) - 1:.1g}, function to {found:.1g}"
    )
    assert len(made.pairs) == FLOATS[name]
    assert found <= 1e-9
    assert unequal(made) <= 1e-6


def test_statistics_follow_the_factors(tmp_path: Path) -> None:
    rng = Random(1)
    constants = {
        "w": reals(rng, (6, 6, 1, 1), 6),
        "v": reals(rng, (4, 6, 1, 1), 6),
        **normalization(rng, "n", 6),
    }
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        normalized("n", "c", "m"),
        node("Relu", ["m"], ["r"]),
        node("Conv", ["r", "v"], ["y"]),
    ]
    data = model(nodes, {"x": ("float32", (1, 6, 4, 4))}, {"y": "float32"}, constants)
    read = graph_of(data, tmp_path)
    statistics = batch_norm_statistics(read)
    made = equalization(prepared(read))
    (pair,) = made.pairs
    (name,) = statistics
    assert name == pair.first
    held = made.scaled(statistics)[name]
    np.testing.assert_allclose(held.mean, constants["n.beta"] / pair.scale, rtol=1e-12)
    np.testing.assert_allclose(
        held.deviation, np.abs(constants["n.gamma"]) / pair.scale, rtol=1e-12
    )


def test_an_unknown_handling_is_refused() -> None:
    unknown: Any = "drop"
    with pytest.raises(BadConfig, match="upper must be one of replace, per_channel, keep"):
        equalization(block(RELU), unknown)
