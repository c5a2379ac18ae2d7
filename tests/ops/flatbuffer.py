"""Damage to a .tflite in place: positions of fields by their schema slot, and bytes put there.

A writer that refuses nonsense cannot make these files. Slots are vtable offsets, 4 + 2 * the
field's number in tensorflow/lite/schema/schema.fbs.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

import tflite

TENSOR_SHAPE: Final = 4
TENSOR_TYPE: Final = 6
TENSOR_BUFFER: Final = 8
TENSOR_NAME: Final = 10
QUANTIZATION_SCALE: Final = 8
QUANTIZATION_ZERO_POINT: Final = 10
GRAPH_INPUTS: Final = 6
GRAPH_OUTPUTS: Final = 8
GRAPH_OPERATORS: Final = 10
NODE_INPUTS: Final = 6
NODE_OUTPUTS: Final = 8
NODE_CODE: Final = 4
CODE_DEPRECATED: Final = 4
CODE_BUILTIN: Final = 10
MODEL_SUBGRAPHS: Final = 8

Edit = Callable[[Any, bytearray], None]


def damaged(model: bytes, edit: Edit) -> bytes:
    """A copy of `model` after `edit(its root table, its bytes)`."""
    data = bytearray(model)
    edit(tflite.Model.GetRootAs(data), data)
    return bytes(data)


def put_scalar(table: Any, slot: int, layout: str, value: object) -> Edit:
    """Overwrite a scalar field that the file holds (a default is not stored: AssertionError)."""
    offset = table._tab.Offset(slot)
    assert offset, "the field has its default and is not in the file"
    position = table._tab.Pos + offset
    return lambda _, data: struct.pack_into(f"<{layout}", data, position, value)


def put_element(table: Any, slot: int, index: int, layout: str, value: object) -> Edit:
    """Overwrite one element of a vector field."""
    position = table._tab.Vector(table._tab.Offset(slot)) + index * struct.calcsize(layout)
    return lambda _, data: struct.pack_into(f"<{layout}", data, position, value)


def put_length(table: Any, slot: int, length: int) -> Edit:
    """Overwrite the length of a vector field; its elements stay."""
    position = table._tab.Vector(table._tab.Offset(slot)) - 4
    return lambda _, data: struct.pack_into("<I", data, position, length)


def tensor_edit(index: int, make: Callable[..., Edit], *arguments: Any) -> Edit:
    """An edit of tensor `index`."""
    return lambda model, data: make(model.Subgraphs(0).Tensors(index), *arguments)(model, data)


def grid_edit(index: int, make: Callable[..., Edit], *arguments: Any) -> Edit:
    """An edit of the quantization of tensor `index`."""
    return lambda model, data: make(model.Subgraphs(0).Tensors(index).Quantization(), *arguments)(
        model, data
    )


def node_edit(index: int, make: Callable[..., Edit], *arguments: Any) -> Edit:
    """An edit of node `index`."""
    return lambda model, data: make(model.Subgraphs(0).Operators(index), *arguments)(model, data)


def graph_edit(make: Callable[..., Edit], *arguments: Any) -> Edit:
    """An edit of the subgraph."""
    return lambda model, data: make(model.Subgraphs(0), *arguments)(model, data)


def code_edit(index: int, number: int) -> Edit:
    """Make operator code `index` the builtin `number`."""

    def edit(model: Any, data: bytearray) -> None:
        code = model.OperatorCodes(index)
        put_scalar(code, CODE_DEPRECATED, "b", min(number, 127))(model, data)
        put_scalar(code, CODE_BUILTIN, "i", number)(model, data)

    return edit


def both(*edits: Edit) -> Edit:
    """Several edits, one after the other."""

    def edit(model: Any, data: bytearray) -> None:
        for one in edits:
            one(model, data)

    return edit
