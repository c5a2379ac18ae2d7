"""From a plan to an ONNX model, operator by operator.

Read in this order: `onnx_writer` (nodes, constants, names), `onnx_values` (the tensors of a graph
as values of a file: layout, quantizers), `onnx_layers`, `onnx_elementwise`, `onnx_moves`,
`onnx_pools` (one function an operator), this, `carriers` (which integer type holds a grid), then
the two formats: `qdq`, `qonnx`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from onnx import ModelProto

from simulator.errors import Unsupported
from simulator.graph import Graph, Node
from simulator.ops.float_average_pool import FloatAveragePool
from workloads.quantize.export import onnx_elementwise as elementwise
from workloads.quantize.export import onnx_layers as layers
from workloads.quantize.export import onnx_moves as moves
from workloads.quantize.export import onnx_pools as pools
from workloads.quantize.export.onnx_values import Quantizers, Values
from workloads.quantize.ptq.plan import Plan

Emitter = Callable[[Values, Node], None]

EMITTERS: Final[Mapping[str, Emitter]] = MappingProxyType(
    {
        "float_conv_2d": layers.convolution,
        "float_fully_connected": layers.fully_connected,
        "float_matmul": layers.matrix_product,
        "max_pool": pools.max_pool,
        "float_average_pool": pools.average_pool,
        "float_reduce": pools.reduction,
        "float_resize": pools.resize,
        "resize_nearest_neighbor": pools.resize_nearest,
        **dict.fromkeys(("arithmetic", "maximum", "minimum"), elementwise.binary),
        **dict.fromkeys(("float_unary", "logistic", "tanh", "neg"), elementwise.unary),
        **dict.fromkeys(("softmax", "float_softmax", "log_softmax"), elementwise.softmax),
        "batch_normalization": elementwise.batch_normalization,
        "cast": elementwise.cast,
        **dict.fromkeys(("reshape", "squeeze", "expand_dims"), moves.reshape),
        "transpose": moves.transpose,
        "concatenation": moves.concatenation,
        "pack": moves.pack,
        "pad": moves.pad,
        **dict.fromkeys(("slice", "strided_slice"), moves.slice_),
        **dict.fromkeys(("split", "split_v", "unpack"), moves.split),
        "gather": moves.gather,
        **dict.fromkeys(("tile", "broadcast_to"), moves.repeat),
        **dict.fromkeys(("depth_to_space", "space_to_depth"), moves.blocks),
    }
)
"""What writes a node, by the kind of its operator."""


def to_model(
    plan: Plan, quantizers: Quantizers, opset: int, domains: Mapping[str, int]
) -> ModelProto:
    """The model of a plan; raises Unsupported, naming the node, for what ONNX does not have."""
    graph = plan.graph
    wide = next((n for n, kind in graph.tensors.items() if kind.dtype == "float64"), None)
    if wide is not None or graph.variables:
        what = f"tensor '{wide}' is float64" if wide is not None else "it keeps variables"
        raise Unsupported(f"{graph.name}: {what}; export the float32 network without state")
    values = Values(plan, quantizers, max(opset, _least_opset(graph)))
    for node in graph.nodes:
        if node.op.kind not in EMITTERS:
            known = ", ".join(sorted(EMITTERS))
            raise values.refuse(node, f"it has no form in ONNX here. There are: {known}.")
        EMITTERS[node.op.kind](values, node)
    values.finish()
    types = graph.tensors
    return values.writer.model(
        graph.name,
        {file: (types[name].dtype, types[name].shape) for name, file in values.inputs.items()},
        {file: (types[name].dtype, types[name].shape) for name, file in values.outputs.items()},
        domains,
    )


def _least_opset(graph: Graph) -> int:
    """The operator set that its operators ask for."""
    ops = [node.op for node in graph.nodes]
    if any(isinstance(op, FloatAveragePool) and op.windows.dilation != (1, 1) for op in ops):
        return pools.DILATED_AVERAGES
    swish = any(getattr(op, "function", "") == "hard_swish" for op in ops)
    return elementwise.HARD_SWISH_OPSET if swish else 0
