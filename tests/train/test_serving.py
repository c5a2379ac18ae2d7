"""What is trained is what is served: training's forward pass against the engine's integers."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")
pytest.importorskip("sklearn", reason="scikit-learn has the digits")

from simulator.execute import run_batch
from simulator.graph import Array, Graph
from tests.digits_mlp import digits
from tests.float_builder import mlp
from tests.train.nets import cnn, drawn, fitted, halves, resnet, share
from workloads.float_graph import layers
from workloads.quantize import Grid
from workloads.quantize.export.qdq import integer
from workloads.quantize.ptq import Plan, Weights, places
from workloads.train import Samples, Settings, Trained, inexact_layers, predictions, train
from workloads.train.arithmetic import exact_sums
from workloads.train.step import steps_of

WIDTHS = [(8, 8), (4, 8), (4, 4)]
INTEGER = {"conv_2d", "depthwise_conv_2d", "fully_connected"}


def dense(seed: int) -> Graph:
    """64-64-64-10, ReLU between."""
    w, sizes = drawn(seed), (64, 64, 64, 10)
    return mlp([(w(n, m), np.zeros(n)) for m, n in pairwise(sizes)])


def engine(plan: Plan, held: Samples) -> tuple[Graph, Array]:
    """The integer graph and its outputs."""
    graph = integer(plan)
    (found,) = run_batch(graph, held.inputs)[0].values()
    return graph, found


def trained_forward(found: Trained, held: Samples) -> Array:
    """The logits of a training step's own pass over these samples."""
    steps = steps_of(found.network, 1)
    return np.asarray(steps.serve(found.parameters, found.state, held.inputs))


@pytest.mark.parametrize("net", [dense, cnn, resnet])
def test_predictions_are_those_of_the_engine(net: Callable[[int], Graph]) -> None:
    """Every logit of the whole held-out set, W8A8, W4A8 and W4A4: 0 values differ."""
    graph = net(0)
    data, held = halves(graph)
    labels = digits().test_labels
    norm: Any = "correction" if net is resnet else "static"
    for weights, activations in WIDTHS:
        given = Settings(
            *(weights, activations),
            batch_norm=norm,
            start="scratch",
            learning_rate=1e-2,
            epochs=6,
        )
        found = train(graph, data, given)
        served, integers = engine(found.plan, held)
        (passed,) = predictions(found.plan, held.inputs).values()
        step = trained_forward(found, held)
        print(
            f"\n{net.__name__} W{weights}A{activations}: {share(integers, labels):.2f} %, "
            f"{(passed != integers.reshape(passed.shape)).sum()} of {passed.size} logits differ"
        )
        np.testing.assert_array_equal(passed, integers.reshape(passed.shape))
        np.testing.assert_array_equal(step, integers.reshape(step.shape))
        kinds = [node.op.kind for node in served.nodes]
        assert sum(kind in INTEGER for kind in kinds) == len(found.network.forward.layers)
        assert share(integers, labels) > 50


@pytest.mark.parametrize("ranges", ["learned", "one_shot"])
def test_learned_grids_and_single_calibration_are_served_too(ranges: Any) -> None:
    graph = resnet(1)
    held = halves(graph)[1]
    found = fitted(graph, weights=4, activations=4, ranges=ranges, start="scratch", epochs=2)
    _, integers = engine(found.plan, held)
    (passed,) = predictions(found.plan, held.inputs).values()
    np.testing.assert_array_equal(passed, integers.reshape(passed.shape))


def test_every_tensor_on_a_grid_is_a_code_of_it() -> None:
    """Of a pass in JAX; and no sum of products leaves what float32 holds exactly."""
    graph = resnet(2)
    held = halves(graph)[1]
    plan = fitted(graph, weights=8, activations=8, start="scratch", epochs=1).plan
    some = {name: value[:20] for name, value in held.inputs.items()}
    found = predictions(plan, some, tuple(plan.activations))
    for name, value in found.items():
        (scale,), (zero,) = plan.activations[name].scale, plan.activations[name].zero_point
        codes = np.rint(value / np.float32(scale))
        np.testing.assert_array_equal(value, np.float32(scale) * codes)
        assert codes.min() + zero >= 0
        assert codes.max() + zero <= 255
        assert len(np.unique(codes)) > 1
    for held_weights in plan.weights.values():
        assert exact_sums(held_weights.codes, 0, 255, 2**21)


def test_sums_beyond_float32_are_seen() -> None:
    assert exact_sums(np.full((1, 518), 127), 0, 255, 0)
    assert not exact_sums(np.full((1, 519), 127), 0, 255, 0)


def test_layers_that_pass_it_are_named() -> None:
    """600 taps of the greatest codes: 600 x 127 x 255 > 2^24; 64 of them stay below."""
    graph = mlp([(np.ones((4, 600)), np.zeros(4)), (np.ones((3, 4)), np.zeros(3))])
    weights = {}
    for layer in layers(graph):
        shape = graph.constants[layer.weights].shape
        weights[layer.weights] = Weights(
            np.full(shape, 127, np.int32), Grid((2.0**-9,), (0,), -127, 127)
        )
    tensors = dict.fromkeys(places(graph).tensors, Grid((1.0,), (0,), 0, 255))
    found = layers(graph)
    assert inexact_layers(Plan(graph, weights, tensors)) == (found[0].node.name,)
    assert inexact_layers(Plan(graph, {}, tensors)) == ()
