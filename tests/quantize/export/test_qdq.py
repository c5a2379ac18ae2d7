"""QDQ files: ONNX Runtime's values against ours, with every optimization and with none.

0 differing values, of the outputs and of the codes of every quantized tensor. Averages, softmax and
functions that float32 computes are to rounding in both: with optimizations they are integer
operators of 8 bits, or one rounding before a grid of 8 bits; without them they are left out.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Final

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import workloads
from simulator.errors import BadConfig, Unsupported
from simulator.execute import run
from simulator.graph import Array, Graph
from tests.ops.onnx_runtime import Feeds, graph_of, runtime
from tests.quantize.export.attention import attention
from tests.quantize.export.minmax import Widths, drawn, plan_of
from tests.quantize.export.runtimes import LEVELS, compared
from tests.quantize.export.tflite_nets import CASES, Behind, network
from tests.shared import absence, expected_folder, shared_folder
from tests.test_float_onnx import many_operators, mobile_block
from workloads.float_graph import as_double, layers, with_outputs
from workloads.quantize import Grid, per_group
from workloads.quantize.export.qdq import NARROW, integer, to_qdq
from workloads.quantize.ptq import Plan, Weights, forward, places, prepared

pytest.importorskip("onnxruntime")

Made = Callable[[Random], tuple[bytes, Feeds]]
EIGHT: Final = Widths(8, 8)
WIDTHS: Final[Mapping[str, Widths]] = {
    "W8A8": EIGHT,
    "W8A8 one scale": Widths(8, 8, by_channel=False),
    "W8A8 centred": Widths(8, 8, centred=True),
    "W8A8 weights with a zero point": Widths(8, 8, by_channel=False, affine_weights=True),
    "W8A8 a zero point a channel": Widths(8, 8, affine_weights=True),
    "W4A8": Widths(4, 8),
    "W4A4": Widths(4, 4),
    "W2A3": Widths(2, 3),
    "W6A7": Widths(6, 7),
    "W8A16": Widths(8, 16, centred=True),
    "W8A16 from 0": Widths(8, 16),
    "W16A16": Widths(16, 16, centred=True),
    "W16A8": Widths(16, 8),
    "W12A12": Widths(12, 12),
}
NETWORKS: Final = (
    "mlperf_ad_autoencoder_float",
    "mlperf_ic_resnet8_float",
    "mlperf_vww_mobilenetv1_025_96_float",
)
REAL_OUTPUTS: Final = ("logistic", "tanh", "exp")
"""Cases whose outputs stay real: no place of a quantizer."""
TO_ROUNDING: Final = (
    *("average pool", "average pool, relu6", "mean of the image", "mean, kept"),
    *("mean of channels", "hard swish", "elu", "softmax", "softmax, sharper", "bilinear"),
)
"""Cases that float32 gives to rounding alone."""
levels = pytest.mark.parametrize("level", LEVELS)
needs_shared = pytest.mark.skipif(shared_folder() is None, reason=absence())


def _of_8_bits(widths: Widths) -> bool:
    """What ONNX Runtime computes with integers: a zero point a channel it does not."""
    by_channel = widths.affine_weights and widths.by_channel
    return max(widths.weights, widths.activations) <= 8 and not by_channel


def assert_equal(plan: Plan, samples: Array, level: str) -> None:
    found = compared(to_qdq(plan), integer(plan, level), samples)
    assert found.outputs[1] > 0
    assert found.tensors[1] > found.outputs[1]
    assert (found.outputs[0], found.tensors[0]) == (0, 0)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**31), data=st.data())
def test_networks_of_any_widths(
    seed: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Convolutions of any groups, products, sums, pools; layers of other widths.

    Where widths are of up to 8 bits alone, also averages and functions, with optimizations.
    """
    wide = data.draw(st.booleans())
    tried = LEVELS if wide else ("onnxruntime",)
    names = [name for name, widths in sorted(WIDTHS.items()) if wide or _of_8_bits(widths)]
    graph, samples = drawn(seed, tmp_path_factory.mktemp("net"), functions=not wide)
    widths = WIDTHS[data.draw(st.sampled_from(names))]
    others = st.dictionaries(
        st.sampled_from([layer.weights for layer in layers(graph)]), st.sampled_from(names)
    )
    other = {name: WIDTHS[key] for name, key in data.draw(others).items()}
    plan = plan_of(graph, {graph.inputs[0]: samples}, widths, other)
    for level in tried:
        assert_equal(plan, samples[:2], level)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**31), data=st.data())
