"""Converters of files whose float tensors hold integers (PULP Deeploy): integers are what runs.

Inputs come as the file's float32 and are turned into int16 that hold any 8-bit code; outputs go
back to float32. Between them convolutions and products leave int32 sums, which RequantShift brings
to 8 bits.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from simulator.errors import Unsupported
from simulator.graph import Array, TensorType
from workloads.onnx import floats, movement
from workloads.onnx.build import SUFFIX, Builder, Layout
from workloads.onnx.grids import window_options
from workloads.onnx.model import OnnxNode

INPUT_RANGE: Final = (-128, 255)
"""8-bit codes of either sign: the file does not say which."""
_INTEGERS: Final = ("int8", "uint8", "int16", "int32", "int64")


def carrier(name: str) -> str:
    """What the integers of a graph input or output are called."""
    return f"{name}@integer"


def _smallest(value: Array, place: str) -> Array:
    """A constant in the smallest integer dtype; raises Unsupported where it is not integer."""
    if value.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(value) & (value == np.floor(value))
        if not whole.all():
            raise Unsupported(
                f"{place}: constants must hold integers; found {value[~whole].reshape(-1)[0]}. "
                "Deploy the model with integer weights."
            )
    low, high = int(value.min(initial=0)), int(value.max(initial=0))
    for dtype in _INTEGERS:
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return value.astype(dtype)
    raise Unsupported(f"{place}: constants of up to {max(-low, high)} do not fit 64 bits")


def _output(
    b: Builder, node: OnnxNode, layout: Layout, dtype: str, bits: int
) -> dict[str, TensorType]:
    """The first output under its carrier's name."""
    ((name, kind),) = floats.output(b, node, layout).items()
    return {name: replace(kind, dtype=dtype, bits=bits)}


def _constant(b: Builder, node: OnnxNode, name: str, what: str, dtype: str = "") -> str:
    """A constant as integers, under a name of its own."""
    target = f"{name}@{dtype or 'integer'}"
    if target not in b.tensors:
        value = _smallest(b.constant(name, node, what), f"{node.place}, '{name}'")
        value = value.astype(dtype) if dtype else value
        b.define(target, value, 8 * value.itemsize)
        b.model.types[target] = b.model.types[name]
    return target


def conv(b: Builder, node: OnnxNode) -> None:
    """Conv: int32 sums."""
    x, w = node.required(0), _constant(b, node, node.required(1), "weights")
    options = window_options(node, b.kind(x).shape, b.kind(w).shape[2:])
    names = [b.at(x, "nhwc", node), b.at(w, "nhwc", node)]
    if node.input(2):
        names.append(_constant(b, node, node.input(2), "the bias", "int32"))
    b.emit(node, "conv_integer", names, _output(b, node, "nhwc", "int32", 32), options)


def matmul(b: Builder, node: OnnxNode) -> None:
    """MatMul and Gemm: int32 sums."""
    if node.op == "Gemm" and (node.get("alpha", 1.0) != 1 or node.get("beta", 1.0) != 1):
        raise Unsupported(f"{node.place}: alpha and beta must be 1; multiply the weights instead")
    names = []
    for i, flag in ((0, "transA"), (1, "transB")):
        name = node.required(i)
        if b.value(name) is not None:
            name = _constant(b, node, name, "a matrix")
        turned = node.op == "Gemm" and node.get(flag, 0)
        names.append(floats.transposed(b, node, name) if turned else b.at(name, "file", node))
    if node.input(2):
        bias = _constant(b, node, node.input(2), "the bias", "int32")
        names.append(_flat(b, bias))
    b.emit(node, "matmul_integer", names, _output(b, node, "file", "int32", 32))


def _flat(b: Builder, name: str) -> str:
    """A bias of shape (1, n) as (n)."""
    value = b.constants[name]
    if value.ndim == 1:
        return name
    return b.define(f"{name}@flat", value.reshape(-1), 32)


