"""From the bytes of an `.onnx` file to a `Model`: every way a file can be bad is refused here."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.checker
import onnx.defs
import onnx.external_data_helper
import onnx.inliner
from onnx import ModelProto, TensorProto, numpy_helper

from simulator.errors import BadFile, IllegalGraph, Unsupported
from simulator.graph import Array
from workloads.onnx.model import Model, OnnxNode, Tensor, storage, stored

STANDARD: Final = ("", "ai.onnx")
CUSTOM: Final = "bitlane.custom"
"""Where nodes go that exporters put in the default domain without being ONNX's."""

HOMELESS: Final = ("Quant", "IntQuant", "BipolarQuant", "Trunc", "MultiThreshold", "RequantShift")
"""Operators that occur in the default domain although ONNX has none of that name."""


def load(path: Path) -> Model:
    """The main graph of a file. Raises BadFile, IllegalGraph or Unsupported, one line each."""
    proto = _parse(path)
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    _load_external(proto, path)
    return checked(proto, path.name)


def checked(proto: ModelProto, name: str) -> Model:
    """The main graph of a model without functions and external data; `proto` is changed."""
    _settle_domains(proto, name)
    for value in proto.graph.output:
        # A shape that is left out is inferred here; the checker asks for some.
        value.type.tensor_type.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = " ".join(str(error).split("==>")[0].split())
        raise IllegalGraph(f"{name}: the ONNX checker refuses it: {reason}") from None
    return _model(proto, name)


def _parse(path: Path) -> ModelProto:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadFile(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if not data:
        raise BadFile(f"{path}: the file is empty; export the model again")
    try:
        proto = onnx.load_model_from_string(data)
    except Exception:
        # protobuf's DecodeError, which has no stable home to import it from.
        raise BadFile(
            f"{path}: not an ONNX model, or a truncated one: its {len(data)} bytes are no complete "
            "protobuf; fetch or export it again"
        ) from None
    if not proto.HasField("graph") or not proto.graph.node:
        raise BadFile(f"{path}: not an ONNX model: it holds no graph of nodes; give an .onnx file")
    _check_names(proto, path)
    return proto


def _check_names(proto: ModelProto, path: Path) -> None:
    """Refuse names that no exporter writes: they are what damaged bytes look like."""
    try:
        graph = proto.graph
        names = [entry.domain for entry in proto.opset_import]
        for value in (*graph.input, *graph.output):
            names += [value.name, *(d.dim_param for d in value.type.tensor_type.shape.dim)]
        names += [tensor.name for tensor in graph.initializer]
        for node in graph.node:
            names += [node.op_type, node.domain, *node.input, *node.output]
            names += [attribute.name for attribute in node.attribute]
        sound = all(isinstance(name, str) and name.isprintable() for name in names)
    except UnicodeDecodeError:
        sound = False
    if not sound:
        raise BadFile(f"{path}: the file is damaged: a name in it is no text; fetch it again")


def _tensors(proto: ModelProto) -> list[TensorProto]:
    found = list(proto.graph.initializer)
    for node in proto.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                found.append(attribute.t)
            found += attribute.tensors
    return found


def _load_external(proto: ModelProto, path: Path) -> None:
    """Read tensors that lie in files beside the model into it."""
    for tensor in _tensors(proto):
        if not onnx.external_data_helper.uses_external_data(tensor):
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        place = f"{path.name}, tensor '{tensor.name}'"
        try:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        except Exception as error:
            # The helper raises ValidationError, OSError and ValueError for paths, sizes, links.
            reason = " ".join(str(error).split())[:200]
            raise BadFile(
                f"{place}: its data lie in '{entries.get('location', '')}' beside the model, which "
                f"cannot be read ({reason}); put that file there"
            ) from None
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _settle_domains(proto: ModelProto, name: str) -> None:
    """Give homeless operators a domain, so that the checker looks at the rest."""
    imported = {entry.domain for entry in proto.opset_import}
    for index, node in enumerate(proto.graph.node):
        if node.domain in STANDARD and not onnx.defs.has(node.op_type):
            if node.op_type not in HOMELESS:
                raise Unsupported(
                    f"{name}, node {index} ({node.op_type}): ONNX has no such operator; "
                    "export the model with standard ones"
                )
            node.domain = CUSTOM
        if node.domain not in imported and node.domain not in STANDARD:
            proto.opset_import.add(domain=node.domain, version=1)
            imported.add(node.domain)


def _model(proto: ModelProto, name: str) -> Model:
    graph = proto.graph
    constants, types = dict[str, Array](), dict[str, Tensor]()
    widths = dict[str, int]()
    for tensor in graph.initializer:
        constants[tensor.name], types[tensor.name] = _constant(tensor, f"{name}, '{tensor.name}'")
        stated = _stated_bits(tensor, constants[tensor.name])
        if stated:
            widths[tensor.name] = stated
    if graph.sparse_initializer:
        raise Unsupported(f"{name}: sparse constants are not supported; store them dense")
    inputs = [value for value in graph.input if value.name not in constants]
    for value in inputs:
        types[value.name] = _fixed_type(value, name)
    opsets = [entry.version for entry in proto.opset_import if entry.domain in STANDARD]
    return Model(
        name=name,
        opset=max(opsets, default=1),
        nodes=[_node(node, i, name) for i, node in enumerate(graph.node)],
        inputs=tuple(value.name for value in inputs),
        outputs=tuple(value.name for value in graph.output),
        types=types,
        constants=constants,
        widths=widths,
    )


def _stated_bits(tensor: TensorProto, value: Array) -> int:
    """The width that the metadata of integer codes state, 0 where they state none that holds them.

    Exporters of ours write it where no element type is as narrow as the codes.
    """
    text = next((entry.value for entry in tensor.metadata_props if entry.key == "bits"), "")
    if value.dtype.kind not in "iu" or not text.isdecimal() or len(text) > 2:
        return 0
    bits = int(text)
    low, high = int(value.min(initial=0)), int(value.max(initial=0))
    signed = value.dtype.kind == "i"
    need = max((-low - 1).bit_length(), high.bit_length()) + 1 if signed else high.bit_length()
    return bits if need <= bits else 0


def _node(node: Any, index: int, name: str) -> OnnxNode:
    place = f"{name}, node {index} ({node.op_type})"
    attributes = {}
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            raise IllegalGraph(
                f"{place}: attribute '{attribute.name}' refers to a function's; the node is in "
                "none. Export the model again"
            )
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, TensorProto):
            value = _constant(value, place)[0]
        elif isinstance(value, bytes):
            text = value.decode(errors="replace")
            value = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
        elif attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            raise Unsupported(f"{place}: nodes with graphs inside are not supported; unroll them")
        attributes[attribute.name] = value
    domain = "" if node.domain in STANDARD else node.domain
    inputs, outputs = tuple(node.input), tuple(node.output)
    return OnnxNode(index, node.op_type, inputs, outputs, attributes, domain, place)


