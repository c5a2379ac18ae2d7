"""Float `.onnx` networks against ONNX Runtime.

`tests/ops/test_onnx_floats.py` tries the operators one by one; here are networks of them, depthwise
convolutions and nearest resizes with 0 differing bits, and, where averages, interpolations or
transcendental functions take part, rtol 1e-5 and atol 1e-6.
"""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.errors import Unsupported
from simulator.execute import run
from tests.float_oracle import run_double
from tests.ops.onnx_runtime import Feeds, differing, graph_of, model, node, ours, runtime
from workloads.float_graph import as_double, fold_batch_norm, fuse_activations, layers

pytest.importorskip("onnxruntime")


def reals(rng: Random, shape: tuple[int, ...], taps: int = 1) -> NDArray[np.float32]:
    draw = np.random.default_rng(rng.getrandbits(32))
    values: NDArray[np.float64] = draw.standard_normal(shape) / taps**0.5
    return values.astype(np.float32)


def normalization(rng: Random, name: str, channels: int) -> dict[str, NDArray[np.float32]]:
    draw = np.random.default_rng(rng.getrandbits(32))
    values = {
        "gamma": draw.uniform(0.5, 2, channels),
        "beta": draw.normal(0, 1, channels),
        "mean": draw.normal(0, 1, channels),
        "variance": draw.uniform(0.2, 3, channels),
    }
    return {f"{name}.{key}": value.astype(np.float32) for key, value in values.items()}


def normalized(name: str, x: str, y: str) -> Any:
    names = [x, *(f"{name}.{key}" for key in ("gamma", "beta", "mean", "variance"))]
    return node("BatchNormalization", names, [y], epsilon=1e-3)


