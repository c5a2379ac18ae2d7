"""Write a .tflite flatbuffer from plain lists of tensors and operators.

One subgraph, built through the generated functions of the `tflite` package. The operator and
its option fields keep the names of the TFLite schema (tensorflow/lite/schema/schema.fbs), and
the functions are looked up by those names: an operator whose option table carries the
operator's own name needs no line here. Not a converter: nothing is inferred, folded or quantized.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

from simulator.errors import IllegalGraph
from simulator.types import STORAGE
from workloads.tflite.tensors import pack_int4

DTYPES = ("int4", "int8", "uint8", "int16", "int32", "int64", "float32")

_FILE_IDENTIFIER = b"TFL3"
_SCHEMA_VERSION = 3
# The schema declares `force_align: 16` for Buffer.data: readers map weights in place.
_BUFFER_ALIGNMENT = 16
# Operators that share an option table, or whose table is named otherwise.
_OPTION_TABLE_OF = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_ALL": "ReducerOptions",
    "REDUCE_ANY": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "REDUCE_MIN": "ReducerOptions",
    "REDUCE_PROD": "ReducerOptions",
}
_ENUM_OF_OPTION = {
    "padding": "Padding",
    "fused_activation_function": "ActivationFunctionType",
    "weights_format": "FullyConnectedOptionsWeightsFormat",
    "mode": "MirrorPadMode",
    "quantized_bias_type": "TensorType",
    "in_data_type": "TensorType",
    "out_data_type": "TensorType",
    "out_type": "TensorType",
}


@dataclass(frozen=True, eq=False)
class TensorSpec:
    """One tensor of the file; a constant if `data` is given, an activation otherwise.

    `shape` is in elements, NHWC for feature maps; real value = scale * (code - zero_point).
    One scale quantizes the whole tensor, several quantize one slice each along `axis`; None
    writes no quantization. `data` must have exactly this shape and `dtype` (one of DTYPES; values
    of int4 come as int8, -8 to 7, and are stored two a byte).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: tuple[float, ...] | None = None
    zero_point: tuple[int, ...] | None = None
    axis: int = 0
    data: np.ndarray[Any, Any] | None = None


@dataclass(frozen=True)
class OperatorSpec:
    """One operator: its schema name ('CONV_2D'), tensor indices (-1 = absent input), options.

    `options` are fields of the operator's option table in snake_case: numbers, truth values,
    enum members by name ('SAME', 'RELU6'), sequences of numbers for vectors. A field left out
    takes the schema's default, which for strides is 0: give them. `version` is the operator
    version, by which a reader that is too old refuses a file.
    """

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    version: int = 1


