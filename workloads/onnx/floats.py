"""Converters of standard operators on real values and on raw integers."""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from simulator.errors import Unsupported
from simulator.graph import TensorType
from workloads.onnx.build import NO_GRID, SUFFIX, TO_NHWC, Builder, Grid, Layout
from workloads.onnx.grids import axis_in, in_layout, trailing_axes, window_options
from workloads.onnx.model import OnnxNode

ARITHMETIC: Final = MappingProxyType(
    {
        "Add": "add",
        "Sub": "sub",
        "Mul": "mul",
        "Div": "div",
        "Pow": "pow",
        "Min": "min",
        "Max": "max",
        "Sum": "add",
    }
)

UNARY: Final = MappingProxyType(
    {
        "Abs": ("abs", ()),
        "Ceil": ("ceil", ()),
        "Elu": ("elu", (("alpha", 1.0),)),
        "Erf": ("erf", ()),
        "Exp": ("exp", ()),
        "Floor": ("floor", ()),
        "HardSigmoid": ("hard_sigmoid", (("alpha", 0.2), ("beta", 0.5))),
        "HardSwish": ("hard_swish", ()),
        "LeakyRelu": ("leaky_relu", (("alpha", 0.01),)),
        "Log": ("log", ()),
        "Neg": ("neg", ()),
        "Reciprocal": ("reciprocal", ()),
        "Relu": ("relu", ()),
        "Round": ("round", ()),
        "Sigmoid": ("sigmoid", ()),
        "Sign": ("sign", ()),
        "Sqrt": ("sqrt", ()),
        "Tanh": ("tanh", ()),
    }
)
"""Function and attributes with their defaults, by ONNX operator."""

REDUCTIONS: Final = MappingProxyType(
    {"ReduceMax": "max", "ReduceMin": "min", "ReduceMean": "mean", "ReduceSum": "sum"}
)


def output(
    b: Builder, node: OnnxNode, layout: Layout, grid: Grid = NO_GRID, *, dtype: str = ""
) -> dict[str, TensorType]:
    """The first output under its graph name in a layout; `dtype` where the carrier is another."""
    kind = in_layout(b.declared(node.outputs[0], grid), layout)
    name = node.outputs[0] + (SUFFIX if layout == "nhwc" else "")
    return {name: replace(kind, dtype=dtype) if dtype else kind}


def operands(b: Builder, node: OnnxNode, names: Sequence[str]) -> tuple[Layout, list[str]]:
    """The one layout for tensors that broadcast together, and their graph names in it.

    A constant of fewer than four dimensions gets leading ones, so that it can be permuted.
    """
    layout = b.layout(names)
    ranks = {len(b.kind(name).shape) for name in names}
    small = [n for n in names if len(b.kind(n).shape) != 4 and b.kind(n).elements > 1]
    if layout == "file" or max(ranks) != 4 or any(b.value(n) is None for n in small):
        return "file", [b.at(name, "file", node) for name in names]
    found = []
    for name in names:
        if b.kind(name).elements == 1:
            found.append(b.at(name, "file", node))
        elif name in small:
            found.append(_spread(b, node, name))
        else:
            found.append(b.at(name, "nhwc", node))
    return "nhwc", found


def _spread(b: Builder, node: OnnxNode, name: str) -> str:
    wanted = name + SUFFIX
    if wanted not in b.tensors:
        value = b.constant(name, node, "the operand")
        image = value.reshape((1,) * (4 - value.ndim) + value.shape)
        b.define(wanted, np.ascontiguousarray(image.transpose(TO_NHWC)), b.kind(name).bits)
    return wanted


def arithmetic(b: Builder, node: OnnxNode) -> None:
    """Add, Sub, Mul, Div, Pow, Min, Max, Sum."""
    layout, names = operands(b, node, [name for name in node.inputs if name])
    b.emit(node, "arithmetic", names, output(b, node, layout), {"function": ARITHMETIC[node.op]})


