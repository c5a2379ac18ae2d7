"""Small ONNX models, and what ONNX Runtime and we make of them on the same inputs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from simulator.execute import run
from simulator.graph import Array, Graph
from simulator.numeric.dialect import dialect
from workloads.onnx.reader import read

ELEMENTS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int16": TensorProto.INT16,
    "uint16": TensorProto.UINT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}
Feeds = Mapping[str, Array]
Shape = tuple[int, ...]


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> NodeProto:
    """A node; QLinear* and QGemm of com.microsoft find their domain themselves."""
    ours = ("QLinearConv", "QLinearMatMul")
    microsoft = op.startswith(("QLinear", "QGemm", "MatMulIntegerTo")) and op not in ours
    domain = "com.microsoft" if microsoft else ""
    return helper.make_node(op, inputs, outputs, domain=domain, **attributes)


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, tuple[str, Shape]],
    outputs: Mapping[str, str],
    constants: Feeds,
    opset: int = 21,
) -> bytes:
    """A model; inputs by name with dtype and shape, outputs with their dtype."""
    graph = helper.make_graph(
        list(nodes),
        "one",
        [helper.make_tensor_value_info(n, ELEMENTS[d], s) for n, (d, s) in inputs.items()],
        [helper.make_tensor_value_info(n, ELEMENTS[d], None) for n, d in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return bytes(made.SerializeToString())


def runtime(data: bytes, feeds: Feeds, *, optimized: bool = False) -> list[Array]:
    """ONNX Runtime's outputs: every optimization, or none; one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, dict(feeds))]


def graph_of(data: bytes, folder: Path, *, optimized: bool = False) -> Graph:
    """Our graph in the dialect of the same optimization level."""
    path = folder / "one.onnx"
    path.write_bytes(data)
    return read(path, dialect("onnxruntime" if optimized else "onnxruntime-unfused"))


def ours(data: bytes, feeds: Feeds, folder: Path, *, optimized: bool = False) -> list[Array]:
    """Our outputs."""
    graph = graph_of(data, folder, optimized=optimized)
    outputs, _ = run(graph, {name: np.asarray(value) for name, value in feeds.items()})
    return [outputs[name] for name in graph.outputs]


def differing(data: bytes, feeds: Feeds, folder: Path, *, optimized: bool = False) -> int:
    """How many values differ in any bit between the two; shapes and dtypes must agree."""
    total = 0
    expected = runtime(data, feeds, optimized=optimized)
    got = ours(data, feeds, folder, optimized=optimized)
    for mine, theirs in zip(got, expected, strict=True):
        assert mine.shape == theirs.shape
        assert mine.dtype == theirs.dtype
        unequal = mine != theirs
        if mine.dtype.kind == "f":
            unequal &= ~(np.isnan(mine) & np.isnan(theirs))
        total += int(np.count_nonzero(unequal))
    return total


def nodes_of(data: bytes) -> list[str]:
    """The operators of a model, for messages."""
    return [n.op_type for n in onnx.load_from_string(data).graph.node]
