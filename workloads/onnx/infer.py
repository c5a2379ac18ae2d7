"""Types of every tensor and values of those that are known: ONNX's own inference and evaluator."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import onnx.defs
import onnx.shape_inference
from onnx import NodeProto, TensorProto, TypeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from simulator.errors import BitlaneError, IllegalGraph, Unsupported
from simulator.graph import Array
from workloads.onnx.grids import pooled_size
from workloads.onnx.load import element_name
from workloads.onnx.model import Model, OnnxNode, Tensor, in_order, storage, stored

GRIDS: Final = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
"""Never evaluated here: what becomes of them is a dialect's matter."""

STANDS_FOR: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
    "QLinearLeakyRelu": ("LeakyRelu", (0,)),
    "QLinearSoftmax": ("Softmax", (0,)),
    "QGemm": ("Gemm", (0, 3)),
    "MatMulIntegerToFloat": ("MatMul", (0, 1)),
}
"""Operators outside the standard: the standard one with their shapes, and its inputs in theirs."""

KEEPS_SHAPE: Final = (
    *("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold", "RequantShift"),
    *("QuantizeLinear", "DequantizeLinear"),
)
_NOT_SHAPES: Final = ("channels_last", "opset", "alpha", "beta")
_SMALL: Final = 4096
"""Constants up to this many elements are shown to shape inference."""


def complete(model: Model) -> None:
    """Sort the nodes, evaluate what is known, type every tensor; `model` is changed in place.

    Raises IllegalGraph, Unsupported or BadFile with the node that is at fault.
    """
    kept = []
    for node in in_order(model.nodes, {*model.inputs, *model.constants}):
        values = _value_of(node, model)
        if values is None:
            _type_outputs(node, model)
            kept.append(node)
            continue
        for name, value in zip(node.outputs, values, strict=False):
            if name:
                element = element_name(helper.np_dtype_to_tensor_dtype(value.dtype))
                model.constants[name] = stored(value, element)
                model.types[name] = Tensor(element, value.shape)
                if node.op == "Cast" and value.dtype.kind in "iu":
                    _keep_width(node.inputs[0], name, model)
    model.nodes = kept
    for name in model.outputs:
        if name not in model.types:
            raise IllegalGraph(f"{model.name}: graph output '{name}' is never computed")


def _keep_width(source: str, target: str, model: Model) -> None:
    """Integers that are cast to a wider type need no more bits than before."""
    kind, made = model.types[source], model.types[target]
    signs = [storage(k.element)[0][0] for k in (kind, made)]
    if signs[0] in "iu" and signs[0] == signs[1] and model.bits(source) < model.bits(target):
        model.widths[target] = model.bits(source)


def _value_of(node: OnnxNode, model: Model) -> list[Array] | None:
    """The outputs of a node whose inputs are all known; None where they are not."""
    if node.op == "Shape" and not node.domain:
        shape = model.types[node.required(0)].shape
        start, end = node.get("start", 0), node.get("end", len(shape))
        return [np.array(shape[start:end], dtype=np.int64)]
    if node.domain or node.op in GRIDS:
        return None
    if not all(name in model.constants for name in node.inputs if name):
        return None
    if not node.inputs and node.op not in ("Constant",):
        raise Unsupported(f"{node.place}: it makes values out of nothing; store them instead")
    feeds = {name: model.constants[name] for name in node.inputs if name}
    try:
        graph = helper.make_graph(
            [_proto(node, model)],
            "one",
            [helper.make_empty_tensor_value_info(name) for name in feeds],
            [helper.make_empty_tensor_value_info(name) for name in node.outputs if name],
        )
        opsets = [helper.make_opsetid("", model.opset)]
        with np.errstate(all="ignore"):
            evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets))
            results = evaluator.run(None, feeds)
    except Exception as error:
        # The evaluator raises whatever its numpy code does.
        reason = " ".join(str(error).split())[:160]
        raise IllegalGraph(f"{node.place}: it cannot be evaluated ({reason})") from None
    return [np.asarray(value) for value in results]


def _type_outputs(node: OnnxNode, model: Model) -> None:
    try:
        found = _custom_types(node, model) if _is_custom(node) else _standard_types(node, model)
    except BitlaneError:
        raise
    except Exception as error:
        # InferenceError and what protobuf makes of damaged attributes.
        reason = " ".join(str(error).split())[:200]
        raise IllegalGraph(f"{node.place}: its shapes do not fit ({reason})") from None
    for name in node.outputs:
        if name and name not in found:
            raise Unsupported(f"{node.place}: the type of '{name}' cannot be inferred")
    for name, kind in found.items():
        try:
            storage(kind.element)
        except Unsupported as error:
            raise Unsupported(f"{node.place}, '{name}': {error}") from None
        model.types[name] = kind


