"""QDQ graphs against ONNX Runtime 1.31.1, with every optimization and with none: 0 differing.

Each pattern stands once for every way its activations can be typed; what the runtime does not fuse
(16-bit, int8 with two readers, unequal types) has to stay float here too.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto

from tests.ops.onnx_runtime import differing, model, node

pytest.importorskip("onnxruntime")


class Net:
    """A QDQ graph being written: each grid gets constants of its own."""

    def __init__(self, seed: str, dtype: str, opset: int = 13) -> None:
        self.rng = Random(seed)
        self.dtype = dtype
        self.opset = opset
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Any] = {}
        self.inputs: dict[str, tuple[str, tuple[int, ...]]] = {}

    def grid(self, name: str, scale: float, zero: int | None = None) -> list[str]:
        info = np.iinfo(self.dtype)
        point = self.rng.randint(info.min, info.max) if zero is None else zero
        self.constants[f"{name}_s"] = np.float32(scale)
        self.constants[f"{name}_z"] = np.array(point, self.dtype)
        return [f"{name}_s", f"{name}_z"]

    def quantized(self, name: str, grid: list[str]) -> str:
        """Q and DQ of a tensor."""
        self.nodes.append(node("QuantizeLinear", [name, *grid], [f"{name}_q"]))
        return self.dequantized(f"{name}_q", grid)

    def dequantized(self, name: str, grid: list[str]) -> str:
        result = f"{name}_d{len(self.nodes)}"
        self.nodes.append(node("DequantizeLinear", [name, *grid], [result]))
        return result

    def input(self, name: str, shape: tuple[int, ...], scale: float | None = None) -> str:
        self.inputs[name] = ("float32", shape)
        bits = np.iinfo(self.dtype).bits
        return self.quantized(name, self.grid(name, scale or 8 / 2**bits, self.middle()))

    def middle(self) -> int:
        info = np.iinfo(self.dtype)
        return self.rng.randint((info.min + info.max) // 2 - 9, (info.min + info.max) // 2 + 9)

    def weights(
        self, name: str, shape: tuple[int, ...], dtype: str = "int8", axis: int | None = None
    ) -> str:
        draw = np.random.default_rng(self.rng.getrandbits(32))
        info = np.iinfo(dtype)
        self.constants[name] = draw.integers(info.min, info.max, shape, dtype, endpoint=True)
        count = () if axis is None else (shape[axis],)
        self.constants[f"{name}_s"] = np.exp2(draw.uniform(-8, -6, count)).astype(np.float32)
        self.constants[f"{name}_z"] = np.zeros(count, dtype)
        attributes = {} if axis is None else {"axis": axis}
        grid = [f"{name}_s", f"{name}_z"]
        self.nodes.append(node("DequantizeLinear", [name, *grid], [f"{name}_d"], **attributes))
        return f"{name}_d"

    def bias(self, name: str, count: int, x: str, w: str, axis: int | None = 0) -> str:
        draw = np.random.default_rng(self.rng.getrandbits(32))
        scale = self.constants[f"{x}_s"] * self.constants[f"{w}_s"]
        self.constants[name] = draw.integers(-3000, 3000, count, dtype=np.int32)
        self.constants[f"{name}_s"] = np.asarray(scale, np.float32)
        per_channel = scale.size > 1 and axis is not None
        attributes = {"axis": axis} if per_channel else {}
        self.nodes.append(
            node("DequantizeLinear", [name, f"{name}_s"], [f"{name}_d"], **attributes)
        )
        return f"{name}_d"

    def op(self, kind: str, inputs: list[str], result: str, **attributes: Any) -> str:
        self.nodes.append(node(kind, inputs, [result], **attributes))
        return result

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name

    def differing(self, folder: Path, *outputs: str, optimized: bool) -> int:
        used = {name for n in self.nodes for name in n.input}
        data = model(
            self.nodes,
            self.inputs,
            dict.fromkeys(outputs, "float32"),
            {k: v for k, v in self.constants.items() if k in used},
            self.opset,
        )
        draw = np.random.default_rng(self.rng.getrandbits(32))
        feeds = {
            name: draw.standard_normal(shape).astype(np.float32) * np.float32(1.5)
            for name, (_, shape) in self.inputs.items()
        }
        return differing(data, feeds, folder, optimized=optimized)


IMAGE = (1, 6, 9, 8)


def conv(
    net: Net, x: str, name: str = "c", *, bias: str = "int", grid: str = "x", **more: Any
) -> str:
    """DQ, DQ (, DQ) -> Conv; a bias has the scale of the activation grid `grid` times w's."""
    axis = net.rng.choice([0, None])
    w = net.weights(f"{name}_w", (6, 6, 3, 3), axis=axis)
    inputs = [x, w]
    if bias == "int":
        inputs.append(net.bias(f"{name}_b", 6, grid, f"{name}_w"))
    if bias == "float":
        inputs.append(net.constant(f"{name}_b", np.linspace(-1, 1, 6, dtype=np.float32)))
    return net.op("Conv", inputs, name, pads=[1, 1, 1, 1], **more)


