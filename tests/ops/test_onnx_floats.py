"""Real-valued and grid operators against ONNX Runtime 1.31.1.

Everything that is a sum, a product or a comparison: 0 differing bits. Transcendental functions and
softmax: within rtol 1e-5, atol 1e-6 (their last bits depend on the instruction set).
"""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.ops.onnx_runtime import differing, model, node, ours, runtime

pytest.importorskip("onnxruntime")

SPECIAL = [0.0, -0.0, 0.5, 1.5, -2.5, 1e-30, 3e38, -3e38, np.inf, -np.inf, 126.5, -128.5]


def reals(rng: Random, shape: tuple[int, ...], spread: float = 1.0) -> NDArray[np.float32]:
    draw = np.random.default_rng(rng.getrandbits(32))
    return (draw.standard_normal(shape) * spread).astype(np.float32)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("seed", range(6))
def test_quantize_and_dequantize(dtype: str, seed: int, tmp_path: Path) -> None:
    """One scale, or one an index of an axis; every tie; infinities."""
    rng = Random(f"{dtype} {seed}")
    info = np.iinfo(dtype)
    axis = rng.choice([None, 0, 1, 2, -1])
    shape = (3, 4, 5)
    count = () if axis is None else (shape[axis],)
    scale = np.array(np.exp2(reals(rng, count, 2)), np.float32)
    zero = np.random.default_rng(seed).integers(info.min, info.max, count, dtype, endpoint=True)
    spread = np.reshape(scale, [-1 if k == (axis or 0) % 3 else 1 for k in range(3)])
    codes = np.random.default_rng(seed).integers(info.min, info.max, shape, dtype, endpoint=True)
    x = ((codes.astype(np.float32) + np.float32(rng.choice([0, 0.5]))) * spread).astype(np.float32)
    x.reshape(-1)[: len(SPECIAL)] = SPECIAL
    attributes = {} if axis is None else {"axis": axis}
    grid = {"s": scale, "z": np.asarray(zero)}
    data = model(
        [node("QuantizeLinear", ["x", "s", "z"], ["y"], **attributes)],
        {"x": ("float32", shape)},
        {"y": dtype},
        grid,
    )
    assert differing(data, {"x": x}, tmp_path) == 0
    data = model(
        [node("DequantizeLinear", ["x", "s", "z"], ["y"], **attributes)],
        {"x": (dtype, shape)},
        {"y": "float32"},
        grid,
    )
    assert differing(data, {"x": codes}, tmp_path) == 0