def _is_custom(node: OnnxNode) -> bool:
    return bool(node.domain) or node.op in ("QuantizeLinear", "DequantizeLinear")


def _custom_types(node: OnnxNode, model: Model) -> dict[str, Tensor]:
    first = model.types[node.required(0)]
    if node.op in ("QuantizeLinear", "DequantizeLinear"):
        return {node.outputs[0]: Tensor(_grid_element(node, model), first.shape)}
    if node.op in KEEPS_SHAPE:
        return {node.outputs[0]: first}
    if node.op == "QLinearConcat":
        places = tuple(range(2, len(node.inputs), 3))
        stand_in, last = "Concat", model.types[node.required(1)].element
    elif node.op in STANDS_FOR:
        (stand_in, places), last = STANDS_FOR[node.op], first.element
        if node.op == "MatMulIntegerToFloat" or (node.op == "QGemm" and not node.input(7)):
            last = "float"
    else:
        raise Unsupported(
            f"{node.place}: operator {node.domain}.{node.op} is not supported; "
            "export the model with standard operators"
        )
    attributes = {k: v for k, v in node.attributes.items() if k not in _NOT_SHAPES}
    surrogate = replace(
        node,
        op=stand_in,
        domain="",
        inputs=tuple(node.required(i) for i in places),
        attributes=attributes,
    )
    floats = {name: Tensor("float", model.types[name].shape) for name in surrogate.inputs}
    return {
        name: Tensor(last, kind.shape)
        for name, kind in _infer(surrogate, model, {**model.types, **floats}).items()
    }


def _grid_element(node: OnnxNode, model: Model) -> str:
    """The output element type of QuantizeLinear and DequantizeLinear."""
    if node.op == "DequantizeLinear":
        return model.types[node.required(1)].element
    if node.input(2):
        return model.types[node.input(2)].element
    chosen = node.get("output_dtype", 0)
    return element_name(chosen) if chosen else "uint8"


def _standard_types(node: OnnxNode, model: Model) -> dict[str, Tensor]:
    return _infer(node, model, model.types)


def _infer(node: OnnxNode, model: Model, types: Mapping[str, Tensor]) -> dict[str, Tensor]:
    schema = onnx.defs.get_schema(node.op, model.opset, "")
    known = {
        name: numpy_helper.from_array(model.constants[name], name)
        for name in node.inputs
        if name in model.constants and model.constants[name].size <= _SMALL
        if types[name].element in ("float", "int64", "int32", "bool")
    }
    outputs = onnx.shape_inference.infer_node_outputs(
        schema,
        _proto(node, model),
        {name: _type_proto(types[name]) for name in node.inputs if name},
        known,
        opset_imports=[helper.make_opsetid("", model.opset)],
    )
    found = {name: _tensor(kind, f"{node.place}, '{name}'") for name, kind in outputs.items()}
    if node.get("ceil_mode", 0):
        # ONNX 1.23.2 counts a last window that starts in the padding behind; runtimes do not.
        image = types[node.required(0)].shape
        name, kind = node.outputs[0], found[node.outputs[0]]
        shape = (*kind.shape[:2], *pooled_size(node, image))
        found[name] = Tensor(kind.element, shape)
    return found


def _proto(node: OnnxNode, model: Model) -> NodeProto:
    attributes = {
        key: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for key, value in node.attributes.items()
    }
    return helper.make_node(node.op, node.inputs, node.outputs, **attributes)


def _type_proto(kind: Tensor) -> TypeProto:
    code = TensorProto.DataType.Value(kind.element.upper())
    return helper.make_tensor_type_proto(code, kind.shape)


def _tensor(kind: TypeProto, place: str) -> Tensor:
    found = kind.tensor_type
    dims = found.shape.dim
    if not kind.HasField("tensor_type") or not found.HasField("shape"):
        raise Unsupported(f"{place}: its shape is not known before it runs; fix it in the file")
    if not all(dim.HasField("dim_value") for dim in dims):
        raise Unsupported(f"{place}: its shape is not known before it runs; fix it in the file")
    return Tensor(element_name(found.elem_type), tuple(int(dim.dim_value) for dim in dims))
