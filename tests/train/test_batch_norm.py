"""Batch normalization in training: the identities of Krishnamoorthi 2018 section 3.2.2 (row 12)."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")

import jax
import jax.numpy as jnp

from simulator.execute import run_batch
from simulator.graph import Array, Graph
from tests.float_builder import FloatNet
from tests.train.nets import drawn, fitted, resnet
from workloads.quantize.ptq import prepared
from workloads.train import Settings, samples_of, train
from workloads.train.forward import Mode
from workloads.train.network import Network, network_of

EPSILON = 1e-3
BATCH = Mode(activations=False, batch_statistics=True)
FROZEN = Mode(activations=False)


def one_layer(seed: int, groups: int = 1) -> Graph:
    """A convolution, plain or grouped, with a bias, a batch normalization, ReLU."""
    w, net = drawn(seed), FloatNet((1, 6, 5, 4))
    draw = np.random.default_rng(seed)
    x = net.conv("x", w(8, 3, 3, 4 // groups), draw.normal(0, 1, 8))
    gamma, variance = draw.uniform(-2, 2, 8), draw.uniform(0.5, 2, 8)
    x = net.batch_norm(x, (gamma, draw.normal(0, 1, 8), draw.normal(0, 1, 8), variance), EPSILON)
    return net.graph(net.unary(x, "relu"))


def batch_of(seed: int, count: int = 16) -> Array:
    return np.random.default_rng(seed).normal(0.3, 1, (count, 1, 6, 5, 4)).astype(np.float32)


def networked(graph: Graph, weights: int) -> Network:
    settings = Settings(weights=weights, activations=0, batch_norm="correction")
    return network_of(graph, settings)


def passed(network: Network, x: Array, mode: Mode) -> tuple[Any, Any, dict[str, Any]]:
    """The output of a pass, its statistics, and the values it took."""
    parameters, state, key = network.parameters(), network.state(), jax.random.key(0)
    values = network.values(parameters, state, key, mode)
    keys = jax.random.split(key, len(x))
    (name,) = network.graph.outputs
    found, (_, statistics) = network.forward.run(values, {"x": x}, keys, mode, (name,))
    return np.asarray(found[name]), statistics, dict(values.constants)


def by_batch(graph: Graph, x: Array) -> Any:
    """The network normalized by the batch's own statistics, in double: the definition."""
    from tests.float_oracle import convolution

    node = graph.nodes[0]
    w, bias = (graph.constants[n].astype(np.float64) for n in node.inputs[1:])
    op: Any = node.op
    shape = (len(x), *graph.tensors[node.outputs[0]].shape[1:])
    y = convolution(x[:, 0].astype(np.float64), w, op.windows, shape) + bias
    gamma, beta = (graph.constants[n].astype(np.float64) for n in graph.nodes[1].inputs[1:3])
    mean, variance = y.mean(axis=(0, 1, 2)), y.var(axis=(0, 1, 2))
    made = gamma * (y - mean) / np.sqrt(variance + EPSILON) + beta
    return np.maximum(made, 0)[:, None], mean - bias, variance


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_phase_1_without_grids_is_batch_normalization(groups: int) -> None:
    """To 1e-5, gradients included: the correction c cancels."""
    graph = one_layer(1, groups)
    x = batch_of(1)
    found, statistics, _ = passed(networked(graph, 0), x, BATCH)
    expected, mean, variance = by_batch(graph, x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    ((seen_mean, seen_variance),) = statistics.values()
    np.testing.assert_allclose(seen_mean, mean, atol=1e-5)
    np.testing.assert_allclose(seen_variance, variance, rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 4])