def write_model(
    tensors: Sequence[TensorSpec],
    operators: Sequence[OperatorSpec],
    inputs: Sequence[int],
    outputs: Sequence[int],
) -> bytes:
    """Return the bytes of a .tflite file (schema version 3) with one subgraph.

    `operators` are in execution order; `inputs` and `outputs` index `tensors`. Buffer 0 is
    empty and shared by all activations; each constant has its own, aligned to 16 bytes.
    Raises IllegalGraph if a tensor contradicts its data, an index points nowhere, or an
    operator or option is not in the schema.
    """
    for index, tensor in enumerate(tensors):
        _check_tensor(index, tensor)
    _check_indices("subgraph", len(tensors), (*inputs, *outputs))
    for index, operator in enumerate(operators):
        place = f"node {index} ({operator.op})"
        _check_indices(place, len(tensors), operator.outputs)
        _check_indices(place, len(tensors), [i for i in operator.inputs if i != -1])

    builder = flatbuffers.Builder(1024)
    constants = [t for t in tensors if t.data is not None]
    buffers = [_table(builder, "Buffer"), *(_buffer(builder, t) for t in constants)]
    codes = list(dict.fromkeys((o.op, o.version) for o in operators))
    subgraph = _subgraph(builder, tensors, operators, codes, (inputs, outputs))
    fields = {
        "Version": _SCHEMA_VERSION,
        "OperatorCodes": _offsets(builder, [_operator_code(builder, *c) for c in codes]),
        "Subgraphs": _offsets(builder, [subgraph]),
        "Description": builder.CreateString("bitlane"),
        "Buffers": _offsets(builder, buffers),
    }
    builder.Finish(_table(builder, "Model", **fields), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


def _check_tensor(index: int, tensor: TensorSpec) -> None:
    """Refuse a tensor whose fields contradict each other."""
    place = f"tensor {index} ('{tensor.name}')"
    if tensor.dtype not in DTYPES:
        raise IllegalGraph(f"{place}: dtype '{tensor.dtype}' is none of {', '.join(DTYPES)}")
    scales, zero_points = len(tensor.scale or ()), len(tensor.zero_point or ())
    if scales != zero_points:
        raise IllegalGraph(
            f"{place}: {scales} scales, {zero_points} zero points; give equally many"
        )
    if scales > 1 and (
        not 0 <= tensor.axis < len(tensor.shape) or scales != tensor.shape[tensor.axis]
    ):
        raise IllegalGraph(
            f"{place}: {scales} scales do not fit axis {tensor.axis} of shape {tensor.shape}; "
            "give one scale, or one for each slice"
        )
    data = tensor.data
    if data is None:
        return
    if data.shape != tensor.shape or data.dtype != STORAGE[tensor.dtype]:
        raise IllegalGraph(
            f"{place}: data is {data.dtype}{list(data.shape)}, the tensor "
            f"{tensor.dtype}{list(tensor.shape)}; convert the data first"
        )
    if tensor.dtype == "int4" and (data.min(initial=0) < -8 or data.max(initial=0) > 7):
        raise IllegalGraph(f"{place}: int4 holds -8 to 7; found {data.min()} to {data.max()}")


def _check_indices(place: str, count: int, indices: Sequence[int]) -> None:
    """Refuse a tensor index outside 0..count-1."""
    for index in indices:
        if not 0 <= index < count:
            raise IllegalGraph(f"{place}: tensor {index} does not exist; there are {count}")


def _subgraph(
    builder: Any,
    tensors: Sequence[TensorSpec],
    operators: Sequence[OperatorSpec],
    codes: Sequence[tuple[str, int]],
    ends: tuple[Sequence[int], Sequence[int]],
) -> int:
    """Write the subgraph; buffers of constants are numbered from 1 in the order of `tensors`."""
    tensor_offsets, next_buffer = [], 1
    for tensor in tensors:
        constant = tensor.data is not None
        tensor_offsets.append(_tensor(builder, tensor, next_buffer if constant else 0))
        next_buffer += constant
    nodes = [
        _operator(builder, f"node {index} ({o.op})", o, codes.index((o.op, o.version)))
        for index, o in enumerate(operators)
    ]
    return _table(
        builder,
        "SubGraph",
        Tensors=_offsets(builder, tensor_offsets),
        Inputs=_vector(builder, ends[0], "<i4"),
        Outputs=_vector(builder, ends[1], "<i4"),
        Operators=_offsets(builder, nodes),
        Name=builder.CreateString("main"),
    )


def _buffer(builder: Any, tensor: TensorSpec) -> int:
    """Write a constant's bytes (little-endian, row-major) at a 16-byte boundary."""
    assert tensor.data is not None
    data = pack_int4(tensor.data) if tensor.dtype == "int4" else tensor.data
    payload = data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
    # The vector's own 4-byte alignment is met once its first byte is on the boundary.
    builder.Prep(_BUFFER_ALIGNMENT, len(payload))
    return _table(builder, "Buffer", Data=builder.CreateByteVector(payload))


def _tensor(builder: Any, tensor: TensorSpec, buffer: int) -> int:
    """Write one tensor and its quantization."""
    fields = {
        "Shape": _vector(builder, tensor.shape, "<i4"),
        "Type": getattr(tflite.TensorType, tensor.dtype.upper()),
        "Buffer": buffer,
        "Name": builder.CreateString(tensor.name),
        "HasRank": True,
    }
    if tensor.scale is not None and tensor.zero_point is not None:
        fields["Quantization"] = _table(
            builder,
            "QuantizationParameters",
            Scale=_vector(builder, tensor.scale, "<f4"),
            ZeroPoint=_vector(builder, tensor.zero_point, "<i8"),
            QuantizedDimension=tensor.axis,
        )
    return _table(builder, "Tensor", **fields)


def _operator_code(builder: Any, op: str, version: int) -> int:
    """Write an operator code twice, as the schema asks: old readers know only the 8-bit field."""
    code = getattr(tflite.BuiltinOperator, op)
    placeholder: int = tflite.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
    return _table(
        builder,
        "OperatorCode",
        DeprecatedBuiltinCode=min(code, placeholder),
        BuiltinCode=code,
        Version=version,
    )


def _operator(builder: Any, place: str, operator: OperatorSpec, code_index: int) -> int:
    """Write one operator with its option table, if the schema has one for it."""
    fields = {
        "OpcodeIndex": code_index,
        "Inputs": _vector(builder, operator.inputs, "<i4"),
        "Outputs": _vector(builder, operator.outputs, "<i4"),
    }
    table = _option_table(place, operator.op)
    if table is not None:
        values = {
            _camel_case(name): _option(builder, place, table, name, value)
            for name, value in operator.options.items()
        }
        fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, table)
        fields["BuiltinOptions"] = _table(builder, table, **values)
    elif operator.options:
        raise IllegalGraph(f"{place}: it has no options; leave out {', '.join(operator.options)}")
    return _table(builder, "Operator", **fields)


