"""Float `.tflite` networks and operators: against LiteRT, and in double against plain NumPy.

float32 sums are added in the order of MLAS, not in LiteRT's: results agree to a few units in the
last place of the largest output, `ULPS` of them, and no order is promised beyond that.
"""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import workloads
from simulator.errors import Unsupported
from simulator.execute import run, run_batch
from tests.float_oracle import run_double
from tests.ops.litert import requires_litert, run_reference
from tests.ops.structure import Given, OneNode, kind_of
from tests.ops.test_structure_litert import ours, reference
from tests.shared import absence, expected_folder, shared_folder
from workloads.float_graph import as_double

ULPS = 32
"""Units of 2^-23 of the largest output; the furthest seen is 13, ResNet-8 in BUILTIN_REF."""
NETWORKS = {
    "mlperf_ad_autoencoder_float": 12.0,
    "mlperf_ic_resnet8_float": 255.0,
    "mlperf_vww_mobilenetv1_025_96_float": 1.0,
}
"""Networks and the greatest value of the inputs they are tried on."""
RESOLVERS = ("BUILTIN_REF", "BUILTIN")
needs_shared = pytest.mark.skipif(shared_folder() is None, reason=absence())


def path_of(network: str) -> Path:
    return expected_folder() / "models" / "float" / f"{network}.tflite"


def drawn(network: str, count: int) -> NDArray[np.float32]:
    graph = workloads.load(path_of(network))
    shape = (count, *graph.tensors[graph.inputs[0]].shape)
    values = np.random.default_rng(1).uniform(0, NETWORKS[network], shape)
    return values.astype(np.float32)


def assert_near(got: NDArray[Any], expected: NDArray[Any]) -> None:
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=ULPS * 2**-23 * np.abs(expected).max())