@pytest.mark.parametrize("seed", range(8))
def test_dequantize_accumulators(seed: int, tmp_path: Path) -> None:
    """int32 has no zero point; it is rounded to float32 before it is scaled."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-(2**31), 2**31 - 1, (4, 6), dtype=np.int32)
    data = model(
        [node("DequantizeLinear", ["x", "s"], ["y"], axis=1)],
        {"x": ("int32", (4, 6))},
        {"y": "float32"},
        {"s": np.exp2(rng.uniform(-12, 2, 6)).astype(np.float32)},
    )
    assert differing(data, {"x": x}, tmp_path) == 0


@pytest.mark.parametrize("seed", range(20))
def test_dynamic_quantize(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    x = reals(rng, (5, 7), 10 ** rng.uniform(-3, 3)) + np.float32(rng.uniform(-2, 2))
    if seed < 3:
        x = [np.zeros_like(x), np.abs(x), -np.abs(x)][seed]
    data = model(
        [node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])],
        {"x": ("float32", (5, 7))},
        {"y": "uint8", "s": "float32", "z": "uint8"},
        {},
    )
    assert differing(data, {"x": x}, tmp_path) == 0


@pytest.mark.parametrize("seed", range(30))
def test_convolution_adds_in_the_runtimes_order(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    groups, each, block = rng.choice(
        [(1, 3, 8), (1, 16, 16), (1, 40, 7), (1, 70, 130), (4, 2, 3), (8, 1, 1), (1, 9, 1)]
    )
    kernel = rng.choice([(1, 1), (3, 3), (5, 2)])
    size = rng.choice([(4, 4), (9, 11), (16, 16)])
    attributes: dict[str, Any] = {
        "group": groups,
        "strides": [rng.randint(1, 2), rng.randint(1, 2)],
        "dilations": [rng.choice([1, 1, 2]), 1] if size[0] > 8 else [1, 1],
        "pads": [rng.randint(0, k // 2) + (size[0] < 5) for k in (*kernel, *kernel)],
    }
    shape = (rng.choice([1, 2]), groups * each, *size)
    constants = {
        "w": reals(rng, (groups * block, each, *kernel)),
        "b": reals(rng, (groups * block,)),
    }
    names = ["x", "w", *(["b"] if rng.random() < 0.5 else [])]
    data = model(
        [node("Conv", names, ["y"], **attributes)],
        {"x": ("float32", shape)},
        {"y": "float32"},
        {k: v for k, v in constants.items() if k in names},
    )
    assert differing(data, {"x": reals(rng, shape)}, tmp_path) == 0


@pytest.mark.parametrize("rows", [1, 2, 17])
@pytest.mark.parametrize("seed", range(10))
def test_products_add_in_the_runtimes_order(rows: int, seed: int, tmp_path: Path) -> None:
    """Weights known ahead or not, transposed or not, with and without an addend."""
    rng = Random(f"{rows} {seed}")
    k, n = rng.choice([5, 64, 65, 300, 784]), rng.choice([1, 2, 3, 10, 33, 130, 256])
    ahead, turned = rng.random() < 0.5, rng.random() < 0.5
    w = reals(rng, (n, k) if turned else (k, n))
    feeds, inputs = {"x": reals(rng, (rows, k))}, {"x": ("float32", (rows, k))}
    constants = {}
    if ahead:
        constants["w"] = w
    else:
        feeds["w"], inputs["w"] = w, ("float32", w.shape)
    alpha, beta = rng.choice([(1.0, 1.0), (1.0, 1.0), (0.5, 1.0), (1.0, 2.0), (1.7, 0.3)])
    addend = rng.random() < 0.7
    if addend:
        constants["c"] = reals(rng, rng.choice([(n,), (1, n), (rows, n), (1,)]))
    names = ["x", "w", *(["c"] if addend else [])]
    gemm = node("Gemm", names, ["y"], transB=int(turned), alpha=alpha, beta=beta)
    data = model([gemm], inputs, {"y": "float32"}, constants)
    assert differing(data, feeds, tmp_path) == 0
    if not turned:
        data = model(
            [node("MatMul", ["x", "w"], ["y"])],
            inputs,
            {"y": "float32"},
            {name: v for name, v in constants.items() if name == "w"},
        )
        assert differing(data, feeds, tmp_path) == 0


@pytest.mark.parametrize("seed", range(10))
def test_stacked_products(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    k, n = rng.choice([4, 70]), rng.choice([3, 40])
    x, w = rng.choice(
        [((2, 3, 5, k), (2, 3, k, n)), ((3, 5, k), (k, n)), ((2, 1, 5, k), (3, k, n))]
    )
    feeds = {"x": reals(rng, x), "w": reals(rng, w)}
    data = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": ("float32", x), "w": ("float32", w)},
        {"y": "float32"},
        {},
    )
    assert differing(data, feeds, tmp_path) == 0


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("seed", range(25))
def test_pools(op: str, seed: int, tmp_path: Path) -> None:
    rng = Random(f"{op} {seed}")
    kernel = [rng.randint(1, 4), rng.randint(1, 4)]
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": [rng.randint(1, 3), rng.randint(1, 3)],
    }
    if rng.random() < 0.3:
        attributes["auto_pad"] = rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])
    else:
        attributes["pads"] = [rng.randint(0, k - 1) for k in (*kernel, *kernel)]
    if op == "AveragePool":
        attributes["count_include_pad"] = rng.choice([0, 1])
    else:
        attributes["dilations"] = [rng.choice([1, 1, 2]), 1]
        attributes["ceil_mode"] = rng.choice([0, 0, 1])
        attributes.pop("auto_pad", None)
    shape = (rng.choice([1, 2]), rng.choice([1, 3, 16]), rng.randint(7, 10), rng.randint(7, 10))
    data = model(
        [node(op, ["x"], ["y"], **attributes)], {"x": ("float32", shape)}, {"y": "float32"}, {}
    )
    x = reals(rng, shape)
    (got,), (expected,) = ours(data, {"x": x}, tmp_path), runtime(data, {"x": x})
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    if op == "MaxPool":
        assert (got == expected).all()


@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_batch_normalization(rank: int, seed: int, tmp_path: Path) -> None:
    rng = Random(f"{rank} {seed}")
    shape = (2, 9) if rank == 2 else (2, 9, 4, 3)
    constants = {"g": reals(rng, (9,)), "b": reals(rng, (9,)), "m": reals(rng, (9,))}
    constants["v"] = np.abs(reals(rng, (9,))) + np.float32(0.01)
    data = model(
        [node("BatchNormalization", ["x", "g", "b", "m", "v"], ["y"])],
        {"x": ("float32", shape)},
        {"y": "float32"},
        constants,
    )
    assert differing(data, {"x": reals(rng, shape)}, tmp_path) == 0


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Min", "Max"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64"])
@pytest.mark.parametrize("shapes", [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (3, 1)), ((4,), (2, 1, 4))])
def test_arithmetic(
    op: str, dtype: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], tmp_path: Path
) -> None:
    rng = np.random.default_rng(len(op))
    feeds = {}
    for name, shape in zip("ab", shapes, strict=True):
        values = rng.standard_normal(shape) * 50
        values = values if dtype == "float32" else np.where(np.rint(values) == 0, 1, values)
        feeds[name] = np.asarray(values).astype(dtype)
    data = model(
        [node(op, ["a", "b"], ["y"])],
        {name: (dtype, value.shape) for name, value in feeds.items()},
        {"y": dtype},
        {},
    )
    assert differing(data, feeds, tmp_path) == 0


EXACT = ["Abs", "Ceil", "Floor", "Neg", "Relu", "Round", "Sign", "Sqrt", "Reciprocal", "LeakyRelu"]
NEAR = ["Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Log", "Sigmoid", "Tanh"]


@pytest.mark.parametrize("op", [*EXACT, *NEAR])
def test_functions(op: str, tmp_path: Path) -> None:
    x = np.linspace(-9, 9, 3601, dtype=np.float32)
    x = np.abs(x) + np.float32(1e-3) if op in ("Log", "Sqrt") else x
    x = x[x != 0] if op == "Reciprocal" else x
    data = model([node(op, ["x"], ["y"])], {"x": ("float32", x.shape)}, {"y": "float32"}, {})
    if op in EXACT:
        assert differing(data, {"x": x}, tmp_path) == 0
    else:
        (got,), (expected,) = ours(data, {"x": x}, tmp_path), runtime(data, {"x": x})
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax(op: str, axis: int, opset: int, tmp_path: Path) -> None:
    x = reals(Random(axis), (3, 4, 5), 4)
    data = model(
        [node(op, ["x"], ["y"], axis=axis)],
        {"x": ("float32", x.shape)},
        {"y": "float32"},
        {},
        opset,
    )
    (got,), (expected,) = ours(data, {"x": x}, tmp_path), runtime(data, {"x": x})
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum"])
@pytest.mark.parametrize("axes", [[2, 3], [1], [0, -1]])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(op: str, axes: list[int], keep: int, tmp_path: Path) -> None:
    """After a convolution, so that the input is NHWC here."""
    rng = Random(keep)
    x = reals(rng, (2, 3, 6, 5))
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node(op, ["c", "axes"], ["y"], keepdims=keep)
        if op == "ReduceSum"
        else node(op, ["c"], ["y"], axes=axes, keepdims=keep),
    ]
    constants = {"w": reals(rng, (4, 3, 1, 1))}
    if op == "ReduceSum":
        constants["axes"] = np.array(axes, np.int64)
    data = model(nodes, {"x": ("float32", x.shape)}, {"y": "float32"}, constants, 13)
    (got,), (expected,) = ours(data, {"x": x}, tmp_path), runtime(data, {"x": x})
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("source", ["float32", "int32", "uint8"])
@pytest.mark.parametrize("target", ["float32", "int32", "int8", "uint8", "int64", "bool"])
def test_cast(source: str, target: str, tmp_path: Path) -> None:
    from tests.ops.onnx_runtime import ELEMENTS

    x = np.array([0, 1, 2.7, 100.5, 120], dtype=np.float64).astype(source)
    if source != "uint8":
        x = np.concatenate([x, -x]).astype(source)
    if source == "float32" and target == "uint8":
        x = np.abs(x)
    cast = node("Cast", ["x"], ["y"], to=ELEMENTS[target])
    data = model([cast], {"x": (source, x.shape)}, {"y": target}, {})
    assert differing(data, {"x": x}, tmp_path) == 0
