"""Converters of operators that move elements and compute nothing: grids and carriers are kept."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import Operator, TensorType
from simulator.ops.concatenation import Concatenation
from simulator.ops.gather import Gather
from simulator.ops.pad import Pad
from simulator.ops.reshape import Reshape
from simulator.ops.slice import Slice
from simulator.ops.split_v import SplitV
from simulator.ops.transpose import Transpose
from workloads.onnx.build import SUFFIX, TO_NCHW, TO_NHWC, Builder, Layout
from workloads.onnx.grids import axis_in, in_layout
from workloads.onnx.model import OnnxNode


def _moved(b: Builder, node: OnnxNode, layout: Layout, position: int = 0) -> dict[str, TensorType]:
    """An output with the input's carrier and, where it has one scale, its grid."""
    kind, name = b.kind(node.required(0)), node.outputs[position]
    quant = kind.quant if kind.quant is not None and kind.quant.axis is None else None
    shape = b.model.types[name].shape
    moved = in_layout(replace(kind, shape=shape, quant=quant), layout)
    return {name + SUFFIX if layout == "nhwc" else name: moved}


def _put(b: Builder, node: OnnxNode, op: Operator, names: Sequence[str], layout: Layout) -> None:
    b.put(node, op, names, _moved(b, node, layout))


def reshape(b: Builder, node: OnnxNode) -> None:
    """Reshape, Flatten, Squeeze, Unsqueeze: the shape was inferred."""
    shape = b.model.types[node.outputs[0]].shape
    _put(b, node, Reshape(shape), [b.at(node.required(0), "file", node)], "file")


def identity(b: Builder, node: OnnxNode) -> None:
    """Identity and Dropout (at inference), in the layout of their input."""
    x = node.required(0)
    layout = b.layout((x,))
    name = b.at(x, layout, node)
    _put(b, node, Reshape(b.tensors[name].shape), [name], layout)


def transpose(b: Builder, node: OnnxNode) -> None:
    """Transpose: from NHWC where the input has that form, so that two exchanges become one.

    One that brings the file's last axis to the second place says that its input is NHWC already.
    """
    x = node.required(0)
    rank = len(b.kind(x).shape)
    order = tuple(int(k) for k in node.get("perm", range(rank - 1, -1, -1)))
    layout = b.layout((x,))
    name = b.at(x, layout, node)
    if layout == "nhwc":
        order = tuple(TO_NHWC.index(k) for k in order)
    if layout == "file" and order == TO_NCHW:
        kind = b.tensors[name]
        b.put(node, Reshape(kind.shape), [name], {node.outputs[0] + SUFFIX: kind})
        return
    shape = b.model.types[node.outputs[0]].shape
    op = Reshape(shape) if order == tuple(range(rank)) else Transpose(order)
    kind = b.tensors[name]
    quant = kind.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=order.index(quant.axis))
    b.put(node, op, [name], {node.outputs[0]: replace(kind, shape=shape, quant=quant)})


def gather(b: Builder, node: OnnxNode) -> None:
    """Gather by constant indices; negative ones count from the end."""
    x, indices = node.required(0), node.required(1)
    shape = b.kind(x).shape
    axis = axis_in(int(node.get("axis", 0)), len(shape), "file", node)
    value = b.constant(indices, node, "the indices")
    if value.size and not (-shape[axis] <= value.min() and value.max() < shape[axis]):
        raise IllegalGraph(f"{node.place}: indices lie outside axis {axis} of shape {shape}")
    positive = np.where(value < 0, value + shape[axis], value).astype(np.int64)
    picks = b.define(f"{indices}@positive{node.index}", positive, 64)
    _put(b, node, Gather(axis, 0), [b.at(x, "file", node), picks], "file")


def pad(b: Builder, node: OnnxNode) -> None:
    """Pad with a constant: sizes and value are attributes before opset 11, inputs since."""
    if str(node.get("mode", "constant")) != "constant":
        raise Unsupported(f"{node.place}: mode must be constant; found {node.get('mode', '')}")
    x = node.required(0)
    rank = len(b.kind(x).shape)
    sizes, fill = node.get("pads", None), node.get("value", 0.0)
    if sizes is None:
        sizes = b.constant(node.required(1), node, "the padding").reshape(-1).tolist()
    if node.input(2):
        fill = b.constant(node.input(2), node, "the value").reshape(-1)[0].item()
    if node.input(3) or len(sizes) != 2 * rank:
        raise Unsupported(f"{node.place}: pads must cover every axis; found {sizes}")
    layout = b.layout((x,))
    axes = TO_NHWC if layout == "nhwc" else range(rank)
    before, after = (tuple(int(sizes[k + i * rank]) for k in axes) for i in (0, 1))
    _put(b, node, Pad(before, after, fill), [b.at(x, layout, node)], layout)


def slice_(b: Builder, node: OnnxNode) -> None:
    """Slice: bounds are attributes before opset 10, constant inputs since."""
    x = node.required(0)
    shape = b.kind(x).shape
    if b.model.opset < 10:
        starts, ends = node.get("starts", []), node.get("ends", [])
        axes, steps = node.get("axes", None), None
    else:
        given = [node.input(i) for i in range(1, 5)]
        starts, ends, axes, steps = (
            b.constant(name, node, "a bound").reshape(-1).tolist() if name else None
            for name in given
        )
    picks = [range(n) for n in shape]
    for k, axis in enumerate(axes if axes is not None else range(len(starts))):
        at = axis_in(int(axis), len(shape), "file", node)
        step = int(steps[k]) if steps is not None else 1
        picks[at] = range(shape[at])[int(starts[k]) : int(ends[k]) : step]
    layout = b.layout((x,))
    ordered = [picks[k] for k in TO_NHWC] if layout == "nhwc" else picks
    count = tuple(len(p) for p in ordered)
    op = Slice(tuple(p.start for p in ordered), count, tuple(p.step for p in ordered), count)
    _put(b, node, op, [b.at(x, layout, node)], layout)


def split(b: Builder, node: OnnxNode) -> None:
    """Split along an axis, in the layout of the input."""
    x = node.required(0)
    layout = b.layout((x,))
    rank = len(b.kind(x).shape)
    axis = axis_in(int(node.get("axis", 0)), rank, layout, node)
    outputs: dict[str, TensorType] = {}
    for position in range(len(node.outputs)):
        outputs |= _moved(b, node, layout, position)
    sizes = tuple(kind.shape[axis] for kind in outputs.values())
    b.put(node, SplitV(axis, sizes), [b.at(x, layout, node)], outputs)


def concat(b: Builder, node: OnnxNode) -> None:
    """Concat of tensors of one carrier, in the layout of the inputs."""
    names = [name for name in node.inputs if name]
    layout = b.layout(names)
    axis = axis_in(int(node.get("axis", 0)), len(b.kind(names[0]).shape), layout, node)
    inputs = [b.at(name, layout, node) for name in names]
    grids = {b.kind(name).quant for name in names}
    outputs = _moved(b, node, layout)
    if len(grids) > 1:
        outputs = {name: replace(kind, quant=None) for name, kind in outputs.items()}
    b.put(node, Concatenation(axis, (None,) * len(inputs)), inputs, outputs)