@needs_shared
@requires_litert
@pytest.mark.parametrize("resolver", RESOLVERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_give_what_litert_gives(network: str, resolver: str) -> None:
    graph, x = workloads.load(path_of(network)), drawn(network, 4)
    outputs, _ = run_batch(graph, {graph.inputs[0]: x})
    data = path_of(network).read_bytes()
    expected = np.array([run_reference(data, [sample], resolver) for sample in x])
    assert_near(outputs[graph.outputs[0]], expected)


@needs_shared
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_in_double(network: str) -> None:
    """Every tensor: 1e-12 of its largest value, and float32 within its own precision."""
    graph, (x,) = workloads.load(path_of(network)), drawn(network, 1)
    seen: dict[str, Any] = {}
    expected = run_double(graph, {graph.inputs[0]: x})
    run(
        as_double(graph),
        {graph.inputs[0]: x.astype(np.float64)},
        tap=lambda node, _, results: seen.update({node.outputs[0]: results[0].copy()}),
    )
    assert len(seen) == len(graph.nodes)
    for name, value in seen.items():
        true = expected[name]
        assert value.dtype == np.float64
        np.testing.assert_allclose(value, true, rtol=0, atol=1e-12 * max(np.abs(true).max(), 1e-30))
    outputs, _ = run(graph, {graph.inputs[0]: x})
    name = graph.outputs[0]
    assert_near(outputs[name], expected[name].astype(np.float32))


@needs_shared
def test_resnet8_on_the_labelled_images() -> None:
    """75.1 % of 1 000 JPEG-degraded CIFAR-10 images; the network wants raw values, 0 to 255."""
    graph = workloads.load(path_of("mlperf_ic_resnet8_float"))
    data = np.load(expected_folder() / "data" / "cifar10_eval.npz")
    images = data["x"].astype(np.float32)[:, None]
    outputs, _ = run_batch(graph, {graph.inputs[0]: images})
    chosen = outputs[graph.outputs[0]][:, 0].argmax(axis=1)
    assert int((chosen == data["y"]).sum()) == 751


def reals(rng: Random, shape: tuple[int, ...]) -> Given:
    values = np.random.default_rng(rng.getrandbits(32)).normal(0, 2, shape).astype(np.float32)
    return Given(kind_of(shape, "float32"), values)


def weights(rng: Random, shape: tuple[int, ...], taps: int) -> Given:
    """Stored weights whose sums over `taps` products are as large as one operand."""
    given = reals(rng, shape)
    return Given(given.kind, given.value / np.float32(taps**0.5), True)


def stored(given: Given) -> Given:
    return Given(given.kind, given.value, True)


def whole(*values: Any) -> Given:
    array = np.array(values[0] if len(values) == 1 else values, np.int32)
    return Given(kind_of(array.shape, "int32"), array, True)


def float_kind(*shape: int) -> Any:
    return kind_of(shape, "float32")


def check(node: OneNode, folder: Path) -> None:
    # LiteRT 2.3.0 has no reference kernel of ELU.
    for resolver in RESOLVERS[node.op == "ELU" :]:
        for true, got in zip(
            reference(node.model(), node.fed, resolver),
            ours(node, folder, "litert-ref"),
            strict=True,
        ):
            assert_near(got, true)


def size_of(n: int, kernel: int, stride: int, padding: str) -> int:
    return -(-n // stride) if padding == "SAME" else -(-(n - kernel + 1) // stride)


@requires_litert
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_convolutions(seed: int, depthwise: bool, tmp_path: Path) -> None:
    rng = Random(f"{seed} {depthwise}")
    channels, each = rng.choice([1, 3, 8]), rng.choice([1, 2, 5])
    kernel, n = (rng.randint(1, 3), rng.randint(1, 3)), rng.randint(5, 9)
    filters = channels * each if depthwise else each
    stride, padding = rng.randint(1, 2), rng.choice(["SAME", "VALID"])
    options = {
        "padding": padding,
        "stride_h": stride,
        "stride_w": stride,
        "dilation_h_factor": 1,
        "dilation_w_factor": 1,
        "fused_activation_function": rng.choice(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]),
    }
    if depthwise:
        options["depth_multiplier"] = each
    shape = (1, *kernel, filters) if depthwise else (filters, *kernel, channels)
    given = (
        reals(rng, (1, n, n + 1, channels)),
        weights(rng, shape, kernel[0] * kernel[1] * (1 if depthwise else channels)),
        stored(reals(rng, (filters,))),
    )
    size = (size_of(m, k, stride, padding) for m, k in zip((n, n + 1), kernel, strict=True))
    name = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    check(OneNode(name, options, given, (float_kind(1, *size, filters),)), tmp_path)


@requires_litert
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_fully_connected(keep: bool, bias: bool, tmp_path: Path) -> None:
    rng = Random(f"{keep} {bias}")
    for taps, filters, activation in ((3, 1, "NONE"), (70, 9, "RELU"), (300, 40, "RELU6")):
        given = (
            reals(rng, (2, 3, taps)),
            weights(rng, (filters, taps), taps),
            stored(reals(rng, (filters,))) if bias else None,
        )
        options = {
            "fused_activation_function": activation,
            "weights_format": "DEFAULT",
            "keep_num_dims": keep,
        }
        made = float_kind(2, 3, filters) if keep else float_kind(6, filters)
        check(OneNode("FULLY_CONNECTED", options, given, (made,)), tmp_path)


@requires_litert
@pytest.mark.parametrize("op", ["AVERAGE_POOL_2D", "MAX_POOL_2D"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_pools(op: str, padding: str, tmp_path: Path) -> None:
    rng = Random(f"{op} {padding}")
    for kernel, stride, activation in ((2, 2, "NONE"), (3, 1, "RELU"), (3, 2, "RELU_N1_TO_1")):
        options = {
            "padding": padding,
            "stride_h": stride,
            "stride_w": stride,
            "filter_height": kernel,
            "filter_width": kernel,
            "fused_activation_function": activation,
        }
        size = [size_of(m, kernel, stride, padding) for m in (7, 8)]
        node = OneNode(op, options, (reals(rng, (1, 7, 8, 5)),), (float_kind(1, *size, 5),))
        check(node, tmp_path)


FUSED = {"fused_activation_function": "RELU6"}
UNARY = {
    "ELU": {},
    "EXP": {},
    "HARD_SWISH": {},
    "LEAKY_RELU": {"alpha": 0.3},
    "LOGISTIC": {},
    "RELU_0_TO_1": {},
    "SOFTMAX": {"beta": 1.0},
    "TANH": {},
}


@requires_litert
@pytest.mark.parametrize("op", UNARY)
def test_functions(op: str, tmp_path: Path) -> None:
    x = reals(Random(op), (3, 4, 50))
    check(OneNode(op, UNARY[op], (x,), (x.kind,)), tmp_path)


@requires_litert
@pytest.mark.parametrize("op", ["LOG", "RSQRT"])
def test_functions_of_positive_values(op: str, tmp_path: Path) -> None:
    x = reals(Random(op), (3, 50))
    x = Given(x.kind, np.abs(x.value) + np.float32(0.1))
    check(OneNode(op, {}, (x,), (x.kind,)), tmp_path)


@requires_litert
@pytest.mark.parametrize("op", ["ADD", "SUB", "MUL"])
def test_arithmetic_with_a_fused_activation(op: str, tmp_path: Path) -> None:
    rng = Random(op)
    pair = (reals(rng, (1, 4, 5, 8)), reals(rng, (1, 4, 5, 8)))
    check(OneNode(op, FUSED, pair, (pair[0].kind,)), tmp_path)


@requires_litert
@pytest.mark.parametrize("op", ["MEAN", "SUM"])
def test_reductions(op: str, tmp_path: Path) -> None:
    x = reals(Random(op), (2, 4, 5, 8))
    kept = OneNode(op, {"keep_dims": True}, (x, whole(1, 2)), (float_kind(2, 1, 1, 8),))
    check(kept, tmp_path)
    check(OneNode(op, {"keep_dims": False}, (x, whole([-1])), (float_kind(2, 4, 5),)), tmp_path)


@requires_litert
@pytest.mark.parametrize("flag", ["", "align_corners", "half_pixel_centers"])
def test_bilinear_resize(flag: str, tmp_path: Path) -> None:
    for size in ((8, 10), (3, 7), (5, 1)):
        x = reals(Random(f"{flag} {size}"), (1, 4, 5, 3))
        options = {flag: True} if flag else {}
        node = OneNode("RESIZE_BILINEAR", options, (x, whole(*size)), (float_kind(1, *size, 3),))
        check(node, tmp_path)


@requires_litert
def test_products_of_stacks(tmp_path: Path) -> None:
    rng = Random(4)
    pair = (reals(rng, (2, 3, 5, 7)), reals(rng, (2, 3, 7, 4)))
    options = {"adj_x": False, "adj_y": False}
    check(OneNode("BATCH_MATMUL", options, pair, (float_kind(2, 3, 5, 4),)), tmp_path)


@requires_litert
def test_what_moves_elements(tmp_path: Path) -> None:
    x = reals(Random(5), (1, 4, 5, 3))
    pads = whole([[0, 0], [1, 2], [0, 1], [0, 0]])
    check(OneNode("PAD", {}, (x, pads), (float_kind(1, 7, 6, 3),)), tmp_path)
    joined = OneNode(
        "CONCATENATION",
        {"axis": 3, "fused_activation_function": "NONE"},
        (x, x),
        (float_kind(1, 4, 5, 6),),
    )
    check(joined, tmp_path)
    order = whole(0, 3, 1, 2)
    check(OneNode("TRANSPOSE", {}, (x, order), (float_kind(1, 3, 4, 5),)), tmp_path)


def test_a_fused_tanh_is_refused(tmp_path: Path) -> None:
    rng = Random(6)
    pair = (reals(rng, (1, 4)), stored(reals(rng, (2, 4))))
    options = {"fused_activation_function": "TANH", "weights_format": "DEFAULT"}
    path = tmp_path / "one.tflite"
    path.write_bytes(OneNode("FULLY_CONNECTED", options, pair, (float_kind(1, 2),)).model())
    with pytest.raises(Unsupported, match=r"node 0 \(FULLY_CONNECTED\): the fused .* found TANH"):
        workloads.load(path)


def test_depthwise_weights_are_kept_filters_first(tmp_path: Path) -> None:
    """Their file's name and order of axes are noted, and the file's tensor is gone."""
    rng = Random(7)
    options = {
        "padding": "VALID",
        "stride_h": 1,
        "stride_w": 1,
        "dilation_h_factor": 1,
        "dilation_w_factor": 1,
        "depth_multiplier": 1,
        "fused_activation_function": "NONE",
    }
    given = (reals(rng, (1, 4, 4, 3)), stored(reals(rng, (1, 2, 2, 3))))
    path = tmp_path / "one.tflite"
    made = OneNode("DEPTHWISE_CONV_2D", options, given, (float_kind(1, 3, 3, 3),))
    path.write_bytes(made.model())
    graph = workloads.load(path)
    assert set(graph.constants) == {"x1@filters"}
    name, value = graph.as_in_file("x1@filters", graph.constants["x1@filters"])
    assert name == "x1"
    assert (value == given[1].value).all()