def unary(b: Builder, node: OnnxNode) -> None:
    """Relu, Sigmoid and the like, in the layout of their input."""
    function, attributes = UNARY[node.op]
    _function(b, node, function, [float(node.get(k, v)) for k, v in attributes])


def clip(b: Builder, node: OnnxNode) -> None:
    """Clip: bounds are attributes before opset 11, constant inputs since."""
    bounds = []
    for position, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        value = node.get(name, default)
        if node.input(position):
            value = b.constant(node.input(position), node, "a bound").reshape(-1)[0]
        bounds.append(float(value))
    _function(b, node, "clip", bounds)


def _function(b: Builder, node: OnnxNode, function: str, parameters: Sequence[float]) -> None:
    x = node.required(0)
    layout = b.layout((x,))
    options = {"function": function, "parameters": tuple(parameters)}
    b.emit(node, "float_unary", [b.at(x, layout, node)], output(b, node, layout), options)


def cast(b: Builder, node: OnnxNode) -> None:
    """Cast; the type is the output's."""
    x = node.required(0)
    layout = b.layout((x,))
    b.emit(node, "cast", [b.at(x, layout, node)], output(b, node, layout))


def conv(b: Builder, node: OnnxNode) -> None:
    """Conv of real values."""
    x, w, bias = node.required(0), node.required(1), node.input(2)
    options = window_options(node, b.kind(x).shape, b.kind(w).shape[2:])
    names = [b.at(x, "nhwc", node), b.at(w, "nhwc", node), b.at(bias, "file", node)]
    kind = "grid_conv_2d" if b.on_grids(names, 0) else "float_conv_2d"
    b.emit(node, kind, names[: 3 if bias else 2], output(b, node, "nhwc"), options)


def conv_integer(b: Builder, node: OnnxNode) -> None:
    """ConvInteger: zero points come last."""
    x, w = node.required(0), node.required(1)
    options = window_options(node, b.kind(x).shape, b.kind(w).shape[2:])
    zeros = [b.at(node.input(i), "file", node) for i in (2, 3)]
    names = [b.at(x, "nhwc", node), b.at(w, "nhwc", node), "", *zeros]
    b.emit(node, "conv_integer", names, output(b, node, "nhwc"), options)


def matmul_integer(b: Builder, node: OnnxNode) -> None:
    """MatMulInteger: zero points come last."""
    x, w, *zeros = (b.at(node.input(i), "file", node) for i in range(4))
    b.emit(node, "matmul_integer", [x, w, "", *zeros], output(b, node, "file"))


def matmul(b: Builder, node: OnnxNode) -> None:
    """MatMul of real matrices."""
    names = [b.at(node.required(i), "file", node) for i in (0, 1)]
    if any(len(b.tensors[name].shape) < 2 for name in names):
        raise Unsupported(f"{node.place}: vectors are not supported; reshape them to matrices")
    options = {"packed": b.packed(node.required(1)), "turned": False}
    b.emit(node, _matmul_kind(b, names), names, output(b, node, "file"), options)


def _matmul_kind(b: Builder, names: Sequence[str]) -> str:
    """By codes where both operands have grids and the weights are one matrix."""
    single = len(b.tensors[names[1]].shape) == 2
    return "grid_matmul" if single and b.on_grids(names, 1) else "float_matmul"


def transposed(b: Builder, node: OnnxNode, name: str) -> str:
    """A matrix with its axes exchanged, under a name of its own."""
    target = f"{name}@transposed"
    if target not in b.tensors:
        b.move(node, (1, 0), b.at(name, "file", node), target)
    return target


def gemm(b: Builder, node: OnnxNode) -> None:
    """Gemm of real matrices."""
    names = []
    for i, flag in ((0, "transA"), (1, "transB")):
        name = node.required(i)
        names.append(transposed(b, node, name) if node.get(flag, 0) else b.at(name, "file", node))
    if node.input(2):
        names.append(b.at(node.input(2), "file", node))
    options = {
        "alpha": node.get("alpha", 1.0),
        "beta": node.get("beta", 1.0),
        "packed": b.packed(node.required(1)),
        "turned": bool(node.get("transB", 0)),
    }
    b.emit(node, _matmul_kind(b, names), names, output(b, node, "file"), options)