def _option_table(place: str, op: str) -> str | None:
    """Return the schema's option table of an operator, None where it has none."""
    known = isinstance(getattr(tflite.BuiltinOperator, op, None), int)
    # Custom operators have no code of their own; StableHLO's options live in a second union.
    if not known or op == "CUSTOM" or op.startswith("STABLEHLO_"):
        raise IllegalGraph(f"{place}: '{op}' is not a builtin operator; take one of schema.fbs")
    wanted = _OPTION_TABLE_OF.get(op, f"{op.replace('_', '')}Options").lower()
    return next((name for name in vars(tflite.BuiltinOptions) if name.lower() == wanted), None)


def _option(builder: Any, place: str, table: str, name: str, value: object) -> object:
    """Return the number or vector offset that stands for one option's value."""
    if not hasattr(tflite, f"{table}Add{_camel_case(name)}"):
        raise IllegalGraph(f"{place}: {table} has no field '{name}'; see schema.fbs")
    if hasattr(tflite, f"{table}Start{_camel_case(name)}Vector"):
        numbers = np.asarray(value).reshape(-1)
        return _vector(builder, numbers, "<f4" if numbers.dtype.kind == "f" else "<i4")
    if isinstance(value, str):
        member = getattr(getattr(tflite, _ENUM_OF_OPTION.get(name, ""), None), value, None)
        if not isinstance(member, int):
            raise IllegalGraph(f"{place}: '{value}' is no value of {name}; see schema.fbs")
        return member
    if not isinstance(value, bool | int | float | np.number | np.bool_):
        raise IllegalGraph(f"{place}: {name} takes a number, not {value!r}")
    return value.item() if isinstance(value, np.generic) else value


def _camel_case(snake_case: str) -> str:
    """Turn a schema field into its part of a generated name: stride_w -> StrideW."""
    return "".join(part[:1].upper() + part[1:] for part in snake_case.split("_"))


def _table(builder: Any, table: str, **fields: object) -> int:
    """Write one schema table; offsets and numbers are keyed by the field's CamelCase name."""
    getattr(tflite, f"{table}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{table}Add{name}")(builder, value)
    return int(getattr(tflite, f"{table}End")(builder))


def _vector(builder: Any, numbers: Any, dtype: str) -> int:
    """Write a vector of numbers and return its offset."""
    return int(builder.CreateNumpyVector(np.asarray(numbers, dtype=dtype).reshape(-1)))


def _offsets(builder: Any, offsets: Sequence[int]) -> int:
    """Write a vector of tables that are already written and return its offset."""
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
