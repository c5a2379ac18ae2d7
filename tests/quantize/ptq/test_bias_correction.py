"""Bias correction: the mean of every channel is the float network's again; closed forms of means.

SEEDS of the thresholds: a mean error a channel of at most 1e-6 in float64, W2 networks that gain,
closed forms within 1 % of Monte Carlo.
"""

from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from scipy.special import ndtri

import workloads
from simulator.errors import IllegalValues
from simulator.graph import Array, Graph
from tests.digits_mlp import SEEDS, accuracy, digits, digits_graph
from tests.float_builder import RELU, RELU6, FloatNet
from tests.ops.onnx_runtime import graph_of, model, node
from tests.quantize.ptq.plans import min_max_plan
from tests.quantize.ptq.random_nets import Recipe, built, recipes
from tests.shared import absence, shared_folder
from tests.test_float_onnx import normalization, normalized, reals
from workloads.float_graph import as_double, layers
from workloads.quantize.ptq import Plan, forward, prepared, simulated
from workloads.quantize.ptq.analytic_bias import Moments, analytic_bias_correction, expectations
from workloads.quantize.ptq.bias_correction import bias_correction, correct_biases
from workloads.quantize.ptq.preactivations import estimated_statistics, with_preactivations
from workloads.quantize.ptq.relu_moments import clipped_moments
from workloads.quantize.ptq.simulate import with_quantizers, with_reals
from workloads.quantize.ptq.statistics import batch_norm_statistics

Doubles = NDArray[np.float64]
Batches = Sequence[Mapping[str, Array]]


def normal(shape: tuple[int, ...], seed: int = 0) -> Doubles:
    return np.random.default_rng(seed).standard_normal(shape)


def channel_means(graph: Graph, batches: Batches) -> dict[str, Doubles]:
    """The mean of w x + b of each layer, by weights, all samples at once."""
    split, names = with_preactivations(graph)
    held = list(forward(split, batches, list(names.values())))
    whole = {w: np.concatenate([values[n] for values in held]) for w, n in names.items()}
    return {w: v.reshape(-1, v.shape[-1]).mean(axis=0, dtype=float) for w, v in whole.items()}


def mean_errors(float_graph: Graph, plan: Plan, batches: Batches) -> dict[str, float]:
    """The largest |E[W^ x^] - E[W x]| of each quantized layer, biases real."""
    values = {name: held.real() for name, held in plan.weights.items()}
    made = with_quantizers(with_reals(plan.graph, values), plan.activations)
    true, found = channel_means(float_graph, batches), channel_means(made, batches)
    return {w: float(np.abs(true[w] - found[w]).max()) for w in plan.weights}


def worst(errors: Mapping[str, float]) -> float:
    return max(errors.values())


@settings(max_examples=25, deadline=None)
@given(recipes)
def test_means_of_random_networks(recipe: Recipe) -> None:
    """Two-bit weights, residual blocks, padding, pools: 1e-6 in every channel of every layer."""
    graph = built(recipe, largest=0.3)
    plan = min_max_plan(graph, None, (2, 8))
    data = normal((5, 1, 12, 12, 3), recipe.seed)
    batches = [{"x": data[:2]}, {"x": data[2:]}]
    size = max(float(np.abs(m).max()) for m in channel_means(graph, batches).values())
    made = correct_biases(plan, batches)
    assert worst(mean_errors(graph, made, batches)) <= 1e-6 * max(size, 1)
    for name, held in plan.weights.items():
        assert made.weights[name] is held


@pytest.mark.parametrize("memory_bytes", [0, 3000, 2**28])
def test_memory_does_not_change_the_result(memory_bytes: int) -> None:
    recipe = Recipe(("conv", "residual", "max pool", "depthwise"), ("relu",) * 6, "flatten", 3)
    graph = built(recipe, largest=0.3)
    plan = min_max_plan(graph, None, (3, 8))
    batches = [{"x": normal((4, 1, 12, 12, 3), 1)}]
    made = bias_correction(plan, batches, memory_bytes=memory_bytes)
    whole = bias_correction(plan, batches)
    assert made.removed.keys() == plan.weights.keys()
    for name, removed in made.removed.items():
        np.testing.assert_allclose(removed, whole.removed[name], rtol=1e-9, atol=1e-12)


def test_without_sequence_the_error_of_the_weights_alone() -> None:
    """E[W^ x] - E[W x] with x of the float network, against NumPy's own."""
    net = FloatNet((1, 6), "float64")
    w1, w2, b1 = normal((5, 6), 1), normal((4, 5), 2), normal((5,), 3)
    graph = net.graph(net.dense(net.dense("x", w1, b1, bounds=RELU), w2))
    plan = min_max_plan(graph, None, (2, 8))
    x = normal((40, 1, 6), 4)
    made = bias_correction(plan, [{"x": x[:30]}, {"x": x[30:]}], sequential=False)
    h = np.maximum(x[:, 0] @ w1.T + b1, 0)
    changes = [plan.weights[f"dense{k}.weights"].real() - w for k, w in enumerate((w1, w2))]
    first, second = (d @ m for d, m in zip(changes, (x[:, 0].mean(0), h.mean(0)), strict=True))
    np.testing.assert_allclose(made.removed["dense0.weights"], first, rtol=1e-12)
    np.testing.assert_allclose(made.removed["dense1.weights"], second, rtol=1e-12)
    held = made.plan.graph.constants
    np.testing.assert_allclose(held["dense0.bias"], b1 - first, rtol=1e-12)


