"""QOperator nodes against ONNX Runtime 1.31.1 on random operands: 0 differing values."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.ops.onnx_runtime import differing, model, node

pytest.importorskip("onnxruntime")

SIGNS = [("uint8", "uint8"), ("uint8", "int8"), ("int8", "int8")]


def scale(rng: Random, low: float = -8, high: float = 0) -> Any:
    return np.float32(2 ** rng.uniform(low, high))


def codes(rng: Random, dtype: str, shape: tuple[int, ...]) -> Any:
    info = np.iinfo(dtype)
    bits = np.random.default_rng(rng.getrandbits(32))
    return bits.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def zero(rng: Random, dtype: str) -> Any:
    return codes(rng, dtype, ())


@pytest.mark.parametrize("seed", range(60))
def test_convolution(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    x_dtype, w_dtype = rng.choice(SIGNS)
    groups = rng.choice([1, 1, 2, 6])
    each = 1 if groups == 6 else rng.choice([1, 3, 8])
    block = rng.choice([1, 2]) if groups == 6 else rng.choice([1, 5])
    filters, channels = groups * block, groups * each
    kernel = [rng.randint(1, 4), rng.randint(1, 4)]
    attributes: dict[str, Any] = {
        "strides": [rng.randint(1, 3), rng.randint(1, 2)],
        "dilations": [rng.choice([1, 1, 2]), rng.choice([1, 1, 2])],
        "group": groups,
    }
    if rng.random() < 0.3:
        attributes["auto_pad"] = rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])
        attributes["dilations"] = [1, 1]
    else:
        attributes["pads"] = [rng.randint(0, k - 1) for k in (*kernel, *kernel)]
    per_channel = rng.random() < 0.5
    w_scale = (
        np.array([scale(rng) for _ in range(filters)], np.float32) if per_channel else scale(rng)
    )
    w_zero = zero(rng, w_dtype) if w_dtype == "uint8" else np.zeros((), w_dtype)
    if per_channel:
        w_zero = np.full(filters, w_zero)
    x_scale = scale(rng)
    taps = each * kernel[0] * kernel[1]
    constants: dict[str, Any] = {
        "xs": x_scale,
        "xz": zero(rng, x_dtype),
        "w": codes(rng, w_dtype, (filters, each, *kernel)),
        "ws": w_scale,
        "wz": w_zero,
        "ys": np.float32(x_scale * np.max(w_scale) * 40 * taps**0.5),
        "yz": zero(rng, x_dtype),
        "b": codes(rng, "int16", (filters,)).astype(np.int32),
    }
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", *(["b"] if rng.random() < 0.7 else [])]
    shape = (rng.choice([1, 2]), channels, rng.randint(8, 12), rng.randint(8, 12))
    data = model(
        [node("QLinearConv", names, ["y"], **attributes)],
        {"x": (x_dtype, shape)},
        {"y": x_dtype},
        {k: v for k, v in constants.items() if k in names},
    )
    assert differing(data, {"x": codes(rng, x_dtype, shape)}, tmp_path) == 0


@pytest.mark.parametrize("seed", range(30))
def test_matrix_products(seed: int, tmp_path: Path) -> None:
    """Constant and computed weights, stacks, one scale or one a column."""
    rng = Random(seed)
    x_dtype, w_dtype = rng.choice(SIGNS)
    k, n = rng.randint(1, 70), rng.randint(1, 9)
    stack = rng.choice([(), (2,), (2, 3)])
    constant = rng.random() < 0.6
    w_shape = (k, n) if constant else (*stack, k, n)
    columns = constant and rng.random() < 0.5
    w_scale = np.array([scale(rng) for _ in range(n)], np.float32) if columns else scale(rng)
    w_zero = codes(rng, w_dtype, (n,) if columns else ())
    constants: dict[str, Any] = {
        "xs": scale(rng),
        "xz": zero(rng, x_dtype),
        "ws": w_scale,
        "wz": w_zero,
        "yz": zero(rng, x_dtype),
    }
    constants["ys"] = np.float32(constants["xs"] * np.max(w_scale) * 60 * k**0.5)
    shape = (*stack, rng.randint(1, 4), k)
    feeds = {"x": codes(rng, x_dtype, shape)}
    inputs = {"x": (x_dtype, shape)}
    if constant:
        constants["w"] = codes(rng, w_dtype, w_shape)
    else:
        feeds["w"] = codes(rng, w_dtype, w_shape)
        inputs["w"] = (w_dtype, w_shape)
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    data = model([node("QLinearMatMul", names, ["y"])], inputs, {"y": x_dtype}, constants)
    assert differing(data, feeds, tmp_path) == 0
    data = model(
        [node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])],
        inputs,
        {"y": "int32"},
        {name: v for name, v in constants.items() if name in ("w", "xz", "wz")},
    )
    assert differing(data, feeds, tmp_path) == 0


@pytest.mark.parametrize("seed", range(30))
def test_gemm(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    x_dtype, w_dtype = rng.choice(SIGNS)
    m, k, n = rng.randint(1, 4), rng.randint(1, 70), rng.randint(1, 12)
    turned, columns, real = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.3
    w_scale = np.array([scale(rng) for _ in range(n)], np.float32) if columns else scale(rng)
    constants: dict[str, Any] = {
        "xs": scale(rng),
        "xz": zero(rng, x_dtype),
        "w": codes(rng, w_dtype, (n, k) if turned else (k, n)),
        "ws": w_scale,
        "wz": codes(rng, w_dtype, (n,) if columns else ()),
        "c": codes(rng, "int16", rng.choice([(n,), (1, n)])).astype(np.int32),
        "yz": zero(rng, x_dtype),
    }
    constants["ys"] = np.float32(constants["xs"] * np.max(w_scale) * 60 * k**0.5)
    bias = "c" if rng.random() < 0.7 else ""
    names = ["x", "xs", "xz", "w", "ws", "wz", bias, *([] if real else ["ys", "yz"])]
    alpha = rng.choice([1.0, 0.75, 1.3])
    data = model(
        [node("QGemm", names, ["y"], transB=int(turned), alpha=alpha)],
        {"x": (x_dtype, (m, k))},
        {"y": "float32" if real else x_dtype},
        {key: v for key, v in constants.items() if key in names},
    )
    assert differing(data, {"x": codes(rng, x_dtype, (m, k))}, tmp_path) == 0


@pytest.mark.parametrize("seed", range(20))
def test_integer_convolution(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    groups, each, block = rng.choice([(1, 3, 4), (2, 2, 3), (5, 1, 1), (4, 1, 2)])
    kernel = [rng.randint(1, 3), rng.randint(1, 3)]
    shape = (1, groups * each, 7, 6)
    constants: dict[str, Any] = {
        "w": codes(rng, "uint8", (groups * block, each, *kernel)),
        "xz": zero(rng, "uint8"),
        "wz": zero(rng, "uint8"),
    }
    data = model(
        [
            node(
                "ConvInteger",
                ["x", "w", "xz", "wz"],
                ["y"],
                group=groups,
                pads=[0, 0, 0, 0],
                strides=[rng.randint(1, 2)] * 2,
            )
        ],
        {"x": ("uint8", shape)},
        {"y": "int32"},
        constants,
    )
    assert differing(data, {"x": codes(rng, "uint8", shape)}, tmp_path) == 0


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("seed", range(40))
def test_every_pair_of_codes(op: str, seed: int, tmp_path: Path) -> None:
    rng = Random(f"{op} {seed}")
    dtype = rng.choice(["uint8", "int8"])
    info = np.iinfo(dtype)
    each = np.arange(info.min, info.max + 1, dtype=dtype)
    spread = rng.choice([0.1, 2, 6])
    first = scale(rng, -10, 2)
    second = np.float32(first * 2 ** rng.uniform(-spread, spread))
    out = (
        max(first, second) * 2 ** rng.uniform(-2, 3)
        if op == "QLinearAdd"
        else (first * second * 2 ** rng.uniform(3, 9))
    )
    constants: dict[str, Any] = {
        "as": first,
        "az": zero(rng, dtype),
        "bs": second,
        "bz": zero(rng, dtype),
        "ys": np.float32(out),
        "yz": zero(rng, dtype),
    }
    names = ["a", "as", "az", "b", "bs", "bz", "ys", "yz"]
    data = model(
        [node(op, names, ["y"])],
        {"a": (dtype, (256, 1)), "b": (dtype, (1, 256))},
        {"y": dtype},
        constants,
    )
    feeds = {"a": each.reshape(256, 1), "b": each.reshape(1, 256)}
    assert differing(data, feeds, tmp_path) == 0


@pytest.mark.parametrize("seed", range(40))
def test_average_pool(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    dtype = rng.choice(["uint8", "int8"])
    kernel = [rng.randint(1, 4), rng.randint(1, 4)]
    size = [rng.randint(5, 9), rng.randint(5, 9)]
    strides = [rng.randint(1, 3), rng.randint(1, 3)]
    attributes: dict[str, Any] = {"kernel_shape": kernel, "strides": strides}
    if rng.random() < 0.3:
        attributes["auto_pad"] = rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])
    else:
        attributes["pads"] = [rng.randint(0, k - 1) for k in (*kernel, *kernel)]
        attributes["ceil_mode"] = rng.choice([0, 0, 1])
    attributes["count_include_pad"] = rng.choice([0, 0, 1])
    x_scale = scale(rng)
    constants: dict[str, Any] = {
        "xs": x_scale,
        "xz": zero(rng, dtype),
        "ys": np.float32(x_scale * rng.choice([1, 1, 2 ** rng.uniform(-1, 1)])),
        "yz": zero(rng, dtype),
    }
    shape = (rng.choice([1, 2]), rng.choice([1, 3, 16]), *size)
    names = ["x", "xs", "xz", "ys", "yz"]
    data = model(
        [node("QLinearAveragePool", names, ["y"], **attributes)],
        {"x": (dtype, shape)},
        {"y": dtype},
        constants,
    )
    assert differing(data, {"x": codes(rng, dtype, shape)}, tmp_path) == 0
    pools: list[tuple[str, dict[str, Any]]] = [
        ("QLinearGlobalAveragePool", {}),
        ("QLinearAveragePool", {"kernel_shape": size}),
    ]
    for op, pool in pools:
        one = node(op, names, ["y"], **pool)
        data = model([one], {"x": (dtype, shape)}, {"y": dtype}, constants)
        assert differing(data, {"x": codes(rng, dtype, shape)}, tmp_path) == 0


@pytest.mark.parametrize("op", ["QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax"])
@pytest.mark.parametrize("seed", range(40))
def test_tables(op: str, seed: int, tmp_path: Path) -> None:
    rng = Random(f"{op} {seed}")
    dtype = rng.choice(["uint8", "int8"])
    info = np.iinfo(dtype)
    attributes: dict[str, Any] = {}
    each = np.arange(info.min, info.max + 1, dtype=dtype).reshape(1, 256)
    y_scale, y_zero = scale(rng, -9, -4), zero(rng, dtype)
    if op == "QLinearLeakyRelu":
        attributes = {"alpha": rng.choice([0.01, 0.1, 0.3, 1.5])}
    if op == "QLinearSoftmax":
        attributes = {"axis": rng.choice([-1, 1]), "opset": rng.choice([11, 13])}
        each = codes(rng, dtype, (5, rng.choice([1, 2, 10, 12, 100, 1000])))
        y_scale, y_zero = (
            np.float32(1 / rng.choice([256, 255, 128, 512])),
            np.array(info.min, dtype),
        )
    constants: dict[str, Any] = {
        "xs": scale(rng, -7, -2),
        "xz": zero(rng, dtype),
        "ys": y_scale,
        "yz": y_zero,
    }
    data = model(
        [node(op, ["x", "xs", "xz", "ys", "yz"], ["y"], **attributes)],
        {"x": (dtype, each.shape)},
        {"y": dtype},
        constants,
    )
    assert differing(data, {"x": each}, tmp_path) == 0


@pytest.mark.parametrize("x_scale", [0.05, 0.1721331775188446, 0.3])
def test_softmax_beside_ties(x_scale: float, tmp_path: Path) -> None:
    """So many rows that some lie a rounding of the table away from half a code."""
    draw = np.random.default_rng(1)
    rows = draw.normal(128, 2.4 / x_scale, (400_000, 10)).clip(0, 255).astype(np.uint8)
    constants: dict[str, Any] = {
        "xs": np.float32(x_scale),
        "xz": np.uint8(3),
        "ys": np.float32(1 / 256),
        "yz": np.uint8(0),
    }
    data = model(
        [node("QLinearSoftmax", ["x", "xs", "xz", "ys", "yz"], ["y"], axis=-1, opset=13)],
        {"x": ("uint8", rows.shape)},
        {"y": "uint8"},
        constants,
    )
    assert differing(data, {"x": rows}, tmp_path) == 0


@pytest.mark.parametrize("seed", range(20))
def test_concat(seed: int, tmp_path: Path) -> None:
    rng = Random(seed)
    dtype = rng.choice(["uint8", "int8"])
    shapes = [(1, c, 4, 5) for c in (3, 1, 4)]
    y_scale, y_zero = scale(rng), zero(rng, dtype)
    constants: dict[str, Any] = {"ys": y_scale, "yz": y_zero}
    names = ["ys", "yz"]
    feeds: dict[str, Any] = {}
    inputs: dict[str, tuple[str, tuple[int, ...]]] = {}
    for i, shape in enumerate(shapes):
        same = rng.random() < 0.4
        constants[f"s{i}"] = y_scale if same else np.float32(y_scale * 2 ** rng.uniform(-2, 2))
        constants[f"z{i}"] = y_zero if same else zero(rng, dtype)
        names += [f"x{i}", f"s{i}", f"z{i}"]
        feeds[f"x{i}"], inputs[f"x{i}"] = codes(rng, dtype, shape), (dtype, shape)
    data = model([node("QLinearConcat", names, ["y"], axis=1)], inputs, {"y": dtype}, constants)
    assert differing(data, feeds, tmp_path) == 0