def test_phase_2_is_the_folded_network(groups: int) -> None:
    """Folded = unfolded to 1e-5; the bias is beta - gamma mu / sigma of the averages."""
    graph = one_layer(2, groups)
    x = batch_of(2)
    network = networked(graph, 0)
    found, _, constants = passed(network, x, FROZEN)
    (expected,) = run_batch(graph, {"x": x})[0].values()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    ready = prepared(graph)
    for name, value in constants.items():
        np.testing.assert_allclose(value, ready.constants[name], rtol=1e-5, atol=1e-6)
    gamma, beta, mean, variance = (graph.constants[n] for n in graph.nodes[1].inputs[1:])
    start = graph.constants[graph.nodes[0].inputs[2]]
    bias = beta - gamma * (mean - start) / np.sqrt(variance + EPSILON)
    (layer,) = network.forward.layers.values()
    np.testing.assert_allclose(constants[layer.bias], bias, rtol=1e-5, atol=1e-6)


def test_corrected_weights_do_not_depend_on_the_batch() -> None:
    """w_corr = c gamma W / sigma_B = gamma W / sigma: the same codes whatever the batch."""
    network = networked(one_layer(3), 4)
    first, second = (passed(network, batch_of(seed), BATCH) for seed in (3, 4))
    (layer,) = network.forward.layers.values()
    np.testing.assert_array_equal(first[2][layer.weights], second[2][layer.weights])
    frozen = passed(network, batch_of(3), FROZEN)[2]
    np.testing.assert_array_equal(first[2][layer.weights], frozen[layer.weights])
    assert (first[0] != second[0]).any()


def test_quantized_weights_are_divided_by_the_correction() -> None:
    """Y = conv(Q(w_corr), x) / c + beta - gamma mu_B / sigma_B with c = sigma_B / sigma."""
    graph = one_layer(5)
    x = batch_of(5)
    network = networked(graph, 3)
    found, _, constants = passed(network, x, BATCH)
    from tests.float_oracle import convolution

    op: Any = graph.nodes[0].op
    shape = (len(x), *graph.tensors[graph.nodes[0].outputs[0]].shape[1:])
    _, mean, variance = by_batch(graph, x)
    gamma, beta, _, average = (graph.constants[n] for n in graph.nodes[1].inputs[1:])
    (layer,) = network.forward.layers.values()
    sums = convolution(
        x[:, 0].astype(np.float64),
        np.asarray(constants[layer.weights], np.float64),
        op.windows,
        shape,
    )
    deviation = np.sqrt(variance + EPSILON)
    c = deviation / np.sqrt(average + EPSILON)
    expected = np.maximum(sums / c + beta - gamma * mean / deviation, 0)[:, None]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


def test_averages_move_until_they_are_frozen() -> None:
    """With everything frozen from the start they stay; else they leave their first values."""
    graph = one_layer(6)
    data = samples_of(graph, {"x": batch_of(6, 32)}, np.zeros((32, 240), np.float32))
    kinds: Any = {"batch_norm": "correction", "loss": "squared_error", "epochs": 2, "batch": 16}
    for at, moves in ((0.0, False), (1.0, True)):
        settings = Settings(freeze_at=at, **kinds)
        found = train(graph, data, settings)
        ((before, after),) = [
            (found.network.norms[name].mean, held["mean"])
            for name, held in found.state["norms"].items()
        ]
        assert bool(jnp.any(jnp.abs(after - before) > 1e-3)) == moves


@pytest.mark.parametrize("norm", ["correction", "static"])
def test_a_residual_network_learns_from_scratch(norm: str) -> None:
    """W4A4 from random weights: most of the digits after ten passes."""
    from tests.train.nets import halves

    graph = resnet(0)
    data, held = halves(graph)
    given = Settings(
        *(4, 4, 8),
        batch_norm=norm,  # type: ignore[arg-type]
        start="scratch",
        epochs=12,
        learning_rate=1e-2,
    )
    found = train(graph, data, given, held=held)
    accuracy = found.history[-1].held
    print(f"\n{norm}: {accuracy:.3f}")
    assert accuracy is not None
    assert accuracy > 0.8


def test_networks_without_normalization_have_none_to_correct() -> None:
    from simulator.errors import Unsupported
    from tests.train.nets import cnn

    with pytest.raises(Unsupported, match=r"no batch normalization.*batch_norm: static"):
        fitted(cnn(0), batch_norm="correction")
