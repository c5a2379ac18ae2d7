"""Models as the package's own writer does not write them.

Variable tensors, intermediates, handles of resource variables and subgraphs that initialise them,
custom operators and outputs of open shape, through the generated functions of the `tflite` package.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite

from simulator.graph import Array


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor; `dtype` is a name of the schema in lower case, ``resource`` for a handle."""

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = "int8"
    scale: float | None = None
    zero: int = 0
    data: Array | None = None
    variable: bool = False
    ranked: bool = True


@dataclass(frozen=True)
class Op:
    """An operator; `options` are fields of `table`, in the schema's CamelCase.

    The name of a custom operator is ``CUSTOM:<code>``; its options are bytes.
    """

    name: str
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()
    table: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    intermediates: tuple[int, ...] = ()
    custom: bytes = b""


@dataclass(frozen=True, eq=False)
class Part:
    """A subgraph."""

    tensors: Sequence[Tensor]
    ops: Sequence[Op]
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()


def handle(tensor: int, name: str) -> Op:
    """VAR_HANDLE of the variable `name`."""
    return Op("VAR_HANDLE", (), (tensor,), "VarHandleOptions", {"SharedName": name})


def read(handle_tensor: int, output: int) -> Op:
    """READ_VARIABLE."""
    return Op("READ_VARIABLE", (handle_tensor,), (output,), "ReadVariableOptions")


def assign(handle_tensor: int, value: int) -> Op:
    """ASSIGN_VARIABLE."""
    return Op("ASSIGN_VARIABLE", (handle_tensor, value), (), "AssignVariableOptions")


def call_once(subgraph: int) -> Op:
    """CALL_ONCE."""
    return Op("CALL_ONCE", (), (), "CallOnceOptions", {"InitSubgraphIndex": subgraph})


def model(*parts: Part) -> bytes:
    """The bytes of a .tflite with these subgraphs."""
    builder = flatbuffers.Builder(1024)
    names = list(dict.fromkeys(op.name for part in parts for op in part.ops))
    buffers = [_table(builder, "Buffer")]
    subgraphs = [_subgraph(builder, part, names, buffers) for part in parts]
    codes = [_code(builder, name) for name in names]
    root = _table(
        builder,
        "Model",
        Version=3,
        OperatorCodes=_offsets(builder, codes),
        Subgraphs=_offsets(builder, subgraphs),
        Buffers=_offsets(builder, buffers),
    )
    builder.Finish(root, file_identifier=b"TFL3")
    return bytes(builder.Output())


def _code(builder: Any, name: str) -> int:
    builtin, _, own = name.partition(":")
    code = getattr(tflite.BuiltinOperator, builtin)
    fields = {"DeprecatedBuiltinCode": min(code, 127), "BuiltinCode": code, "Version": 1}
    if own:
        fields["CustomCode"] = builder.CreateString(own)
    return _table(builder, "OperatorCode", **fields)


def _subgraph(builder: Any, part: Part, names: list[str], buffers: list[int]) -> int:
    tensors = []
    for tensor in part.tensors:
        place = 0
        if tensor.data is not None:
            place = len(buffers)
            builder.Prep(16, tensor.data.nbytes)
            data = builder.CreateByteVector(tensor.data.tobytes())
            buffers.append(_table(builder, "Buffer", Data=data))
        tensors.append(_tensor(builder, tensor, place))
    ops = []
    for op in part.ops:
        fields: dict[str, Any] = {
            "OpcodeIndex": names.index(op.name),
            "Inputs": _vector(builder, op.inputs),
            "Outputs": _vector(builder, op.outputs),
        }
        if op.intermediates:
            fields["Intermediates"] = _vector(builder, op.intermediates)
        if op.custom:
            fields["CustomOptions"] = builder.CreateByteVector(op.custom)
        if op.table:
            options = {
                k: builder.CreateString(v) if isinstance(v, str) else v
                for k, v in op.options.items()
            }
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, op.table)
            fields["BuiltinOptions"] = _table(builder, op.table, **options)
        ops.append(_table(builder, "Operator", **fields))
    return _table(
        builder,
        "SubGraph",
        Tensors=_offsets(builder, tensors),
        Inputs=_vector(builder, part.inputs),
        Outputs=_vector(builder, part.outputs),
        Operators=_offsets(builder, ops),
    )


def _tensor(builder: Any, tensor: Tensor, place: int) -> int:
    fields = {
        "Shape": _vector(builder, tensor.shape),
        "Type": getattr(tflite.TensorType, tensor.dtype.upper()),
        "Buffer": place,
        "Name": builder.CreateString(tensor.name),
        "IsVariable": tensor.variable,
        "HasRank": tensor.ranked,
    }
    if tensor.scale is not None:
        fields["Quantization"] = _table(
            builder,
            "QuantizationParameters",
            Scale=int(builder.CreateNumpyVector(np.array([tensor.scale], dtype="<f4"))),
            ZeroPoint=int(builder.CreateNumpyVector(np.array([tensor.zero], dtype="<i8"))),
        )
    return _table(builder, "Tensor", **fields)


def _table(builder: Any, table: str, **fields: Any) -> int:
    getattr(tflite, f"{table}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{table}Add{name}")(builder, value)
    return int(getattr(tflite, f"{table}End")(builder))


def _vector(builder: Any, numbers: Sequence[int]) -> int:
    return int(builder.CreateNumpyVector(np.array(numbers, dtype="<i4")))


def _offsets(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