def plain_convolution(net: Net) -> list[str]:
    y = conv(net, net.input("x", IMAGE), bias=net.rng.choice(["int", "float", "none"]))
    return [net.quantized(y, net.grid("y", 0.2))]


def clamped_convolution(net: Net) -> list[str]:
    """Relu is dropped where the grid starts at zero, kept elsewhere; the same for Clip."""
    y = conv(net, net.input("x", IMAGE))
    info = np.iinfo(net.dtype)
    if net.rng.random() < 0.5:
        y = net.op("Relu", [y], "r")
    else:
        bounds = [net.constant("lo", np.float32(0)), net.constant("hi", np.float32(6))]
        y = net.op("Clip", [y, *bounds], "r")
    return [net.quantized(y, net.grid("y", 0.2, net.rng.choice([info.min, info.min + 3])))]


def residual(net: Net) -> list[str]:
    """Two readers of one tensor: int8 stays int8, and its convolutions float, on x86.

    A bias on another grid than x's times w's keeps its convolution float, too.
    """
    x = net.input("x", IMAGE)
    a = net.quantized(conv(net, x), net.grid("a", 0.15))
    grid = net.rng.choice(["a", "a", "x"])
    b = net.quantized(conv(net, a, "d", grid=grid), net.grid("b", 0.3))
    info = np.iinfo(net.dtype)
    total = net.op("Relu", [net.op("Add", [a, b], "s")], "r")
    return [net.quantized(total, net.grid("y", 0.3, info.min))]


def binary(net: Net) -> list[str]:
    a, b = net.input("a", IMAGE, 0.03), net.input("b", IMAGE, 0.05)
    kind = net.rng.choice(["Add", "Mul", "Sub", "Max"])
    return [net.quantized(net.op(kind, [a, b], "c"), net.grid("y", 0.04))]


def broadcast(net: Net) -> list[str]:
    """A constant operand with a grid of its own, on either side."""
    x = net.input("x", IMAGE, 0.03)
    w = net.weights("k", net.rng.choice([(1,), (1, 6, 1, 1)]), net.dtype)
    pair = net.rng.choice([[x, w], [w, x]])
    return [net.quantized(net.op(net.rng.choice(["Add", "Mul"]), pair, "c"), net.grid("y", 0.04))]


def joined(net: Net) -> list[str]:
    a, b = net.input("a", IMAGE, 0.03), net.input("b", (1, 2, 9, 8), 0.05)
    return [net.quantized(net.op("Concat", [a, b], "c", axis=1), net.grid("y", 0.04))]