def test_quantized_activations_are_corrected_too() -> None:
    """W3A4 in float32: from what it was to rounding, first layer to last."""
    graph = digits_graph(0)
    batches = [{"x": digits().train[:200, None]}]
    plan = min_max_plan(graph, batches[0], (3, 4))
    made = correct_biases(plan, batches)
    before, after = mean_errors(graph, plan, batches), mean_errors(graph, made, batches)
    print(f"\nlargest mean error {worst(before):.3g} to {worst(after):.3g}")
    assert worst(before) > 0.05
    assert worst(after) <= 1e-5  # sums in float32


def test_digits_at_two_bits() -> None:
    """One scale a channel, W2: what the correction of five networks gains."""
    rows, batches = [], [{"x": digits().train[:500, None].astype(np.float64)}]
    for seed in SEEDS:
        graph = digits_graph(seed, dtype="float64")
        plan = min_max_plan(graph, None, (2, 8), channels=True)
        made = correct_biases(plan, batches)
        assert worst(mean_errors(graph, made, batches)) <= 1e-6
        rows.append([accuracy(g) for g in (graph, simulated(plan), simulated(made))])
    table = np.array(rows)
    print("\nfloat, W2, W2 corrected:")
    print(np.round(table, 1), "mean", table.mean(axis=0).round(1), "sd", table.std(axis=0).round(1))
    assert table[:, 2].mean() > table[:, 1].mean() + 5
    assert (table[:, 2] >= table[:, 1] - 1).all()


def test_a_stream_that_ends_is_refused() -> None:
    plan = min_max_plan(digits_graph(0), None)
    with pytest.raises(IllegalValues, match="more than once; give it a list"):
        correct_biases(plan, iter([{"x": digits().train[:2, None]}]))


@pytest.mark.parametrize("bounds", [(0.0, inf), (0.0, 6.0), (-1.0, 1.0), (-inf, 2.0), (-inf, inf)])
def test_moments_behind_bounds(bounds: tuple[float, float]) -> None:
    """Within 1 % of a million draws, one from each millionth of the normal distribution."""
    mean = np.array([-3.0, -1.0, 0.0, 0.4, 2.0, 5.0, 7.5, 1.0])
    deviation = np.array([2.0, 1.0, 1.0, 3.0, 0.5, 1.5, 2.5, 0.0])
    shares = (np.arange(1_000_000) + np.random.default_rng(0).random(1_000_000)) / 1_000_000
    draws = np.clip(mean + deviation * ndtri(shares)[:, None], *bounds)
    found, variance = clipped_moments(mean, deviation, *bounds)
    np.testing.assert_allclose(found, draws.mean(axis=0), rtol=0.01, atol=1e-5)
    np.testing.assert_allclose(variance, draws.var(axis=0), rtol=0.01, atol=1e-12)
    assert variance[-1] == 0


def test_the_paper_s_closed_form() -> None:
    """Gamma phi(-beta / gamma) + beta (1 - Phi(-beta / gamma)), with Python's own erf."""
    from math import erf, exp, pi, sqrt

    for beta, gamma in ((-2.0, 1.0), (0.0, 0.5), (3.0, 2.0), (0.1, 4.0)):
        z = -beta / gamma
        expected = gamma * exp(-z * z / 2) / sqrt(2 * pi) + beta * (1 - (1 + erf(z / sqrt(2))) / 2)
        (found,), _ = clipped_moments(np.array([beta]), np.array([gamma]))
        assert found == pytest.approx(expected, rel=1e-12)


def test_far_tails_stay_numbers() -> None:
    mean, deviation = np.array([-1e6, 1e6, -40.0, 46.0, 2.0]), np.array([1, 1, 1, 1, 1e-300])
    found, variance = clipped_moments(mean, deviation, 0.0, 6.0)
    np.testing.assert_allclose(found, [0, 6, 0, 6, 2], atol=1e-12)
    np.testing.assert_allclose(variance, 0, atol=1e-12)


def two_branches(bounds: tuple[float, float]) -> Graph:
    """Branches of different inputs, added and cut; a padded convolution, a mean, a product."""
    net = FloatNet((1, 4, 4, 48))
    first, second = normal((2, 32, 1, 1, 48), 1) / 24**0.5
    first[..., :24], second[..., 24:] = 0, 0
    a = net.conv("x", first, normal((32,), 2))
    b = net.conv("x", second, normal((32,), 3))
    both = net.arithmetic("add", a, b, bounds=bounds)
    y = net.conv(both, normal((16, 3, 3, 32), 4) / 18, normal((16,), 5))
    return net.graph(net.dense(net.mean(y), normal((10, 16), 6)))