def element_name(data_type: int) -> str:
    """ONNX's name of an element type, lower case; its number where it has none."""
    if data_type not in TensorProto.DataType.values():
        return f"number {data_type}"
    return str(TensorProto.DataType.Name(data_type)).lower()


def _constant(tensor: TensorProto, place: str) -> tuple[Array, Tensor]:
    try:
        element = element_name(tensor.data_type)
        storage(element)
        value = stored(np.asarray(numpy_helper.to_array(tensor)), element)
    except Unsupported as error:
        raise Unsupported(f"{place}: {error}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadFile(f"{place}: its data are damaged ({reason}); export it again") from None
    return value, Tensor(element, value.shape)


def _fixed_type(value: Any, name: str) -> Tensor:
    place = f"{name}, input '{value.name}'"
    if not value.type.HasField("tensor_type"):
        raise Unsupported(f"{place}: only tensors are supported; found a sequence or map")
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        raise Unsupported(f"{place}: it has no shape; export the model with fixed shapes")
    shape = []
    for axis, dim in enumerate(kind.shape.dim):
        if not dim.HasField("dim_value") or dim.dim_value < 0:
            symbol = dim.dim_param or "?"
            raise Unsupported(
                f"{place}: dimension {axis} is '{symbol}', not a number; fix it "
                "(onnx.tools.update_model_dims) and save the model again"
            )
        shape.append(int(dim.dim_value))
    try:
        storage(element_name(kind.elem_type))
    except Unsupported as error:
        raise Unsupported(f"{place}: {error}") from None
    return Tensor(element_name(kind.elem_type), tuple(shape))
