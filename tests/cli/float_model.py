"""A small float network and its data as files, for the tests of `bitlane quantize`."""

from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.ops.onnx_runtime import model, node
from tests.test_float_onnx import reals


def float_model(*, batch_norm: bool = False) -> bytes:
    """Two convolutions with ReLU, a pool, a product, a softmax; `x` (1, 3, 8, 8), `y` (1, 5)."""
    draw, numbers = Random(7), np.random.default_rng(7)
    constants: dict[str, NDArray[Any]] = {
        "w0": reals(draw, (8, 3, 3, 3), 27),
        "w1": reals(draw, (8, 8, 3, 3), 72),
        "w2": reals(draw, (128, 5), 128),
        "b2": reals(draw, (5,)),
    }
    for k in (0, 1):
        constants |= {
            f"gamma{k}": numbers.uniform(0.5, 1.5, 8).astype(np.float32),
            f"beta{k}": numbers.normal(0, 0.5, 8).astype(np.float32),
            f"mean{k}": numbers.normal(0, 0.1, 8).astype(np.float32),
            f"variance{k}": numbers.uniform(0.5, 1.5, 8).astype(np.float32),
        }
    nodes = []
    for k, x in ((0, "x"), (1, "r0")):
        nodes.append(node("Conv", [x, f"w{k}"], [f"c{k}"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        if batch_norm:
            parameters = [f"{what}{k}" for what in ("gamma", "beta", "mean", "variance")]
            nodes.append(node("BatchNormalization", [f"c{k}", *parameters], [f"n{k}"]))
        nodes.append(node("Relu", [f"n{k}" if batch_norm else f"c{k}"], [f"r{k}"]))
    nodes += [
        node("MaxPool", ["r1"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w2", "b2"], ["logits"]),
        node("Softmax", ["logits"], ["y"]),
    ]
    used = {name for one in nodes for name in one.input}
    held = {name: value for name, value in constants.items() if name in used}
    return model(nodes, {"x": ("float32", (1, 3, 8, 8))}, {"y": "float32"}, held)


def data(count: int = 40) -> Mapping[str, NDArray[Any]]:
    """Standard normal samples of `x`."""
    draw = np.random.default_rng(11)
    return {"x": draw.standard_normal((count, 3, 8, 8)).astype(np.float32)}


def fill(folder: Path) -> None:
    """`net.onnx`, `normed.onnx` with batch norms, and `data.npz`."""
    (folder / "net.onnx").write_bytes(float_model())
    (folder / "normed.onnx").write_bytes(float_model(batch_norm=True))
    np.savez(folder / "data.npz", x=data()["x"])