@pytest.mark.parametrize("bounds", [RELU, RELU6])
def test_moments_through_a_network(bounds: tuple[float, float]) -> None:
    """Normal inputs of known moments: every mean within 1 % of Monte Carlo's, and its own error."""
    graph = two_branches(bounds)
    shape = graph.tensors["x"].shape
    given = {"x": Moments(np.full(shape, 0.3), np.ones(shape))}
    known = expectations(as_double(graph), {}, given)
    assert known.keys() == {"x", *(name for n in graph.nodes for name in n.outputs)}
    draws = (0.3 + normal((2500, *shape), 7)).astype(np.float32)
    names = [n for n in known if n != "x"]
    (values,) = forward(graph, [{"x": draws}], names)
    for name in names:
        true = values[name].mean(axis=0, dtype=float)
        sampling = 5 * values[name].std(axis=0, dtype=float) / np.sqrt(len(draws))
        apart = np.abs(known[name].mean - true)
        assert (apart <= 0.01 * np.abs(true) + sampling).all(), name


def test_analytic_from_batch_norms(tmp_path: Path) -> None:
    """The correction by beta and gamma alone is that of normal data, to 1 % of its size."""
    rng = Random(3)
    constants = {
        "w": reals(rng, (32, 64, 1, 1), 64),
        "v": reals(rng, (16, 32, 3, 3), 288),
        **normalization(rng, "n", 32),
    }
    w = constants["w"].reshape(32, 64).astype(np.float64)
    constants["n.mean"] = np.zeros(32, np.float32)
    constants["n.variance"] = np.square(w).sum(axis=1).astype(np.float32)  # of normal inputs
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        normalized("n", "c", "m"),
        node("Relu", ["m"], ["r"]),
        node("Conv", ["r", "v"], ["y"], pads=[1, 1, 1, 1]),
    ]
    data = model(nodes, {"x": ("float32", (1, 64, 6, 6))}, {"y": "float32"}, constants)
    read = graph_of(data, tmp_path)
    statistics, graph = batch_norm_statistics(read), prepared(read)
    plan = min_max_plan(graph, None, (3, 8))
    made = analytic_bias_correction(plan, statistics)
    (_, second) = layers(graph)
    assert list(made.removed) == [second.weights]  # nothing is known of the first one's input
    x = normal((1500, 1, 64, 6, 6), 1).astype(np.float32)
    true = bias_correction(plan, [{"x": x}], sequential=False).removed[second.weights]
    found, size = made.removed[second.weights], np.abs(true).max()
    print(f"\nanalytic against data: {np.abs(found - true).max() / size:.2%}")
    np.testing.assert_allclose(found, true, rtol=0, atol=0.01 * size)


def test_a_trained_network() -> None:
    """Real images, W4 a tensor: every mean to 1e-6; the output nearer to the float network's."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    graph = as_double(
        prepared(workloads.load(folder / "models/float/mlperf_ic_resnet8_float.tflite"))
    )
    (start,) = graph.inputs
    images = np.load(folder / "data/cifar10_eval.npz")["calibration"][:12]
    data = images.reshape(12, *graph.tensors[start].shape).astype(np.float64)
    batches = [{start: data[:5]}, {start: data[5:]}]
    plan = min_max_plan(graph, None, (4, 8))
    made = correct_biases(plan, batches)
    before, after = mean_errors(graph, plan, batches), mean_errors(graph, made, batches)
    print(f"\nlargest mean error {worst(before):.3g} to {worst(after):.3g}")
    assert worst(after) <= 1e-6 < worst(before)


def test_analytic_on_a_trained_network() -> None:
    """Deviations of real data are not normal, yet most of the weights' mean error is foreseen."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    graph = as_double(
        prepared(workloads.load(folder / "models/float/mlperf_ic_resnet8_float.tflite"))
    )
    (start,) = graph.inputs
    images = np.load(folder / "data/cifar10_eval.npz")["calibration"][:12]
    batches = [{start: images.reshape(12, *graph.tensors[start].shape).astype(np.float64)}]
    plan = min_max_plan(graph, None, (4, 8))
    true = bias_correction(plan, batches, sequential=False).removed
    found = analytic_bias_correction(plan, estimated_statistics(graph, batches)).removed
    assert true.keys() - found.keys() == {layers(graph)[0].weights}
    left = {w: float(np.linalg.norm(found[w] - true[w]) / np.linalg.norm(true[w])) for w in found}
    print("\nleft of the mean error:", [round(share, 2) for share in left.values()])
    assert max(left.values()) < 1
    assert np.median(list(left.values())) < 0.3
