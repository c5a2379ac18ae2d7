"""Small convolutional networks of one and two bits in QONNX, made from a seed.

Scales are powers of two, so that float32 holds every sum exactly and each executor has one answer.
"""

from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIZE: Final = (1, 3, 12, 12)
"""The input, NCHW."""
KINDS: Final = ("bipolar", "ternary", "bipolar weights", "two bits")
"""What weights and activations are: {-1, 1}, {-1, 0, 1}, the one on the other, 2 bits."""
LAYERS: Final = ((3, 16, 3, 1, 1), (16, 24, 3, 1, 1), (24, 24, 3, 2, 24), (24, 40, 1, 1, 1))
"""Channels in and out, kernel, stride and groups."""


class Network:
    """Collects nodes and constants; every tensor has a name."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self.rng = kind, np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        made = helper.make_node(op, inputs, [name], f"n{len(self.nodes)}", **attributes)
        self.nodes.append(made)
        return name

    def quant(self, x: str, scale: float, bits: int, *, signed: bool, narrow: bool) -> str:
        names = [x, *(self.constant(v) for v in (scale, 0.0, bits))]
        options = {"signed": int(signed), "narrow": int(narrow), "rounding_mode": "ROUND"}
        return self.node("Quant", names, domain="qonnx.custom_op.general", **options)

    def bipolar(self, x: str, scale: float) -> str:
        names = [x, self.constant(scale)]
        return self.node("BipolarQuant", names, domain="qonnx.custom_op.general")

    def weights(self, shape: tuple[int, ...]) -> str:
        drawn = self.constant(self.rng.normal(0, 0.5, shape))
        if self.kind in ("bipolar", "bipolar weights"):
            return self.bipolar(drawn, 0.5)
        return self.quant(drawn, 0.5, 2, signed=True, narrow=self.kind == "ternary")

    def activations(self, x: str) -> str:
        if self.kind == "bipolar":
            return self.bipolar(x, 0.25)
        if self.kind == "two bits":
            return self.quant(self.node("Relu", [x]), 0.5, 2, signed=False, narrow=False)
        return self.quant(x, 0.5, 2, signed=True, narrow=True)

    def normalized(self, x: str, channels: int) -> str:
        shape = (1, channels, 1, 1)
        factor = self.constant(2.0 ** self.rng.integers(-3, 0, shape))
        shift = self.constant(self.rng.integers(-8, 9, shape) / 16 + 1 / 64)
        return self.node("Add", [self.node("Mul", [x, factor]), shift])


def model(kind: str, seed: int = 3) -> Any:
    """The network as a ModelProto: input x `SIZE`, output (1, 5); the padding is zeros."""
    n = Network(kind, seed)
    x = n.quant("x", 2.0**-4, 8, signed=True, narrow=False)
    for before, after, size, stride, groups in LAYERS:
        w = n.weights((after, before // groups, size, size))
        sizes = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [size // 2] * 4}
        x = n.node("Conv", [x, w], group=groups, **sizes)
        x = n.activations(n.normalized(x, after))
    x = n.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = n.node("Flatten", [x])
    x = n.node("MatMul", [x, n.weights((40 * 9, 5))])
    graph = helper.make_graph(
        n.nodes,
        f"convolutions_{kind.replace(' ', '_')}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SIZE)],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 5])],
        n.constants,
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
