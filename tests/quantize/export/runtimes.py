"""An exported model in ONNX Runtime and here, tensor by tensor."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto

from simulator.execute import run
from simulator.graph import Array, Graph
from tests.ops.onnx_runtime import runtime

LEVELS = {"onnxruntime": True, "onnxruntime-unfused": False}
"""Dialects, and whether ONNX Runtime optimizes."""


@dataclass(frozen=True)
class Compared:
    """Differing values and all of them: of the graph outputs, and of all tensors both give."""

    outputs: tuple[int, int]
    tensors: tuple[int, int]


def compared(proto: ModelProto, graph: Graph, samples: Array) -> Compared:
    """Outputs of the model as it is, and then with each tensor of codes as one more output."""
    name = proto.graph.input[0].name
    optimized = LEVELS[graph.dialect]
    wide = with_codes(proto)
    counts = np.zeros((2, 2), np.int64)
    for x in samples:
        mine = every(graph, x)
        for row, given in enumerate((proto, wide)):
            names = [value.name for value in given.graph.output]
            theirs = runtime(given.SerializeToString(), {name: x}, optimized=optimized)
            for tensor, value in zip(names, theirs, strict=True):
                if tensor in mine:
                    assert mine[tensor].shape == value.shape
                    counts[row] += np.count_nonzero(mine[tensor] != value), value.size
    return Compared((int(counts[0, 0]), int(counts[0, 1])), (int(counts[1, 0]), int(counts[1, 1])))


def every(graph: Graph, x: Array) -> dict[str, Array]:
    """Every tensor of a run, by its name in the file."""
    found = dict[str, Array]()

    def keep(node: object, _: object, results: Sequence[Array]) -> None:
        for name, value in zip(node.outputs, results, strict=False):  # type: ignore[attr-defined]
            key, held = graph.as_in_file(name, value)
            found[key] = held.copy()

    outputs, _ = run(graph, {graph.inputs[0]: x}, tap=keep)
    return {**found, **outputs}


def with_codes(proto: ModelProto) -> ModelProto:
    """The model with the codes of every quantized tensor among its outputs."""
    made = ModelProto()
    made.CopyFrom(proto)
    elements = {value.name: value.data_type for value in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type in ("QuantizeLinear", "Clip") and len(node.input) == 3:
            kind = elements[node.input[2]]
            if kind != onnx.TensorProto.FLOAT:
                made.graph.output.append(
                    onnx.helper.make_tensor_value_info(node.output[0], kind, None)
                )
    return made
