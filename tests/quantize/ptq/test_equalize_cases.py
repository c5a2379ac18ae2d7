"""Cross-layer equalization case by case: closed forms, upper bounds, and what is left alone."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from simulator.errors import BadConfig
from simulator.graph import Graph
from tests.float_builder import RELU, RELU6, FloatNet
from tests.ops.onnx_runtime import graph_of, model, node
from tests.quantize.ptq.equal_ranges import by_input, by_output, difference, normal, outputs
from tests.test_float_onnx import normalization, normalized, reals
from workloads.float_graph import as_double, layers
from workloads.quantize.ptq import prepared
from workloads.quantize.ptq.equalize import equalization, equalize
from workloads.quantize.ptq.ranges import factors
from workloads.quantize.ptq.statistics import batch_norm_statistics


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
    r3 = by_input(graph, last, np.eye(5, dtype=bool))
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
    plain = equalization(block(RELU), "keep").graph
    assert difference(plain, made.graph, x) <= 1e-12
    assert [n.op.kind for n in made.graph.nodes] == ["float_conv_2d"] * 3
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
    data = model(nodes, {"x": ("float32", (1, 3, 8, 8))}, {"y": "float32"}, constants)
    graph = prepared(graph_of(data, tmp_path))
    made = equalization(graph)
    (pair,) = made.pairs
    first, second = (made.graph.constants[layer.weights] for layer in layers(made.graph))
    assert first.dtype == second.dtype == np.float32
    r1 = np.abs(first).max(axis=(1, 2, 3))
    r2 = np.abs(second.reshape(6, 4, 5)).max(axis=(1, 2))
    np.testing.assert_allclose(r1, r2, rtol=1e-6)
    wider = as_double(graph)
    assert difference(wider, equalize(wider), normal((1, 3, 8, 8))) <= 1e-9
    assert pair.before > 10 > pair.after


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
