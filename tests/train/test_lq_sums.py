"""Sums in JAX against the engine's operators and rationals: every bit."""

from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")

import jax

from simulator.execute import run
from simulator.graph import Array, Graph
from simulator.numeric.float_sums import SumOrder, multiply_add
from tests.float_builder import RELU, FloatNet
from workloads.float_graph import layers
from workloads.quantize.lq import LqGrid
from workloads.quantize.lq_graph import lowered
from workloads.quantize.quantizer import per_channel
from workloads.train.lq_quantizers import encode, planes, rows_of, shaped
from workloads.train.lq_sums import averaged, fused, fused_multiply_add, ordered, plane_sums


def near(value: Fraction) -> np.float32:
    """The nearest float32, ties to even; the value lies in the normal range."""
    down = np.float32(float(value))
    around = [np.nextafter(down, np.float32(end)) for end in (-np.inf, np.inf)]
    ranked: list[np.float32] = sorted(
        (down, *around),
        key=lambda v: (abs(Fraction(float(v)) - value), int(v.view(np.int32)) & 1),
    )
    return ranked[0]


def test_a_product_and_a_sum_round_once() -> None:
    """Also where the sum in float64 lies half way between two float32."""
    draw = np.random.default_rng(0)
    a, b, c = (draw.normal(size=400).astype(np.float32) for _ in range(3))
    # 1 + 2^-24 + a little: float64 rounds the little away, and the half then goes to even.
    a[:2], b[:2] = np.float32(1 + 2.0**-12), np.float32(2.0**-24 * (1 + 2.0**-12))
    c[:2] = [np.float32(1), np.float32(-1)]
    a[2:4], b[2:4], c[2:4] = np.float32(2.0**-40), np.float32(2.0**-30), np.float32(1 + 2.0**-23)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(fused_multiply_add)(a, b, c))
    for x, y, z, got in zip(a, b, c, found, strict=True):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        assert got == near(exact), (x, y, z)


@pytest.mark.parametrize("block", [64, 256])
def test_products_add_in_the_engines_order(block: int) -> None:
    draw = np.random.default_rng(block)
    x, w = (draw.normal(size=shape).astype(np.float32) for shape in ((20, 300), (300, 9)))
    start = draw.normal(size=9).astype(np.float32)
    expected = multiply_add(x, w, SumOrder("fused", block), start)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(fused, static_argnums=2)(x, w, block, start))
    np.testing.assert_array_equal(found, expected)


def networks() -> dict[str, Graph]:
    """One layer each, and an average of windows."""
    draw = np.random.default_rng(3)

    def of(*shape: int) -> Any:
        return draw.normal(0, 1 / np.sqrt(prod(shape[1:])), shape)

    made = {}
    for name, channels, filters, each in (
        ("conv", 3, 8, 3),
        ("deep", 40, 8, 40),
        ("groups", 6, 8, 3),
    ):
        net = FloatNet((1, 7, 6, channels))
        net.conv("x", of(filters, 3, 3, each), draw.normal(size=filters), stride=2, bounds=RELU)
        made[name] = net.graph()
    for name in ("dense", "matmul"):
        net, w = FloatNet((3, 300)), of(10, 300)
        made[name] = net.graph(
            net.dense("x", w, draw.normal(size=10))
            if name == "dense"
            else net.matmul("x", w.T, draw.normal(size=10))
        )
    net = FloatNet((1, 7, 7, 5))
    made["average"] = net.graph(net.average_pool("x", 3))
    return made


@pytest.mark.parametrize("name", ["conv", "deep", "groups", "dense", "matmul", "average"])
def test_float_operators_have_the_engines_bits(name: str) -> None:
    graph = networks()[name]
    node, op = graph.nodes[0], graph.nodes[0].op
    x = np.random.default_rng(1).normal(size=graph.tensors["x"].shape).astype(np.float32)
    held = [graph.constants[n] for n in node.inputs[1:]]
    if name == "average":
        with jax.enable_x64(True):
            found = jax.jit(lambda v: averaged(op, v))(x)
    else:
        with jax.enable_x64(True):
            found = jax.jit(lambda v, w, b: ordered(op, v, w, b))(x, *held)
        low = getattr(op, "bounds", (-np.inf, np.inf))[0]
        found = np.maximum(np.asarray(found), np.float32(low))
    expected = run(graph, {"x": x})[0][graph.outputs[0]]
    np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("name", ["conv", "groups", "dense", "matmul"])
@pytest.mark.parametrize("bits", [(1, 2), (5, 4)])
def test_planes_have_the_engines_bits(name: str, bits: tuple[int, int]) -> None:
    """{-1, 1} x {-1, 1}, padding included, bases of any sign."""
    graph, draw = networks()[name], np.random.default_rng(bits)
    (layer,) = layers(graph)
    w, b = (graph.constants[n] for n in (layer.weights, layer.bias))
    x: Array = draw.normal(size=graph.tensors["x"].shape).astype(np.float32)
    axis, channels = layer.filter_axis, w.shape[layer.filter_axis]
    own = LqGrid.of(draw.normal(0, 0.3, (channels, bits[0])), "bipolar", per_channel(axis))
    read = LqGrid.of(draw.normal(size=bits[1]), "bipolar")
    served = lowered(graph, {layer.weights: own}, {"x": read})
    expected = run(served, {"x": x})[0][graph.outputs[0]]
    op: Any = layer.node.op

    def passed(x: Any, w: Any, b: Any) -> Any:
        codes, _ = encode(x.reshape(1, -1), read.array, "bipolar")
        signs = planes(codes, bits[1], "bipolar").reshape(-1, *x.shape)
        codes, _ = encode(rows_of(w, axis), own.array, "bipolar")
        each = [shaped(p, axis, w.shape) for p in planes(codes, bits[0], "bipolar")]
        return plane_sums(op, signs, jax.numpy.stack(each), (read.array[0], own.array), b)

    with jax.enable_x64(True):
        found = np.asarray(jax.jit(passed)(x, w, b))
    np.testing.assert_array_equal(np.maximum(found, np.float32(op.bounds[0])), expected)
