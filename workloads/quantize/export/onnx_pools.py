"""Pools, reductions and resizes as ONNX has them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from simulator.graph import Node
from simulator.ops.float_average_pool import FloatAveragePool
from simulator.ops.float_reduce import FloatReduce
from simulator.ops.float_resize import FloatResize
from simulator.ops.max_pool import MaxPool
from simulator.ops.resize_nearest_neighbor import ResizeNearestNeighbor
from workloads.quantize.export.onnx_layers import pads_of
from workloads.quantize.export.onnx_values import Form, Values

_REDUCTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {"max": "ReduceMax", "min": "ReduceMin", "mean": "ReduceMean", "sum": "ReduceSum"}
)
AXES_AS_INPUT: Final = 18
"""The opset from which ReduceMean and its kin take their axes as an input; ReduceSum since 13."""
DILATED_AVERAGES: Final = 19
"""The opset from which AveragePool has dilations."""


def max_pool(values: Values, node: Node) -> None:
    """MaxPool."""
    op = node.op
    assert isinstance(op, MaxPool)
    image = values.shape(node.inputs[0])
    over = op.windows.over(image)
    value = values.writer.node(
        "MaxPool",
        [values.at(node.inputs[0], "nchw")],
        f"{node.outputs[0]}_real",
        kernel_shape=over.kernel,
        strides=over.stride,
        dilations=over.dilation,
        pads=pads_of(over, image),
    )
    values.put(node.outputs[0], "nchw", value, op.bounds)


def average_pool(values: Values, node: Node) -> None:
    """AveragePool; GlobalAveragePool where one window is the image."""
    op, y = node.op, node.outputs[0]
    assert isinstance(op, FloatAveragePool)
    image = values.shape(node.inputs[0])
    over = op.windows.over(image)
    x, pads = values.at(node.inputs[0], "nchw"), pads_of(over, image)
    if over.kernel == image[1:3] and over.output == (1, 1) and not any(pads):
        value = values.writer.node("GlobalAveragePool", [x], f"{y}_real")
        values.put(y, "nchw", value, op.bounds)
        return
    options = {}
    if over.dilation != (1, 1):
        options["dilations"] = over.dilation
    value = values.writer.node(
        "AveragePool",
        [x],
        f"{y}_real",
        kernel_shape=over.kernel,
        strides=over.stride,
        pads=pads,
        count_include_pad=int(op.count_padding),
        **options,
    )
    values.put(y, "nchw", value, op.bounds)


def reduction(values: Values, node: Node) -> None:
    """Reductions; the mean over height and width is GlobalAveragePool."""
    op, x, y = node.op, node.inputs[0], node.outputs[0]
    assert isinstance(op, FloatReduce)
    writer, shape = values.writer, values.shape(x)
    if op.function == "mean" and len(shape) == 4 and op.axes == (1, 2):
        value = writer.node("GlobalAveragePool", [values.at(x, "nchw")], f"{y}_real")
        if op.keep:
            values.put(y, "nchw", value)
            return
        values.put(y, "own", value)
        flat = writer.constant("shape", np.array(values.shape(y), np.int64))
        value = writer.node("Reshape", [values.at(y, "own"), flat], f"{y}_flat")
        values.put_moved(y, "own", value)
        return
    form: Form = values.form((x,)) if op.keep else "own"
    axes = [values.axis(axis, form) for axis in op.axes]
    inputs, options = [values.at(x, form)], {"keepdims": int(op.keep)}
    if op.function == "sum" or writer.opset >= AXES_AS_INPUT:
        inputs.append(writer.constant("axes", np.array(axes, np.int64)))
        value = writer.node(_REDUCTIONS[op.function], inputs, f"{y}_real", **options)
    else:
        name = _REDUCTIONS[op.function]
        value = writer.node(name, inputs, f"{y}_real", axes=axes, **options)
    values.put(y, form, value)


def resize(values: Values, node: Node) -> None:
    """Resize, nearest or linear."""
    op, y = node.op, node.outputs[0]
    assert isinstance(op, FloatResize)
    image = values.shape(node.inputs[0])
    options = {
        "coordinate_transformation_mode": op.coordinates,
        "mode": "nearest" if op.nearest else "linear",
    }
    if op.nearest:
        options["nearest_mode"] = op.nearest
    usual = tuple(m / n for n, m in zip(image[1:3], op.size, strict=True))
    writer, x = values.writer, values.at(node.inputs[0], "nchw")
    if op.scale == usual:
        sizes = np.array((image[0], image[3], *op.size), np.int64)
        inputs = [x, "", "", writer.constant("sizes", sizes)]
    else:
        scales = np.array((1, 1, *op.scale), np.float32)
        inputs = [x, "", writer.constant("scales", scales)]
    value = writer.node("Resize", inputs, f"{y}_real", **options)
    if op.nearest:
        values.put_moved(y, "nchw", value)
    else:
        values.put(y, "nchw", value)


def resize_nearest(values: Values, node: Node) -> None:
    """TFLite's nearest neighbours: rows and columns are picked by Gather, as its rule says."""
    op, x, y = node.op, node.inputs[0], node.outputs[0]
    assert isinstance(op, ResizeNearestNeighbor)
    held = values.at(x, "nchw")
    for axis, (size, out) in enumerate(zip(values.shape(x)[1:3], op.size, strict=True), start=2):
        line = np.arange(size, dtype=np.int64)
        # A plane whose every line is its own number says which lines are picked.
        plane = line[None, :, None, None] if axis == 2 else line[None, None, :, None]
        image = np.broadcast_to(plane, (1, *values.shape(x)[1:3], 1))
        picked = op.resample(image)
        lines = picked[0, :, 0, 0] if axis == 2 else picked[0, 0, :, 0]
        assert len(lines) == out
        indices = values.writer.constant("lines", lines.astype(np.int64))
        held = values.writer.node("Gather", [held, indices], f"{y}_real", axis=axis)
    values.put_moved(y, "nchw", held)