def mobile_block(rng: Random) -> tuple[bytes, Feeds]:
    """conv, depthwise and pointwise with normalization and ReLU6 between, a skip, a head."""
    constants: dict[str, NDArray[Any]] = {
        "w0": reals(rng, (8, 3, 3, 3), 27),
        "w1": reals(rng, (8, 1, 3, 3), 9),
        "w2": reals(rng, (8, 8, 1, 1), 8),
        "b2": reals(rng, (8,)),
        "w3": reals(rng, (5, 8), 8),
        "b3": reals(rng, (5,)),
        "zero": np.array(0, np.float32),
        "six": np.array(6, np.float32),
        **normalization(rng, "n0", 8),
        **normalization(rng, "n1", 8),
        **normalization(rng, "n2", 8),
    }
    same = {"pads": [1, 1, 1, 1]}
    nodes = [
        node("Conv", ["x", "w0"], ["c0"], strides=[2, 2], **same),
        normalized("n0", "c0", "m0"),
        node("Clip", ["m0", "zero", "six"], ["r0"]),
        node("Conv", ["r0", "w1"], ["c1"], group=8, **same),
        normalized("n1", "c1", "m1"),
        node("Relu", ["m1"], ["r1"]),
        node("Conv", ["r1", "w2", "b2"], ["c2"]),
        normalized("n2", "c2", "m2"),
        node("Add", ["m2", "r0"], ["s"]),
        node("Relu", ["s"], ["r2"]),
        node("GlobalAveragePool", ["r2"], ["p"]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]
    data = model(nodes, {"x": ("float32", (1, 3, 13, 14))}, {"y": "float32"}, constants)
    return data, {"x": reals(rng, (1, 3, 13, 14))}


def many_operators(rng: Random) -> tuple[bytes, Feeds]:
    """pad, conv, leaky ReLU, pools, concat, transpose, a product, functions, mean, softmax."""
    constants = {
        "pads": np.array([0, 0, 1, 2, 0, 0, 1, 0]),
        "w0": reals(rng, (6, 4, 3, 3), 36),
        "scale": reals(rng, (1, 6, 1, 1)),
        "shape": np.array([1, 12, 20]),
        "m": reals(rng, (12, 7), 12),
        "shift": reals(rng, (7,)),
    }
    nodes = [
        node("Pad", ["x", "pads"], ["a"]),
        node("Conv", ["a", "w0"], ["b"]),
        node("LeakyRelu", ["b"], ["c"], alpha=0.1),
        node("Mul", ["c", "scale"], ["d"]),
        node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        node("AveragePool", ["d"], ["f"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Concat", ["e", "f"], ["g"], axis=1),
        node("Reshape", ["g", "shape"], ["h"]),
        node("Transpose", ["h"], ["i"], perm=[0, 2, 1]),
        node("MatMul", ["i", "m"], ["j"]),
        node("Add", ["j", "shift"], ["k"]),
        node("Sigmoid", ["k"], ["l"]),
        node("Tanh", ["k"], ["n"]),
        node("Sub", ["l", "n"], ["o"]),
        node("ReduceMean", ["o"], ["p"], axes=[1], keepdims=0),
        node("Softmax", ["p"], ["y"]),
    ]
    data = model(
        nodes, {"x": ("float32", (1, 4, 8, 10))}, {"y": "float32", "k": "float32"}, constants, 13
    )
    return data, {"x": reals(rng, (1, 4, 8, 10))}


@pytest.mark.parametrize("seed", range(4))
def test_a_mobile_block(seed: int, tmp_path: Path) -> None:
    """The head's average is summed in another order: to rounding."""
    data, feeds = mobile_block(Random(seed))
    (got,), (expected,) = ours(data, feeds, tmp_path), runtime(data, feeds)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_many_operators(seed: int, tmp_path: Path) -> None:
    data, feeds = many_operators(Random(seed))
    for got, expected in zip(ours(data, feeds, tmp_path), runtime(data, feeds), strict=True):
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_depthwise_sums_keep_the_runtimes_order(seed: int, tmp_path: Path) -> None:
    """0 differing bits: kernels of one to nine taps, strides, dilations, padding."""
    rng = Random(seed)
    channels, kernel = rng.choice([1, 3, 17]), (rng.randint(1, 3), rng.randint(1, 3))
    attributes = {
        "group": channels,
        "strides": [rng.randint(1, 2), rng.randint(1, 2)],
        "dilations": [rng.randint(1, 2), 1],
        "pads": [rng.randint(0, 1) for _ in range(4)],
    }
    constants = {"w": reals(rng, (channels, 1, *kernel)), "b": reals(rng, (channels,))}
    shape = (2, channels, 9, 8)
    data = model(
        [node("Conv", ["x", "w", "b"], ["y"], **attributes)],
        {"x": ("float32", shape)},
        {"y": "float32"},
        constants,
    )
    assert differing(data, {"x": reals(rng, shape)}, tmp_path) == 0


NEAREST = [
    {"coordinate_transformation_mode": how, "nearest_mode": rounding}
    for how in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    for rounding in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
]
SIZES = [(8, 10), (3, 4), (7, 13), (1, 5)]


def resized(x: NDArray[np.float32], size: Any, scales: Any, **attributes: Any) -> bytes:
    constants = {"scales": np.array([1, 1, *scales], np.float32)} if scales else {}
    if size:
        constants["sizes"] = np.array([*x.shape[:2], *size])
    names = ["x", "", "scales" if scales else "", *(["sizes"] if size else [])]
    return model(
        [node("Resize", names, ["y"], **attributes)],
        {"x": ("float32", x.shape)},
        {"y": "float32"},
        constants,
    )


@pytest.mark.parametrize("attributes", NEAREST, ids=lambda a: "-".join(a.values()))
def test_nearest_resize(attributes: dict[str, str], tmp_path: Path) -> None:
    x = reals(Random(1), (1, 2, 4, 5))
    for size in SIZES:
        assert differing(resized(x, size, None, **attributes), {"x": x}, tmp_path) == 0
    assert differing(resized(x, None, (2.0, 1.5), **attributes), {"x": x}, tmp_path) == 0


@pytest.mark.parametrize("how", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
def test_linear_resize(how: str, tmp_path: Path) -> None:
    x = reals(Random(2), (1, 2, 4, 5))
    wanted = {"mode": "linear", "coordinate_transformation_mode": how}
    models = [resized(x, size, None, **wanted) for size in SIZES]
    for data in (*models, resized(x, None, (2.0, 1.5), **wanted)):
        (got,), (expected,) = ours(data, {"x": x}, tmp_path), runtime(data, {"x": x})
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_a_cubic_resize_is_refused(tmp_path: Path) -> None:
    x = reals(Random(3), (1, 2, 4, 5))
    with pytest.raises(Unsupported, match=r"Resize.*mode must be nearest or linear; found cubic"):
        graph_of(resized(x, (8, 8), None, mode="cubic"), tmp_path)


@pytest.mark.parametrize("seed", range(3))
def test_transforms_keep_a_mobile_block(seed: int, tmp_path: Path) -> None:
    """Folded and fused: four layers and a pool are left; 1e-5 in float32, 1e-12 in float64."""
    data, feeds = mobile_block(Random(seed))
    graph = graph_of(data, tmp_path)
    made = fuse_activations(fold_batch_norm(graph))
    kinds = [n.op.kind for n in made.nodes]
    assert "batch_normalization" not in kinds
    assert "float_unary" not in kinds
    assert [layer.groups for layer in layers(made)] == [1, 8, 1, 1]
    (expected,) = runtime(data, feeds)
    outputs, _ = run(made, feeds)
    np.testing.assert_allclose(outputs["y"], expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    double = as_double(graph)
    wide = {"x": feeds["x"].astype(np.float64)}
    true = run_double(graph, feeds)["y"]
    for each in (double, fuse_activations(fold_batch_norm(double))):
        outputs, _ = run(each, wide)
        np.testing.assert_allclose(outputs["y"], true, rtol=1e-12, atol=1e-12 * np.abs(true).max())
