"""Scales, zero points, window sizes and axes of ONNX nodes as plain values."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from simulator.errors import IllegalGraph, Unsupported
from simulator.graph import QuantParams, TensorType
from workloads.onnx.build import TO_NHWC, Builder, Layout
from workloads.onnx.model import OnnxNode

Pair = tuple[int, int]


def is_constant(b: Builder, names: Sequence[str]) -> bool:
    """Whether every named tensor is known at import (left-out ones are)."""
    return all(not name or b.value(name) is not None for name in names)


def quantization(
    b: Builder, node: OnnxNode, scale: str, zero: str, axis: int | None = None
) -> QuantParams:
    """The grid of constant scale and zero point tensors; raises Unsupported or IllegalGraph."""
    scales = b.constant(scale, node, "the scale").reshape(-1).astype(np.float32)
    zeros = np.zeros(1) if not zero else b.constant(zero, node, "the zero point").reshape(-1)
    if zeros.size not in (1, scales.size):
        raise IllegalGraph(f"{node.place}: {scales.size} scales and {zeros.size} zero points")
    points = tuple(int(z) for z in np.broadcast_to(zeros, scales.shape))
    try:
        return QuantParams(
            tuple(float(s) for s in scales), points, axis if scales.size > 1 else None
        )
    except IllegalGraph as error:
        raise IllegalGraph(f"{node.place}: {error}") from None


def known_grid(b: Builder, scale: str, zero: str, axis: int | None = None) -> QuantParams | None:
    """The same for an annotation: None where it is not constant, blocked, or illegal."""
    if not is_constant(b, (scale, zero)):
        return None
    values = b.value(scale)
    if values is None or (values.size > 1 and values.ndim > 1):
        return None
    try:
        return quantization(b, OnnxNode(0, "", (), ()), scale, zero, axis)
    except IllegalGraph:
        return None


def in_layout(kind: TensorType, layout: Layout) -> TensorType:
    """A type of the file's layout in another one."""
    if layout == "file":
        return kind
    quant = kind.quant
    if quant is not None and quant.axis is not None:
        quant = replace(quant, axis=TO_NHWC.index(quant.axis))
    return replace(kind, shape=tuple(kind.shape[k] for k in TO_NHWC), quant=quant)


def axis_in(axis: int, rank: int, layout: Layout, node: OnnxNode) -> int:
    """An axis of the file's layout, counted from 0, in another layout."""
    if not -rank <= axis < rank:
        raise IllegalGraph(f"{node.place}: axis {axis} lies outside {rank} dimensions")
    positive = axis % rank
    return TO_NHWC.index(positive) if layout == "nhwc" else positive


def _pair(values: Any, node: OnnxNode, what: str) -> Pair:
    found = tuple(int(v) for v in values)
    if len(found) != 2:
        raise Unsupported(f"{node.place}: only 2-D windows are supported; {what} is {found}")
    return found


def window_options(
    node: OnnxNode, image: tuple[int, ...], kernel: Sequence[int] | None = None
) -> dict[str, Any]:
    """The options kernel, stride, dilation and padding (top, left, bottom, right) of a window.

    `image` is the input's (n, c, h, w). auto_pad is resolved; where ceil_mode asks for one more
    window, the padding behind grows (ONNX Conv-11, AveragePool-19).
    """
    if len(image) != 4:
        raise Unsupported(f"{node.place}: only 2-D images are supported; found shape {image}")
    size = _pair(node.get("kernel_shape", kernel), node, "kernel_shape")
    stride = _pair(node.get("strides", (1, 1)), node, "strides")
    dilation = _pair(node.get("dilations", (1, 1)), node, "dilations")
    if min((*size, *stride, *dilation)) < 1:
        raise IllegalGraph(f"{node.place}: sizes and steps must be >= 1; found {size}, {stride}")
    pads = tuple(int(p) for p in node.get("pads", (0, 0, 0, 0)))
    if len(pads) != 4 or min(pads) < 0:
        raise Unsupported(f"{node.place}: pads must be four numbers >= 0; found {pads}")
    before, after = list(pads[:2]), list(pads[2:])
    mode = str(node.get("auto_pad", "NOTSET"))
    for k in (0, 1):
        reach = (size[k] - 1) * dilation[k] + 1
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            windows = -(-image[2 + k] // stride[k])
            missing = max((windows - 1) * stride[k] + reach - image[2 + k], 0)
            lesser, greater = missing // 2, missing - missing // 2
            before[k], after[k] = (lesser, greater) if mode == "SAME_UPPER" else (greater, lesser)
        elif mode == "VALID":
            before[k] = after[k] = 0
        if node.get("ceil_mode", 0):
            after[k] += _ceil_padding(image[2 + k], before[k], after[k], reach, stride[k])
    padding = (before[0], before[1], after[0], after[1])
    if any(p >= reach for p, reach in zip(before, size, strict=True)) and "Pool" in node.op:
        raise IllegalGraph(f"{node.place}: padding {padding} leaves a window without elements")
    return {"kernel": size, "stride": stride, "dilation": dilation, "padding": padding}


def pooled_size(node: OnnxNode, image: tuple[int, ...]) -> tuple[int, ...]:
    """Output height and width of a pooling of (n, c, h, w)."""
    window = window_options(node, image)
    top, left, bottom, right = window["padding"]
    sizes = zip(
        (top + image[2] + bottom, left + image[3] + right),
        window["kernel"],
        window["dilation"],
        window["stride"],
        strict=True,
    )
    return tuple((room - (k - 1) * d - 1) // s + 1 for room, k, d, s in sizes)


def _ceil_padding(size: int, before: int, after: int, reach: int, stride: int) -> int:
    """Padding behind that makes room for the window that ceil_mode adds, if it starts inside."""
    room = before + size + after - reach
    windows = -(-room // stride) + 1
    if (windows - 1) * stride >= size + before:
        windows -= 1
    return max((windows - 1) * stride - room, 0)


def trailing_axes(node: OnnxNode, rank: int, opset: int) -> tuple[int, ...]:
    """The axes that a softmax normalises over: one since opset 13, all from it on before."""
    axis = int(node.get("axis", -1 if opset >= 13 else 1))
    if not -rank <= axis < rank:
        raise IllegalGraph(f"{node.place}: axis {axis} lies outside {rank} dimensions")
    return (axis % rank,) if opset >= 13 else tuple(range(axis % rank, rank))


def elements(shape: Sequence[int]) -> int:
    """Number of elements of a shape."""
    return prod(shape)
