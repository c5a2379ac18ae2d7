"""Float graphs as JAX functions, against the engine's own float execution."""

import subprocess
import sys
from random import Random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")

import jax

import workloads
from simulator.errors import Unsupported
from simulator.execute import run_batch
from simulator.graph import Array, Graph
from tests.float_builder import RELU, RELU6, FloatNet
from tests.shared import absence, shared_folder
from tests.train.nets import cnn, drawn, resnet
from workloads.float_graph import fold_batch_norm, fuse_activations
from workloads.train import function_of, with_parameters
from workloads.zoo import digits

FLOAT = "models/float"


def both(graph: Graph, seed: int, samples: int = 2) -> tuple[dict[str, Array], dict[str, Any]]:
    """The engine's outputs and the function's, of the same random samples."""
    draw = np.random.default_rng(seed)
    inputs = {
        name: draw.standard_normal((samples, *graph.tensors[name].shape)).astype(np.float32)
        for name in graph.inputs
    }
    function = function_of(graph)
    found = jax.jit(function.outputs)(function.initial, inputs)
    return run_batch(graph, inputs)[0], found


def assert_same(graph: Graph, seed: int) -> None:
    """To 1e-5 of the largest output: sums are added in other orders."""
    expected, found = both(graph, seed)
    for name, value in expected.items():
        assert value.shape == found[name].shape
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5 * np.abs(value).max())


@pytest.mark.skipif(shared_folder() is None, reason=absence())
@pytest.mark.parametrize(
    "name", ["ad_autoencoder", "ic_resnet8", "vww_mobilenetv1_025_96"], ids=lambda n: str(n)
)
def test_the_float_models(name: str) -> None:
    folder = shared_folder()
    assert folder is not None
    assert_same(workloads.load(folder / FLOAT / f"mlperf_{name}_float.tflite"), 1)


def random_net(rng: Random) -> Graph:
    """Groups, strides, dilation, uneven padding, pools with padding, every function, moves."""
    w, net = drawn(rng.getrandbits(30)), FloatNet((1, rng.randint(9, 12), rng.randint(9, 12), 4))
    x = net.pad("x", [(0, 0), (1, 0), (0, 2), (0, 0)])
    x = net.conv(x, w(6, 3, 2, 2), w(6), bounds=RELU6, padding=(1, 0, 2, 1))
    windows = {"kernel": (3, 3), "stride": (1, 2), "dilation": (2, 1), "padding": "SAME"}
    held = [x, net.constant("dilated", w(6, 3, 3, 6))]
    x = net.add_node("float_conv_2d", held, windows)
    x = net.unary(x, "leaky_relu", 0.1)
    spread = (np.abs(w(6)) + 0.5, w(6), w(6), np.abs(w(6)) + 0.5)
    y = net.batch_norm(net.unary(x, "hard_swish"), spread)
    pools = {"kernel": (3, 2), "stride": (2, 2), "dilation": (1, 1), "padding": (1, 1, 1, 0)}
    a = net.add_node("max_pool", [y], pools)
    counted = rng.random() < 0.5
    b = net.add_node("float_average_pool", [x], {**pools, "count_padding": counted})
    x = net.add_node("concatenation", [a, b], {"axis": 3})
    shape = net.shape(x)
    resized = {"size": (5, 7), "coordinates": "half_pixel", "nearest": ""}
    x = net.add_node("float_resize", [x], {**resized, "scale": (5 / shape[1], 7 / shape[2])})
    x = net.arithmetic("mul", net.unary(x, "sigmoid"), net.unary(x, "tanh"), bounds=RELU)
    x = net.arithmetic("sub", net.constant("half", np.full((1, 1, 1, 12), 0.5)), x)
    x = net.mean(net.transpose(x, (0, 2, 1, 3)), (1,))
    x = net.matmul(net.reshape(x, (5, 12)), w(12, 7), w(7), bounds=RELU)
    x = net.dense(x, w(3, 7), w(3))
    softmax = net.add_node("float_softmax", [x], {"axes": (1,), "logarithm": False})
    return net.graph(softmax, x)


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(seed: int) -> None:
    assert_same(random_net(Random(seed)), seed)


@pytest.mark.parametrize("net", [cnn, resnet])
def test_networks_of_the_digits_before_and_behind_transforms(net: Any) -> None:
    graph = net(0)
    assert_same(graph, 2)
    assert_same(fuse_activations(fold_batch_norm(graph)), 2)


def test_parameters_go_back_into_the_graph() -> None:
    """Moved parameters give what the graph that holds them gives."""
    graph = cnn(1)
    function = function_of(graph)
    draw = np.random.default_rng(3)
    moved = {
        name: (value + 0.1 * draw.standard_normal(value.shape)).astype(np.float32)
        for name, value in function.initial.items()
    }
    x = draw.standard_normal((2, 1, 8, 8, 1)).astype(np.float32)
    expected = run_batch(with_parameters(graph, moved), {"x": x})[0]
    for name, value in function.outputs(moved, {"x": x}).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5)
        before = run_batch(graph, {"x": x})[0][name]
        assert np.abs(expected[name] - before).max() > 1e-2


def test_gradients_are_numeric_ones() -> None:
    """Of a smooth loss, along random directions, in a network of many operators."""
    graph = random_net(Random(7))
    function = function_of(graph)
    draw = np.random.default_rng(7)
    x = draw.standard_normal((2, *graph.tensors["x"].shape)).astype(np.float32)

    def loss(parameters: Any) -> Any:
        return (function.outputs(parameters, {"x": x})[graph.outputs[1]] ** 2).mean()

    step = {n: 1e-3 * draw.standard_normal(v.shape) for n, v in function.initial.items()}
    there, back = (
        float(loss({n: np.float32(v + sign * step[n]) for n, v in function.initial.items()}))
        for sign in (1, -1)
    )
    gradient = jax.grad(loss)(dict(function.initial))
    along = sum(float((gradient[n] * step[n]).sum()) for n in step)
    assert along == pytest.approx((there - back) / 2, rel=0.02)


def test_codes_are_refused() -> None:
    with pytest.raises(Unsupported, match="is codes; training takes float32 networks"):
        function_of(workloads.load(digits.model_path()))


def test_an_operator_without_a_gradient_is_named() -> None:
    net = FloatNet((1, 4, 4, 4))
    graph = net.graph(net.add_node("space_to_depth", ["x"], {"block_size": 2}))
    with pytest.raises(Unsupported, match="n0: no gradient is known for space_to_depth"):
        function_of(graph)


def test_nothing_else_imports_jax() -> None:
    """The command line and the engine start without it."""
    code = "import sys, analysis.cli, workloads, simulator; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_extra_is_told_in_one_line() -> None:
    code = (
        "import sys; sys.modules['jax'] = None\n"
        "from simulator.errors import Unsupported\n"
        "try:\n import workloads.train\nexcept Unsupported as error:\n print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    expected = "training needs jax, not installed here: pip install 'bitlane[train]'"
    assert done.stdout.strip() == expected