def unary(net: Net) -> list[str]:
    choices: list[tuple[str, dict[str, Any]]] = [
        ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 2]}),
        ("AveragePool", {"kernel_shape": [9, 8]}),
        ("GlobalAveragePool", {}),
        ("LeakyRelu", {"alpha": 0.2}),
        ("Sigmoid", {}),
    ]
    kind, attributes = net.rng.choice(choices)
    y = net.op(kind, [net.input("x", IMAGE)], "c", **attributes)
    return [net.quantized(y, net.grid("y", 0.02))]


def softmax(net: Net) -> list[str]:
    info = np.iinfo(net.dtype)
    y = net.op("Softmax", [net.input("x", (3, 10))], "c", axis=-1)
    return [net.quantized(y, net.grid("y", 1 / 256, info.min))]


def moved(net: Net) -> list[str]:
    """Codes are moved without their grid where it stays the same."""
    x = net.input("x", IMAGE)
    same = ["x_s", "x_z"]
    pooled = net.op("MaxPool", [x], "p", kernel_shape=[3, 3], strides=[2, 2])
    turned = net.op("Transpose", [net.quantized(pooled, same)], "t", perm=[0, 2, 3, 1])
    shape = net.constant("k", np.array([1, -1], np.int64))
    return [net.quantized(net.op("Reshape", [net.quantized(turned, same), shape], "r"), same)]


def carried(net: Net) -> list[str]:
    """No Q and DQ between pool, reshape and matrix product: the runtime inserts them."""
    x = net.input("x", IMAGE)
    pooled = net.op("MaxPool", [x], "p", kernel_shape=[3, 3], strides=[3, 3])
    flat = net.op("Reshape", [pooled, net.constant("k", np.array([1, -1], np.int64))], "f")
    y = net.op("MatMul", [flat, net.weights("w", (36, 7))], "m")
    return [net.quantized(y, net.grid("y", 0.3))]


def carried_back(net: Net) -> list[str]:
    """Q behind a transpose behind a convolution."""
    y = conv(net, net.input("x", IMAGE))
    return [net.quantized(net.op("Transpose", [y], "t", perm=[0, 2, 3, 1]), net.grid("y", 0.2))]


def dense(net: Net) -> list[str]:
    """MatMul and Gemm, with an addend of either kind, with and without a grid behind."""
    x = net.input("x", (3, 20))
    turned = net.rng.random() < 0.5
    axis = net.rng.choice([None, 0 if turned else 1])
    w = net.weights("w", (9, 20) if turned else (20, 9), axis=axis)
    form = net.rng.choice(["gemm", "gemm int", "gemm float", "matmul", "matmul add"])
    real = net.constant("b", np.linspace(-1, 1, 9, dtype=np.float32))
    if form.startswith("matmul"):
        if turned:
            return []
        y = net.op("MatMul", [x, w], "m")
        y = net.op("Add", [y, real], "c") if form == "matmul add" else y
    else:
        inputs = [x, w]
        if form == "gemm int":
            net.constants.pop("b")
            inputs.append(net.bias("b", 9, "x", "w"))
        inputs += [real] if form == "gemm float" else []
        y = net.op("Gemm", inputs, "c", transB=int(turned))
    return [y] if net.rng.random() < 0.4 else [net.quantized(y, net.grid("y", 0.3))]


PATTERNS: list[Callable[[Net], list[str]]] = [
    plain_convolution,
    clamped_convolution,
    residual,
    binary,
    broadcast,
    joined,
    unary,
    softmax,
    moved,
    carried,
    carried_back,
    dense,
]


@pytest.mark.parametrize("optimized", [False, True], ids=["none", "all"])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16"])
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda p: p.__name__)
def test_pattern(
    pattern: Callable[[Net], list[str]], dtype: str, optimized: bool, tmp_path: Path
) -> None:
    compared = 0
    for seed in range(12):
        opset = 21 if dtype == "uint16" else 13
        net = Net(f"{pattern.__name__} {dtype} {seed}", dtype, opset)
        outputs = pattern(net)
        if outputs:
            compared += 1
            assert net.differing(tmp_path, *outputs, optimized=optimized) == 0, f"seed {seed}"
    assert compared > 5
