"""A W4A4 network of ResNet-8's shape in QONNX, made from a seed: the one both engines run.

Run as a program (``python qonnx_network.py MODEL.onnx INPUT.npy RUNS``) it times QONNX's own
executor, in the environment that QONNX needs; it imports nothing of this project.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BLOCKS = ((16, 16, 1), (16, 32, 2), (32, 64, 2))
"""Channels in, channels out and stride of the three residual blocks (MLPerf Tiny ResNet-8)."""


class _Network:
    """Collects nodes and initializers; every tensor has a name."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        """An initializer."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """One output of an operator."""
        from onnx import helper

        name = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [name], f"n{len(self.nodes)}", **attributes)
        )
        return name

    def quant(self, x: str, scale: float, *, signed: bool) -> str:
        """Four bits."""
        names = [x, self.constant(scale), self.constant(0.0), self.constant(4.0)]
        options = {"signed": int(signed), "narrow": int(signed), "rounding_mode": "ROUND"}
        return self.node("Quant", names, domain="qonnx.custom_op.general", **options)

    def convolution(self, x: str, channels: tuple[int, int], size: int, stride: int) -> str:
        """Quantized weights, no bias."""
        shape = (channels[1], channels[0], size, size)
        w = self.quant(self.constant(self.rng.normal(0, 1, shape)), 0.3, signed=True)
        pads = [0] * 4
        if size == 3:
            # As TFLite's SAME: a stride of 2 on an even size pads behind only.
            pads = [1, 1, 1, 1] if stride == 1 else [0, 0, 1, 1]
        return self.node("Conv", [x, w], kernel_shape=[size] * 2, strides=[stride] * 2, pads=pads)

    def activation(self, x: str) -> str:
        """ReLU on an unsigned grid."""
        return self.quant(self.node("Relu", [x]), 0.7, signed=False)


def model(seed: int = 8) -> Any:
    """The network as an onnx ModelProto: input x (1, 3, 32, 32), output (1, 10)."""
    from onnx import TensorProto, helper

    n = _Network(seed)
    x = n.quant("x", 0.1, signed=True)
    x = n.activation(n.convolution(x, (3, 16), 3, 1))
    for before, after, stride in BLOCKS:
        y = n.activation(n.convolution(x, (before, after), 3, stride))
        y = n.quant(n.convolution(y, (after, after), 3, 1), 0.7, signed=True)
        if stride > 1:
            x = n.quant(n.convolution(x, (before, after), 1, stride), 0.7, signed=True)
        x = n.activation(n.node("Add", [x, y]))
    x = n.node("GlobalAveragePool", [x])
    x = n.quant(n.node("Flatten", [x]), 0.1, signed=False)
    w = n.quant(n.constant(n.rng.normal(0, 1, (64, 10))), 0.3, signed=True)
    x = n.node("MatMul", [x, w])
    graph = helper.make_graph(
        n.nodes,
        "resnet8_w4a4",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, 10])],
        n.constants,
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def main() -> None:
    """Seconds an inference of QONNX's executor, and its output, on one line."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.util.cleanup import cleanup_model

    wrapper = cleanup_model(ModelWrapper(sys.argv[1]))
    x = np.load(sys.argv[2])
    name = wrapper.graph.input[0].name
    taken = []
    for _ in range(int(sys.argv[3]) + 1):
        started = time.process_time()
        (result,) = execute_onnx(wrapper, {name: x}).values()
        taken.append(time.process_time() - started)
    np.save(Path(sys.argv[2]).with_suffix(".out.npy"), result)
    print(min(taken[1:]))


if __name__ == "__main__":
    main()
