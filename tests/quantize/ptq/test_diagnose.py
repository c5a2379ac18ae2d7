"""The debugging workflow: an injected bad layer is found, in random networks and in real ones."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import workloads
from simulator.graph import Graph
from simulator.numeric.bounds import UNBOUNDED
from tests.quantize.ptq.nets import conv_net, inputs
from tests.shared import absence, shared_folder
from workloads.float_graph import Layer, layer_of, layers, with_constants
from workloads.float_graph.activations import bounds_on
from workloads.float_graph.edit import only_reader
from workloads.quantize.ptq.calibrate import RangeSettings
from workloads.quantize.ptq.diagnose import SANE, Diagnosis, channels, diagnose
from workloads.quantize.ptq.measure import Judge
from workloads.quantize.ptq.pipeline import quantize
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.samples import Samples, samples_of
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.simulate import forward, simulated

PLAIN = Settings(
    per_channel=False,
    equalize=False,
    absorb=False,
    weight_ranges="minmax",
    rounding="nearest",
    bias_correction="none",
    activations=RangeSettings("minmax"),
)


def with_outlier(graph: Graph, draw: np.random.Generator) -> tuple[Graph, str]:
    """One weight of a layer far beyond the others, which then share few codes; the node's name."""
    layer = draw.choice(np.array(layers(graph), dtype=object))
    weights = graph.constants[layer.weights].copy()
    at = tuple(int(draw.integers(n)) for n in weights.shape)
    weights[at] = 40 * np.abs(weights).max() * draw.choice([-1, 1])
    return with_constants(graph, {layer.weights: weights}), layer.node.name


def rescaled(graph: Graph, draw: np.random.Generator) -> tuple[Graph, str]:
    """One channel of a layer 64 times, what reads it a 64th: the same function, on worse grids."""
    found = [(layer, _only_layer_behind(graph, layer)) for layer in layers(graph)]
    pairs = [(first, second) for first, second in found if second is not None]
    first, second = pairs[int(draw.integers(len(pairs)))]
    w, b, v = (graph.constants[n].copy() for n in (first.weights, first.bias, second.weights))
    channel = int(np.abs(w).max(axis=tuple(range(1, w.ndim))).argmax())
    w[channel] *= 64
    b[channel] *= 64
    v[..., channel] /= 64
    made = {first.weights: w, first.bias: b, second.weights: v}
    return with_constants(graph, made), first.node.name


def _only_layer_behind(graph: Graph, layer: Layer) -> Layer | None:
    """The layer that alone reads the output, which is cut to 0 or nothing: factors go through."""
    reader = only_reader(graph, layer.output)
    behind = None if reader is None else layer_of(graph, reader)
    return behind if bounds_on(layer.node) in ((0.0, np.inf), UNBOUNDED) else None


def found_in(graph: Graph, data: Samples) -> Diagnosis:
    return diagnose(quantize(graph, PLAIN, data))


@pytest.mark.parametrize("seed", range(10))
def test_an_outlier_in_a_random_network_ranks_first(seed: int) -> None:
    draw = np.random.default_rng(seed)
    graph, bad = with_outlier(prepared(conv_net(seed)), draw)
    found = found_in(graph, inputs(graph, 20, seed))
    assert found.ranking[0].part.name == bad
    assert found.channels is not None
    assert found.channels.layer == bad


REAL = ("mlperf_ic_resnet8_float", "mlperf_ad_autoencoder_float")


@cache
def real(name: str) -> Graph:
    folder = shared_folder()
    assert folder is not None
    return prepared(workloads.load(folder / f"models/float/{name}.tflite"))


def real_data(graph: Graph, seed: int) -> Samples:
    folder = shared_folder()
    assert folder is not None
    (name,) = graph.inputs
    if graph.tensors[name].shape[1:] != (32, 32, 3):
        return inputs(graph, 20, seed)
    images = np.load(folder / "data/cifar10_eval.npz")["calibration"][:20, None]
    return samples_of(graph, {name: images})


@pytest.mark.skipif(shared_folder() is None, reason=absence())
@pytest.mark.parametrize("seed", range(10))
def test_a_rescaled_layer_of_a_real_network_ranks_first(seed: int) -> None:
    plain = real(REAL[seed % 2])
    graph, bad = rescaled(plain, np.random.default_rng(seed))
    data = real_data(graph, seed)
    assert Judge(plain, data).sqnr_db(graph) > 80
    found = found_in(graph, data)
    assert found.ranking[0].part.name == bad
    assert found.channels is not None
    assert found.channels.layer == bad


def test_the_workflow_in_numbers() -> None:
    """Quantizers off is float; one part on its grids against sums of squares by hand."""
    graph = conv_net(3)
    data = inputs(graph, 20, 3)
    made = quantize(graph, replace(PLAIN, equalize=True), data)
    found = diagnose(made)
    assert set(found.sanity) == {"folded", "equalized"}
    assert all(error <= SANE for error in found.sanity.values())
    assert found.sane
    assert found.both_db <= min(found.weights_db, found.activations_db) + 3
    assert {one.part.name for one in found.ranking} >= {x.node.name for x in layers(made.twin)}
    assert [one.alone_db for one in found.ranking] == sorted(o.alone_db for o in found.ranking)
    one = next(o for o in found.ranking if o.weights_db is not None)
    (layer,) = (x for x in layers(made.twin) if x.node.name == one.part.name)
    real = {layer.weights: made.plan.weights[layer.weights].real().astype(np.float32)}
    held = made.judge.held
    (logit,) = made.judge.tensors
    pair = [
        np.concatenate([v[logit] for v in forward(g, held, [logit])]).astype(np.float64)
        for g in (graph, with_constants(made.twin, real))
    ]
    expected = 10 * np.log10(np.square(pair[0]).sum() / np.square(pair[0] - pair[1]).sum())
    assert one.weights_db == pytest.approx(expected, abs=1e-6)


def test_a_broken_float_network_is_not_sane() -> None:
    graph = conv_net(4)
    made = quantize(graph, PLAIN, inputs(graph, 10))
    weights = layers(graph)[1].weights
    broken = with_constants(prepared(graph), {weights: graph.constants[weights] * np.float32(1.01)})
    assert not diagnose(replace(made, equalized=broken)).sane


def test_channels_of_the_worst_layer() -> None:
    """Ranges and steps are those of the weights; the mean error is of the output."""
    graph = conv_net(5, depth=1)
    made = quantize(graph, PLAIN, inputs(graph, 20, 5))
    found = channels(made, layers(made.twin)[0], made.judge.held)
    weights = made.twin.constants[layers(made.twin)[0].weights]
    assert found.low == tuple(weights.reshape(8, -1).min(axis=1).astype(float).tolist())
    assert found.high == tuple(weights.reshape(8, -1).max(axis=1).astype(float).tolist())
    assert len(found.step) == 1
    name = layers(made.twin)[0].output
    pair = [
        np.concatenate([v[name] for v in forward(g, made.judge.held, [name])])
        for g in (made.twin, simulated(made.plan))
    ]
    error = (pair[1].astype(np.float64) - pair[0]).reshape(-1, 8).mean(axis=0)
    np.testing.assert_allclose(found.mean_error, error, rtol=1e-9, atol=1e-12)