def max_pool(b: Builder, node: OnnxNode) -> None:
    """MaxPool and GlobalMaxPool; the places of the maxima are not given."""
    if len([name for name in node.outputs if name]) > 1:
        raise Unsupported(f"{node.place}: the output of indices is not supported; remove it")
    x = node.required(0)
    kind = b.kind(x)
    grid = Grid(kind.quant, kind.bits)
    kernel = (kind.shape[2:],) if node.op == "GlobalMaxPool" else ()
    options = window_options(node, kind.shape, *kernel)
    names = [b.at(x, "nhwc", node)]
    b.emit(node, "max_pool", names, output(b, node, "nhwc", grid, dtype=kind.dtype), options)


def average_pool(b: Builder, node: OnnxNode) -> None:
    """AveragePool of real values."""
    x = node.required(0)
    options = {
        **window_options(node, b.kind(x).shape),
        "count_padding": node.get("count_include_pad", 0),
    }
    names = [b.at(x, "nhwc", node)]
    b.emit(node, "float_average_pool", names, output(b, node, "nhwc"), options)


def global_average_pool(b: Builder, node: OnnxNode) -> None:
    """GlobalAveragePool of real values: one window."""
    x = node.required(0)
    shape = b.kind(x).shape
    options = {
        **window_options(node, shape, shape[2:]),
        "count_padding": 0,
    }
    names = [b.at(x, "nhwc", node)]
    b.emit(node, "float_average_pool", names, output(b, node, "nhwc"), options)


def batch_normalization(b: Builder, node: OnnxNode) -> None:
    """BatchNormalization as inference does it; channels are axis 1 of the file's layout."""
    if node.get("training_mode", 0):
        raise Unsupported(f"{node.place}: training_mode must be 0; export for inference")
    x = node.required(0)
    rank = len(b.kind(x).shape)
    # Images as the layers beside have them, so that they can take it over.
    layout: Layout = "nhwc" if rank == 4 else "file"
    options = {
        "axis": axis_in(1, rank, layout, node) if rank > 1 else 0,
        "epsilon": node.get("epsilon", 1e-5),
    }
    names = [b.at(x, layout, node), *(b.at(node.required(i), "file", node) for i in range(1, 5))]
    b.emit(node, "batch_normalization", names, output(b, node, layout), options)


def softmax(b: Builder, node: OnnxNode) -> None:
    """Softmax and LogSoftmax."""
    x = node.required(0)
    axes = trailing_axes(node, len(b.kind(x).shape), b.model.opset)
    options = {"axes": axes, "logarithm": node.op == "LogSoftmax"}
    b.emit(node, "float_softmax", [b.at(x, "file", node)], output(b, node, "file"), options)


def reduction(b: Builder, node: OnnxNode) -> None:
    """ReduceMax, ReduceMin, ReduceMean, ReduceSum; axes are an attribute or a constant input."""
    x = node.required(0)
    rank = len(b.kind(x).shape)
    axes: Any = node.get("axes", None)
    if node.input(1):
        axes = b.constant(node.input(1), node, "the axes").reshape(-1).tolist()
    if not axes:
        axes = () if node.get("noop_with_empty_axes", 0) else range(rank)
    chosen = sorted(axis_in(int(axis), rank, "file", node) for axis in axes)
    keep = bool(node.get("keepdims", 1))
    spatial = rank == 4 and chosen == [2, 3]
    layout: Layout = b.layout((x,)) if spatial else "file"
    options = {
        "function": REDUCTIONS[node.op],
        "axes": tuple(axis_in(axis, rank, layout, node) for axis in chosen),
        "keep": keep,
    }
    # Without height and width, (n, c) is the same in both layouts.
    target: Layout = layout if keep else "file"
    b.emit(node, "float_reduce", [b.at(x, layout, node)], output(b, node, target), options)
