"""The pipeline: steps and switches, what is measured, what is kept, real networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

import workloads
from simulator.errors import BadConfig, Unsupported
from simulator.execute import run
from simulator.graph import Graph
from tests.float_builder import RELU, FloatNet
from tests.quantize.ptq.nets import conv_net, inputs
from tests.shared import absence, shared_folder
from workloads.float_graph import layers
from workloads.quantize.ptq import forward, simulated
from workloads.quantize.ptq.calibrate import RangeSettings
from workloads.quantize.ptq.data_free import tensor_ranges
from workloads.quantize.ptq.measure import Judge, Labelled
from workloads.quantize.ptq.pipeline import Quantized, quantize, split
from workloads.quantize.ptq.plan import bias_codes
from workloads.quantize.ptq.prepare import prepared
from workloads.quantize.ptq.samples import samples_of
from workloads.quantize.ptq.settings import Settings
from workloads.quantize.ptq.statistics import batch_norm_statistics
from workloads.quantize.ptq.steps import quantized_weights, weight_form
from workloads.quantize.ptq.widths import Policy, Width

OFF: Mapping[str, Any] = {
    "equalize": False,
    "absorb": False,
    "weight_ranges": "minmax",
    "rounding": "nearest",
    "bias_correction": "none",
    "activations": RangeSettings("minmax"),
}
GRAPH = conv_net(0)
DATA = inputs(GRAPH, 50)


def with_batch_norms(seed: int) -> Graph:
    """Two normalized convolutions, a maximum between, a product of the flattened map."""
    draw = np.random.default_rng(seed)
    net, x, width = FloatNet((1, 8, 8, 3)), "x", 3
    for _ in range(2):
        weights = draw.standard_normal((8, 3, 3, width)) / np.sqrt(9 * width)
        made = net.conv(x, weights, np.zeros(8))
        parts = (draw.uniform(0.5, 2, 8), draw.normal(0, 1, 8), draw.normal(0, 0.1, 8))
        made = net.batch_norm(made, (*parts, draw.uniform(0.5, 2, 8)))
        x, width = net.max_pool(net.unary(made, "relu")), 8
    flat = net.flatten(x)
    return net.graph(net.dense(flat, draw.standard_normal((5, net.shape(flat)[1])) / 4))


def test_the_held_out_are_not_calibrated_on() -> None:
    data, held = split(DATA)
    assert (len(data), len(held)) == (40, 10)
    both = np.concatenate([part.arrays["x"] for part in (data, held)])
    np.testing.assert_array_equal(both, DATA.arrays["x"])
    one = DATA.part(0, 1)
    assert split(one) == (one, one)
    assert [len(part) for part in split(DATA.part(0, 2))] == [1, 1]


def test_steps_in_order_and_each_switch() -> None:
    def names(**chosen: Any) -> list[str]:
        settings = Settings(**{**OFF, **chosen})
        return [step.name for step in quantize(GRAPH, settings, DATA).steps]

    first, last = "min-max", "activation ranges"
    assert names() == [first, last]
    assert names(equalize=True) == [first, "equalize", last]
    assert names(absorb=True) == [first, "absorb", last]
    assert names(weight_ranges="mse") == [first, "weight ranges", last]
    assert names(rounding="adaround", iterations=10) == [first, "adaround", last]
    assert names(bias_correction="empirical") == [first, "bias correction", last]
    assert names(bias_correction="analytic") == [first, "bias correction", last]
    whole = quantize(GRAPH, Settings(iterations=10), DATA)
    order = [first, "equalize", "absorb", "weight ranges", "adaround", last]
    assert [step.name for step in whole.steps] == order


def test_defaults_follow_the_paper() -> None:
    """AdaRound, else bias correction, which without data is analytic."""
    assert (Settings().rounds_by, Settings().corrects_by) == ("adaround", "none")
    nearest = Settings(rounding="nearest")
    assert (nearest.rounds_by, nearest.corrects_by) == ("nearest", "empirical")
    free = Settings(data_free=True)
    assert (free.rounds_by, free.corrects_by) == ("nearest", "analytic")


def test_what_is_measured_by_hand() -> None:
    """The last step's decibels and top-1 are those of the plan's simulation, sample by sample."""
    labels = np.arange(50) % 10
    made = quantize(GRAPH, Settings(**OFF), DATA, Labelled(DATA, labels))
    final, logit = simulated(made.plan), made.judge.tensors[0]
    pairs = [
        np.concatenate([v[logit] for v in forward(graph, DATA.part(40, 50), [logit])])
        for graph in (GRAPH, final)
    ]
    real, other = (pair.astype(np.float64) for pair in pairs)
    expected = 10 * np.log10(np.square(real).sum() / np.square(real - other).sum())
    assert made.steps[-1].sqnr_db == pytest.approx(expected, abs=1e-9)
    chosen = [run(final, {"x": x})[0][GRAPH.outputs[0]].argmax() for x in DATA.arrays["x"]]
    assert made.steps[-1].top1 == np.mean(np.array(chosen) == labels)
    chosen = [run(GRAPH, {"x": x})[0][GRAPH.outputs[0]].argmax() for x in DATA.arrays["x"]]
    assert made.float_top1 == np.mean(np.array(chosen) == labels)


def test_layers_are_told_with_their_widths() -> None:
    names = [layer.node.name for layer in layers(GRAPH)]
    policy = Policy(4, 8, first_last=8, layers={names[1]: Width(32, 32)})
    made = quantize(GRAPH, Settings(policy=policy, **OFF), DATA)
    assert [x.name for x in made.layers] == names
    assert [str(x.width) for x in made.layers] == ["W8A8", "W32A32", "W4A8", "W4A8", "W8A8"]
    assert made.layers[1].weights_db is None
    found = {n: len(np.unique(w.codes)) for n, w in made.plan.weights.items()}
    assert max(found[layers(GRAPH)[i].weights] for i in (2, 3)) <= 15
    assert min(found[layers(GRAPH)[i].weights] for i in (0, 4)) > 15
    weights = made.plan.weights[layers(GRAPH)[2].weights].real()
    real = GRAPH.constants[layers(GRAPH)[2].weights].astype(np.float64)
    noise = 10 * np.log10(np.square(real).sum() / np.square(real - weights).sum())
    assert made.layers[2].weights_db == pytest.approx(noise)


def test_the_pipeline_beats_where_it_starts() -> None:
    for seed in range(3):
        graph = conv_net(seed)
        data, policy = inputs(graph, 100, seed), Policy(weights=4)
        made = quantize(graph, Settings(policy=policy, iterations=300), data)
        assert made.steps[-1].sqnr_db > made.steps[0].sqnr_db + 3


def test_the_same_seed_gives_the_same_plan() -> None:
    def codes() -> dict[str, bytes]:
        made = quantize(GRAPH, Settings(iterations=20, seed=5), DATA)
        return {name: held.codes.tobytes() for name, held in made.plan.weights.items()}

    assert codes() == codes()


@pytest.mark.parametrize(
    ("bits", "codes"), [(2, (-2, 1)), (3, (-4, 3)), (4, (-7, 7)), (8, (-127, 127))]
)
def test_codes_of_weights(bits: int, codes: tuple[int, int]) -> None:
    grid = weight_form(bits)(-1.0, 1.0)
    assert (grid.low, grid.high) == codes


def test_a_channel_of_zeros_has_a_scale_for_its_bias() -> None:
    net = FloatNet((1, 4))
    weights = np.random.default_rng(0).standard_normal((3, 4)) / 100
    weights[1] = 0
    graph = net.graph(net.dense("x", weights, np.array([0.1, 0.2, 0.3]), bounds=RELU))
    bits = {layers(graph)[0].weights: 8}
    for ranges in ("minmax", "mse"):
        (held,) = quantized_weights(graph, bits, ranges, channels=True).values()
        assert min(held.grid.scale) <= held.grid.scale[1] <= max(held.grid.scale)
        assert not held.codes[1].any()


def test_biases_that_do_not_fit_get_wider_steps() -> None:
    """In the reports of the steps, too."""
    net = FloatNet((1, 2))
    weights = np.array([[1e-9, 2e-9], [0.5, -0.25]])
    graph = net.graph(net.dense("x", weights, np.array([3.0, 0.125])))
    (layer,) = layers(graph)
    made = quantize(graph, Settings(**OFF), inputs(graph, 5))
    (step,) = made.plan.activations[layer.activations].scale
    scale = made.plan.weights[layer.weights].grid.scale
    assert bias_codes(made.plan, layer)[0] * step * scale[0] == pytest.approx(3.0, rel=1e-6)
    assert min(report.sqnr_db for report in made.steps) > 25


def test_without_data_ranges_are_those_of_batch_norms() -> None:
    graph = with_batch_norms(0)
    known = batch_norm_statistics(graph)
    ready = prepared(graph)
    ranges = tensor_ranges(ready, known, (-1.0, 2.0))
    for layer in layers(ready)[:2]:
        of = known[layer.weights]
        assert ranges[layer.output][0] == 0.0
        assert ranges[layer.output][1] == pytest.approx((of.mean + 6 * of.deviation).max())
    assert ranges["x"] == (-1.0, 2.0)
    settings = Settings(data_free=True, input_range=(-1.0, 2.0))
    made = quantize(graph, settings)
    assert made.calibrated == 0
    assert made.steps[-1].detail == "batch-norm"
    assert made.steps[-1].sqnr_db > 20
    (scale,) = made.plan.activations["x"].scale
    assert scale == np.float32(3 / 255)


def test_what_data_free_refuses() -> None:
    with pytest.raises(BadConfig, match="the range of its inputs is unknown; state it"):
        quantize(with_batch_norms(0), Settings(data_free=True))
    with pytest.raises(Unsupported, match="holds no batch norm behind a layer"):
        quantize(GRAPH, Settings(data_free=True, input_range=(0.0, 1.0)))
    with pytest.raises(BadConfig, match="AdaRound needs calibration data"):
        Settings(data_free=True, rounding="adaround")
    with pytest.raises(BadConfig, match="empirical bias correction needs calibration data"):
        Settings(data_free=True, bias_correction="empirical")
    with pytest.raises(BadConfig, match="takes calibration data, or data_free settings"):
        quantize(GRAPH, Settings())


def real_network(name: str) -> Graph:
    folder = shared_folder()
    assert folder is not None
    return workloads.load(folder / f"models/float/{name}.tflite")


def resnet8(settings: Settings) -> Quantized:
    folder = shared_folder()
    assert folder is not None
    graph = real_network("mlperf_ic_resnet8_float")
    found = np.load(folder / "data/cifar10_eval.npz")
    (name,) = graph.inputs
    images = (samples_of(graph, {name: found[key][:, None]}) for key in ("calibration", "x"))
    calibration, labelled = images
    return quantize(graph, settings, calibration, Labelled(labelled, found["y"]))


def test_absorption_keeps_what_the_data_show() -> None:
    """Biases far above 0: they move on, and the float network gives the same on the samples."""
    draw = np.random.default_rng(2)
    net = FloatNet((1, 8))
    first = net.dense("x", draw.standard_normal((6, 8)), np.full(6, 40.0), bounds=RELU)
    graph = net.graph(net.dense(first, draw.standard_normal((4, 6)), np.zeros(4)))
    data = inputs(graph, 50, 2)
    made = quantize(graph, Settings(**{**OFF, "absorb": True}), data)
    before, after = (layers(g)[0].bias for g in (graph, made.twin))
    assert (made.twin.constants[after] < graph.constants[before] - 20).all()
    assert Judge(graph, made.judge.held).sqnr_db(made.twin) > 100
    plain = quantize(graph, Settings(**OFF), data)
    assert made.steps[-1].sqnr_db > plain.steps[-1].sqnr_db + 3


@pytest.mark.skipif(shared_folder() is None, reason=absence())
@pytest.mark.parametrize("per_channel", [True, False])
def test_resnet8_in_eight_bits_is_within_a_point_of_the_vendors(per_channel: bool) -> None:
    """The vendor's int8 file scores 74.9 % on these 1 000 images."""
    made = resnet8(Settings(per_channel=per_channel, rounding="nearest"))
    top1 = made.steps[-1].top1
    assert made.float_top1 == 0.751
    assert top1 is not None
    assert abs(top1 - 0.749) <= 0.01


@pytest.mark.skipif(shared_folder() is None, reason=absence())
@pytest.mark.parametrize(
    ("name", "least_db"),
    [("mlperf_ad_autoencoder_float", 25), ("mlperf_vww_mobilenetv1_025_96_float", 15)],
)
def test_other_real_networks_go_through(name: str, least_db: float) -> None:
    graph = real_network(name)
    (first,) = graph.inputs
    draw = np.random.default_rng(0)
    values = draw.uniform(0, 1, (20, *graph.tensors[first].shape)).astype(np.float32)
    data = samples_of(graph, {first: values})
    made = quantize(graph, Settings(rounding="nearest"), data)
    print(f"{name}: {made.steps[-1].sqnr_db:.1f} dB")
    assert made.steps[-1].sqnr_db > least_db