def requant_shift(b: Builder, node: OnnxNode) -> None:
    """RequantShift: multiplier and addend one a channel or one; div is a power of two."""
    levels = int(np.asarray(node.get("n_levels_out", node.get("n_levels", 256))).reshape(-1)[0])
    signed = bool(np.asarray(node.get("signed", 1)).reshape(-1)[0])
    div = int(np.asarray(node.get("div", 1)).reshape(-1)[0])
    if div < 1 or div & (div - 1):
        raise Unsupported(f"{node.place}: div must be a power of two; found {div}")
    low = -(levels // 2) if signed else 0
    bits = max((levels - 1).bit_length(), 1)
    width = 8 if bits <= 8 else 16 if bits <= 16 else 32
    dtype = f"int{width}" if signed else f"uint{width}"
    if dtype == "uint32":
        raise Unsupported(f"{node.place}: {levels} unsigned levels do not fit 16 bits")
    parameters = [_constant(b, node, node.required(i), "a parameter", "int64") for i in (1, 2)]
    layout, names = floats.operands(b, node, [node.required(0), *parameters])
    options = {"shift": div.bit_length() - 1, "low": low, "high": low + levels - 1}
    b.emit(node, "requant_shift", names, _output(b, node, layout, dtype, bits), options)


def add(b: Builder, node: OnnxNode) -> None:
    """Add, Sub, Mul of integers, in int32."""
    inputs = [
        _constant(b, node, n, "an operand") if b.value(n) is not None else n for n in node.inputs
    ]
    layout, names = floats.operands(b, node, inputs)
    options = {"function": floats.ARITHMETIC[node.op]}
    b.emit(node, "arithmetic", names, _output(b, node, layout, "int32", 32), options)


def relu(b: Builder, node: OnnxNode) -> None:
    """Relu of integers."""
    x = node.required(0)
    layout, kind = b.layout((x,)), b.kind(x)
    options: Mapping[str, Any] = {"function": "relu", "parameters": ()}
    out = _output(b, node, layout, kind.dtype, kind.bits)
    b.emit(node, "float_unary", [b.at(x, layout, node)], out, options)


CONVERTERS: Final = {
    "Conv": conv,
    "MatMul": matmul,
    "Gemm": matmul,
    "RequantShift": requant_shift,
    "Add": add,
    "Sub": add,
    "Mul": add,
    "Relu": relu,
    "MaxPool": floats.max_pool,
    "Reshape": movement.reshape,
    "Flatten": movement.reshape,
    "Squeeze": movement.reshape,
    "Unsqueeze": movement.reshape,
    "Identity": movement.identity,
    "Dropout": movement.identity,
    "Transpose": movement.transpose,
    "Concat": movement.concat,
    "Gather": movement.gather,
    "Slice": movement.slice_,
    "Split": movement.split,
    "Pad": movement.pad,
}


def enter(b: Builder, node: OnnxNode) -> None:
    """Turn every float graph input into integers; the nodes then read those."""
    for name in b.model.inputs:
        kind = b.tensors[name]
        if kind.dtype != "float32":
            continue
        target = carrier(name)
        b.model.types[target] = b.model.types[name]
        integers = replace(kind, dtype="int16", bits=8)
        place = replace(node, place=f"{b.model.name}, input '{name}'")
        b.emit(place, "cast", [name], {target: integers}, {"within": INPUT_RANGE})


def leave(b: Builder, node: OnnxNode) -> None:
    """Turn integers back into the float type that the file gives each output."""
    for name in b.model.outputs:
        target = carrier(name)
        if target in b.tensors or target + SUFFIX in b.tensors:
            b.emit(node, "cast", [b.at(target, "file", node)], {name: b.declared(name)})


def renames(b: Builder) -> dict[str, str]:
    """File names to the carriers that stand for them inside."""
    floats_in = [name for name in b.model.inputs if b.tensors[name].dtype == "float32"]
    outputs = [name for name in b.model.outputs if b.model.types[name].element == "float"]
    names = {name: carrier(name) for name in (*floats_in, *outputs)}
    for name in outputs:
        if name not in b.model.constants:
            b.model.types[carrier(name)] = b.model.types[name]
    return names