def test_networks_that_are_integer_in_parts(
    seed: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tensors and weights that stay real, layers with real weights between grids among them.

    Convolutions that are real throughout ONNX Runtime adds up in another order, once optimized.
    """
    graph, samples = drawn(seed, tmp_path_factory.mktemp("net"), functions=False)
    widths = WIDTHS[data.draw(st.sampled_from(["W8A8", "W4A4", "W8A16"]))]
    whole = plan_of(graph, {graph.inputs[0]: samples}, widths)
    groups = [g for g in places(graph).groups if data.draw(st.integers(0, 3)) > 0]
    weights = {n: w for n, w in whole.weights.items() if data.draw(st.integers(0, 3)) > 0}
    grids = {name: whole.activations[name] for group in groups for name in group}
    plan = Plan(graph, weights, grids)
    ends = [(layer.weights, layer.activations, layer.output) for layer in layers(graph)]
    ordered = all(w in weights or (x in grids and y in grids) for w, x, y in ends)
    for level in LEVELS if ordered else ("onnxruntime-unfused",):
        found = compared(to_qdq(plan), integer(plan, level), samples[:2])
        assert (found.outputs[0], found.tensors[0]) == (0, 0)


@pytest.mark.parametrize("widths", ["W8A8", "W8A8 centred", "W4A4", "W16A16"])
@pytest.mark.parametrize("case", [name for name in CASES if name not in REAL_OUTPUTS])
def test_operators_of_tflite(case: str, widths: str, tmp_path: Path) -> None:
    graph, samples = network(CASES[case], tmp_path)
    plan = plan_of(graph, {graph.inputs[0]: samples}, WIDTHS[widths])
    if case not in TO_ROUNDING:
        assert_equal(plan, samples, "onnxruntime-unfused")
    if case not in TO_ROUNDING or _of_8_bits(WIDTHS[widths]):
        assert_equal(plan, samples, "onnxruntime")


@pytest.mark.parametrize("widths", ["W8A8", "W8A8 weights with a zero point", "W4A8", "W4A4"])
@pytest.mark.parametrize("made", [mobile_block, many_operators, attention])
def test_networks_of_onnx(made: Made, widths: str, tmp_path: Path) -> None:
    """Residual blocks, products of stacks of activations, normalizations that stay real."""
    data, feeds = made(Random(1))
    graph = prepared(graph_of(data, tmp_path))
    draw = np.random.default_rng(6)
    samples = draw.standard_normal((4, *feeds["x"].shape)).astype(np.float32)
    assert_equal(plan_of(graph, {"x": samples}, WIDTHS[widths]), samples, "onnxruntime")


def test_padding_is_of_codes(tmp_path: Path) -> None:
    """No real values between the convolution and the output's own."""
    graph, samples = network(CASES["pad"], tmp_path)
    read = integer(plan_of(graph, {graph.inputs[0]: samples}, EIGHT))
    kinds = [node.op.kind for node in read.nodes]
    assert kinds.count("dequantize_linear") == kinds.count("quantize_linear") == 1
    assert "pad" in kinds


@pytest.mark.parametrize("case", CASES)
def test_float_networks(case: str, tmp_path: Path) -> None:
    """A plan without grids; sums and functions to rounding."""
    graph, samples = network(CASES[case], tmp_path)
    proto = to_qdq(Plan(graph, {}, {}))
    assert proto.opset_import[0].version <= 14
    onnx.checker.check_model(proto, full_check=True)
    read = integer(Plan(graph, {}, {}), "onnxruntime-unfused")
    for x in samples:
        theirs = runtime(proto.SerializeToString(), {"x": x})
        mine, _ = run(read, {"x": x})
        was, _ = run(graph, {"x": x})
        for name, value in zip(graph.outputs, theirs, strict=True):
            scale = np.abs(was[name]).max()
            for got in (mine[name], value):
                np.testing.assert_allclose(got, was[name], rtol=0, atol=2e-6 * scale)


def shared_network(name: str) -> tuple[Graph, Array]:
    graph = prepared(workloads.load(expected_folder() / "models" / "float" / f"{name}.tflite"))
    shape = graph.tensors[graph.inputs[0]].shape
    if "resnet8" in name:
        images = np.load(expected_folder() / "data" / "cifar10_eval.npz")["x"][:32]
        return graph, images.astype(np.float32).reshape(-1, *shape)
    draw = np.random.default_rng(8)
    return graph, draw.uniform(0, 12 if "autoencoder" in name else 1, (16, *shape)).astype("f4")


@needs_shared
@levels
@pytest.mark.parametrize("widths", ["W8A8", "W8A8 one scale", "W4A8", "W4A4", "W8A16", "W16A16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_trained_networks(name: str, widths: str, level: str) -> None:
    """Where ONNX Runtime computes in float32, up to the average before the last layer."""
    graph, samples = shared_network(name)
    wide = WIDTHS[widths].activations > 8
    averages = [node for node in graph.nodes if node.op.kind == "float_average_pool"]
    if averages and (wide or level == "onnxruntime-unfused"):
        graph = with_outputs(graph, averages[0].inputs[:1])
    plan = plan_of(graph, {graph.inputs[0]: samples}, WIDTHS[widths])
    assert_equal(plan, samples[:4], level)
    kinds = {node.op.kind for node in integer(plan).nodes}
    real = {kind for kind in kinds if kind.startswith(("float", "grid", "arithmetic"))}
    assert bool(real) == wide


@needs_shared
def test_predictions_stay(tmp_path: Path) -> None:
    """ResNet-8 at W8A8 agrees with the float network on nearly every image."""
    graph, samples = shared_network("mlperf_ic_resnet8_float")
    plan = plan_of(graph, {graph.inputs[0]: samples}, EIGHT)
    (was,) = forward(graph, [{graph.inputs[0]: samples}], graph.outputs)
    made = integer(plan)
    (now,) = forward(made, [{made.inputs[0]: samples}], made.outputs)
    chosen = [v[graph.outputs[0]].reshape(len(samples), -1).argmax(1) for v in (was, now)]
    assert (chosen[0] == chosen[1]).mean() > 0.9


@pytest.mark.parametrize("narrow", NARROW)
def test_weights_of_four_bits(narrow: str, tmp_path: Path) -> None:
    """However they are stored; integer arithmetic but for typed ones, 4 bits where they are 4."""
    graph, samples = network(Behind("ADD", twice=True), tmp_path)
    plan = plan_of(graph, {graph.inputs[0]: samples}, WIDTHS["W4A8"])
    proto = to_qdq(plan, narrow)  # type: ignore[arg-type]
    read = integer(plan, narrow=narrow)  # type: ignore[arg-type]
    for level in LEVELS:
        dialect = integer(plan, level, narrow)  # type: ignore[arg-type]
        assert compared(proto, dialect, samples).tensors[0] == 0
    kind = "grid_conv_2d" if narrow == "typed" else "conv_2d"
    at = next(i for i, node in enumerate(read.nodes) if node.op.kind == kind)
    assert (read.work[at].weight_bits, read.work[at].activation_bits) == (4, 8)
    (held,) = (t for t in proto.graph.initializer if t.name.startswith("w") and "codes" in t.name)
    assert len(held.raw_data) == (40 if narrow == "bytes" else 20)
    assert proto.opset_import[0].version == (13 if narrow == "bytes" else 21)


def test_constants_and_grids_are_read_back(tmp_path: Path) -> None:
    """The codes themselves, scales to the last bit of float32, zero points on the carrier."""
    graph, samples = network(CASES["average pool, relu6"], tmp_path)
    for widths in (EIGHT, WIDTHS["W4A4"], WIDTHS["W6A7"]):
        plan = plan_of(graph, {graph.inputs[0]: samples}, widths)
        path = tmp_path / "made.onnx"
        path.write_bytes(to_qdq(plan).SerializeToString())
        read = workloads.load(path)
        node = next(n for n in read.nodes if n.op.kind == "conv_2d")
        held = plan.weights["w"]
        assert np.array_equal(read.constants[node.inputs[1]], held.codes)
        kind = read.tensors[node.inputs[1]]
        assert kind.bits == widths.weights
        assert kind.quant is not None
        assert kind.quant.scale == held.grid.scale
        for file, grid in plan.activations.items():
            kinds = [k for n, k in read.tensors.items() if n.split("@")[0].startswith(f"{file}_c")]
            assert kinds
            for kind in kinds:
                assert kind.quant is not None
                assert kind.quant.scale == grid.scale
                assert kind.quant.zero_point[0] == grid.zero_point[0] - grid.low
                assert kind.bits == widths.activations
        again = integer(plan)
        x = {"x": samples[0]}
        assert [n.op.kind for n in again.nodes] == [n.op.kind for n in read.nodes]
        for name, value in run(again, x)[0].items():
            assert np.array_equal(value, run(read, x)[0][name])


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**31))
def test_the_same_plan_gives_the_same_bytes(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    graph, samples = drawn(seed, tmp_path_factory.mktemp("net"))
    made = [plan_of(graph, {graph.inputs[0]: samples}, WIDTHS["W4A8"]) for _ in range(2)]
    first, second = (to_qdq(plan).SerializeToString(deterministic=True) for plan in made)
    assert first == second
    onnx.checker.check_model(onnx.load_from_string(first), full_check=True)


def test_refusals(tmp_path: Path) -> None:
    graph, samples = network(CASES["logistic"], tmp_path)
    plan = plan_of(graph, {graph.inputs[0]: samples}, EIGHT)
    with pytest.raises(BadConfig, match=r"narrow must be one of packed, bytes, typed; found 'x'"):
        to_qdq(plan, "x")  # type: ignore[arg-type]
    with pytest.raises(Unsupported, match=r"net.tflite: tensor 'x' is float64; export the float32"):
        to_qdq(Plan(as_double(graph), {}, {}))
    groups = Grid((0.1,) * 16, (0,) * 16, -8, 7, layout=per_group(0, 3, 3))
    held = {"w": Weights(plan.weights["w"].codes, groups)}
    with pytest.raises(Unsupported, match=r"w: scales per group have no QDQ form; give one per ch"):
        to_qdq(Plan(graph, held, plan.activations))
    far = dict.fromkeys(plan.activations, Grid((0.1,), (-400,), 0, 255))
    with pytest.raises(
        Unsupported, match=r"codes 0 to 255 with zero point -400 fit no type of ONNX"
    ):
        to_qdq(Plan(graph, plan.weights, far))


def test_an_operator_without_a_form_is_named(tmp_path: Path) -> None:
    pads = np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32)
    case = Behind("MIRROR_PAD", ((1, 7, 7, 8),), {"mode": "REFLECT"}, (pads,))
    graph, _ = network(case, tmp_path)
    with pytest.raises(
        Unsupported, match=r"net.tflite, node 'mirror_pad_1' \(mirror_pad\): it has no form in ONNX"
    ):
        to_qdq(Plan(graph, {}, {}))
