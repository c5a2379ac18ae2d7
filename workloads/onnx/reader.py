"""Read an `.onnx` file into a Graph: QOperator, QDQ, QONNX and RequantShift graphs.

Facts: ONNX 1.23.2 (operators to opset 28), ONNX Runtime 1.31.1, qonnx 1.0.0, PULP Deeploy
bf64cfaec26e.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from onnx import ModelProto

from simulator.errors import BitlaneError, Unsupported
from simulator.graph import Graph
from simulator.numeric.dialect import Dialect
from simulator.numeric.dialect import dialect as find_dialect
from workloads.onnx import floats, integers, movement, qonnx, quantized, rearrange
from workloads.onnx.build import Builder
from workloads.onnx.clamps import fold_clamps
from workloads.onnx.fuse import fuse
from workloads.onnx.infer import complete
from workloads.onnx.load import checked, load
from workloads.onnx.model import Model, OnnxNode, Tensor
from workloads.onnx.resize import resize

Converter = Callable[[Builder, OnnxNode], None]

QONNX_OPS: Final = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold")

CONVERTERS: Final[Mapping[str, Converter]] = MappingProxyType(
    {
        "QuantizeLinear": quantized.linear,
        "DequantizeLinear": quantized.linear,
        "DynamicQuantizeLinear": quantized.dynamic,
        "QLinearConv": quantized.conv,
        "QLinearMatMul": quantized.matmul,
        "QGemm": quantized.gemm,
        "MatMulIntegerToFloat": quantized.matmul_to_float,
        "QLinearAdd": quantized.add,
        "QLinearMul": quantized.mul,
        "QLinearAveragePool": quantized.average_pool,
        "QLinearGlobalAveragePool": quantized.global_average_pool,
        "QLinearSigmoid": quantized.sigmoid,
        "QLinearLeakyRelu": quantized.leaky_relu,
        "QLinearSoftmax": quantized.softmax,
        "QLinearConcat": quantized.concat,
        "ConvInteger": floats.conv_integer,
        "MatMulInteger": floats.matmul_integer,
        "Conv": floats.conv,
        "MatMul": floats.matmul,
        "Gemm": floats.gemm,
        "MaxPool": floats.max_pool,
        "AveragePool": floats.average_pool,
        "GlobalAveragePool": floats.global_average_pool,
        "GlobalMaxPool": floats.max_pool,
        "BatchNormalization": floats.batch_normalization,
        "Softmax": floats.softmax,
        "LogSoftmax": floats.softmax,
        "Cast": floats.cast,
        "Clip": floats.clip,
        **dict.fromkeys(floats.ARITHMETIC, floats.arithmetic),
        **dict.fromkeys(floats.UNARY, floats.unary),
        **dict.fromkeys(floats.REDUCTIONS, floats.reduction),
        **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), movement.reshape),
        **dict.fromkeys(("Identity", "Dropout"), movement.identity),
        "Transpose": movement.transpose,
        "Gather": movement.gather,
        "Pad": movement.pad,
        "Slice": movement.slice_,
        "Split": movement.split,
        "Concat": movement.concat,
        **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), rearrange.blocks),
        **dict.fromkeys(("ArgMax", "ArgMin"), rearrange.extreme),
        "Expand": rearrange.expand,
        "Tile": rearrange.tile,
        "Resize": resize,
        "Quant": qonnx.quant,
        "IntQuant": qonnx.quant,
        "BipolarQuant": qonnx.bipolar_quant,
        "Trunc": qonnx.trunc,
        "MultiThreshold": qonnx.multi_threshold,
    }
)
"""What turns a node into graph nodes, by ONNX operator."""


def read(path: Path, dialect: Dialect | None = None) -> Graph:
    """The file's graph, its arithmetic that of `dialect` (by default what its operators call for).

    Raises BadFile where the bytes are no ONNX model, IllegalGraph or Unsupported with file and node
    where the graph cannot run here.
    """
    return _graph(load(path), dialect)


def from_model(proto: ModelProto, name: str, dialect: str | None = None) -> Graph:
    """The graph of a model in memory that holds its constants; `name` stands for the file's.

    Raises as `read`.
    """
    copied = ModelProto()
    copied.CopyFrom(proto)
    return _graph(checked(copied, name), None if dialect is None else find_dialect(dialect))


def types_of(proto: ModelProto, name: str) -> dict[str, Tensor]:
    """Element type and shape of what each node of a model in memory gives, by name."""
    copied = ModelProto()
    copied.CopyFrom(proto)
    model = checked(copied, name)
    outputs = [output for node in model.nodes for output in node.outputs if output]
    complete(model)
    return {output: model.types[output] for output in outputs if output not in model.outputs}


def _graph(model: Model, dialect: Dialect | None) -> Graph:
    chosen = dialect or find_dialect(default_dialect(model))
    complete(model)
    if chosen.form("qdq", "float") != "float":
        fuse(model, unsigned=chosen.form("qdq", "float") == "unsigned")
    fold_clamps(model)
    builder = Builder(model, chosen)
    if chosen.form("carrier", "file") == "integers":
        return _integer_graph(builder)
    for node in model.nodes:
        _convert(builder, node, CONVERTERS)
    return builder.graph()


def default_dialect(model: Model) -> str:
    """`qonnx` or `pulp` where the file holds their quantizers, else `onnxruntime`."""
    kinds = {node.op for node in model.nodes}
    if "RequantShift" in kinds:
        return "pulp"
    return "qonnx" if kinds.intersection(QONNX_OPS) else "onnxruntime"


def _convert(builder: Builder, node: OnnxNode, converters: Mapping[str, Converter]) -> None:
    if node.op not in converters:
        known = ", ".join(sorted(converters))
        raise Unsupported(
            f"{node.place}: operator {node.op} is not supported in dialect "
            f"{builder.dialect.name}. Supported: {known}."
        )
    try:
        converters[node.op](builder, node)
    except BitlaneError as error:
        text = str(error)
        if not text.startswith(builder.model.name):
            raise type(error)(f"{node.place}: {text}") from None
        raise


def _integer_graph(builder: Builder) -> Graph:
    """A graph whose float tensors hold integers: those run, between casts at the border."""
    border = OnnxNode(0, "Cast", (), (), place=builder.model.name)
    names = integers.renames(builder)
    integers.enter(builder, border)
    for node in builder.model.nodes:
        inside = replace(
            node,
            inputs=tuple(names.get(n, n) for n in node.inputs),
            outputs=tuple(names.get(n, n) for n in node.outputs),
        )
        _convert(builder, inside, integers.CONVERTERS)
    integers.leave(builder, replace(border, index=len(builder.model.nodes)))
    return builder.graph()
