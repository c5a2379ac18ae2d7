"""Converters of QuantizeLinear and its kin, and of the QLinear* operators."""

from dataclasses import replace

import numpy as np

from simulator.errors import Unsupported
from simulator.graph import QuantParams, TensorType
from simulator.real_grids import WIDEST
from workloads.onnx.build import SUFFIX, Builder, Grid, Layout
from workloads.onnx.clamps import LIMITS, bits_of
from workloads.onnx.grids import (
    axis_in,
    in_layout,
    is_constant,
    known_grid,
    quantization,
    trailing_axes,
    window_options,
)
from workloads.onnx.model import OnnxNode


def _out(
    b: Builder, node: OnnxNode, layout: Layout, quant: QuantParams | None
) -> dict[str, TensorType]:
    name = node.outputs[0]
    kind = in_layout(b.declared(name, Grid(quant)), layout)
    limits = node.get(LIMITS, None)
    if limits is not None:
        kind = replace(kind, bits=bits_of(limits), limits=limits)
    return {name + SUFFIX if layout == "nhwc" else name: kind}


def linear(b: Builder, node: OnnxNode) -> None:
    """QuantizeLinear and DequantizeLinear, in the layout of their input."""
    x, scale, zero = node.required(0), node.required(1), node.input(2)
    kind = b.kind(x)
    spread = b.kind(scale).elements > 1
    block = int(node.get("block_size", 0)) if spread else 0
    layout: Layout = "file" if block else b.layout((x,))
    axis = int(node.get("axis", 1)) if spread else 0
    placed = axis_in(axis, len(kind.shape), layout, node) if spread else 0
    grid = known_grid(b, scale, zero, axis % max(len(kind.shape), 1))
    options = {"axis": placed, "block_size": block, "saturate": node.get("saturate", 1)}
    inputs = [b.at(x, layout, node), b.at(scale, "file", node), b.at(zero, "file", node)]
    if node.op == "QuantizeLinear":
        element = b.model.types[node.outputs[0]].element
        b.emit(
            node,
            "quantize_linear",
            inputs if zero else inputs[:2],
            _out(b, node, layout, grid),
            {**options, "element": element},
        )
        return
    codes = b.kind(x)
    grid = None if codes.dtype.startswith("float") or codes.bits > WIDEST else grid
    ((name, kind),) = _out(b, node, layout, grid).items()
    out = {name: kind if grid is None else replace(kind, bits=codes.bits)}
    b.emit(node, "dequantize_linear", inputs if zero else inputs[:2], out, options)


def dynamic(b: Builder, node: OnnxNode) -> None:
    """DynamicQuantizeLinear, in the layout of its input."""
    x = node.required(0)
    layout = b.layout((x,))
    outputs = {
        **_out(b, node, layout, None),
        **{name: b.declared(name) for name in node.outputs[1:]},
    }
    b.emit(node, "dynamic_quantize_linear", [b.at(x, layout, node)], outputs)


def _weights(b: Builder, node: OnnxNode, name: str, quant: QuantParams, *, depthwise: bool) -> str:
    """A filter tensor (oc, ic, ky, kx) as (oc, ky, kx, ic), or as (1, ky, kx, oc)."""
    target = f"{name}@{'depthwise' if depthwise else 'ohwi'}{node.index}"
    value = b.constant(name, node, "weights")
    kind = b.kind(name)
    if depthwise:
        moved = value[:, 0].transpose(1, 2, 0)[None]
        quant = replace(quant, axis=None if quant.axis is None else 3)
    else:
        moved = value.transpose(0, 2, 3, 1)
    return b.define(target, np.ascontiguousarray(moved), kind.bits, quant)


def conv(b: Builder, node: OnnxNode) -> None:
    """QLinearConv: one requantizing convolution, or two steps where scales come at run time."""
    x, w, bias = node.required(0), node.required(3), node.input(8)
    image, filters = b.kind(x).shape, b.kind(w).shape
    options = window_options(node, image, filters[2:])
    parameters = [node.input(i) for i in (1, 2, 4, 5, 6, 7)]
    if not is_constant(b, [*parameters, w, bias]):
        _conv_in_two_steps(b, node)
        return
    grids = {
        0: quantization(b, node, node.required(1), node.input(2)),
        1: quantization(b, node, node.required(4), node.input(5), 0),
    }
    y = quantization(b, node, node.required(6), node.input(7))
    depthwise = node.get("group", 1) == image[1] > 1 and filters[1] == 1
    b.emit(
        node,
        "depthwise_conv_2d" if depthwise else "conv_2d",
        [
            b.at(x, "nhwc", node),
            _weights(b, node, w, grids[1], depthwise=depthwise),
            *([bias] if bias else []),
        ],
        _out(b, node, "nhwc", y),
        {
            "stride_h": options["stride"][0],
            "stride_w": options["stride"][1],
            "dilation_h_factor": options["dilation"][0],
            "dilation_w_factor": options["dilation"][1],
            "padding": options["padding"],
            "fused_activation_function": "NONE",
        },
        grids,
    )


def _conv_in_two_steps(b: Builder, node: OnnxNode) -> None:
    """Accumulators, then their requantization by tensors."""
    x, w = node.required(0), node.required(3)
    options = window_options(node, b.kind(x).shape, b.kind(w).shape[2:])
    out = _out(b, node, "nhwc", None)
    (target, kind) = next(iter(out.items()))
    sums = f"{target}@sums"
    zeros = [b.at(node.input(i), "file", node) for i in (2, 5)]
    bias = b.at(node.input(8), "file", node)
    operands = [b.at(x, "nhwc", node), b.at(w, "nhwc", node), bias, *zeros]
    b.emit(node, "conv_integer", operands, {sums: replace(kind, dtype="int32", bits=32)}, options)
    b.emit(node, "requantize_linear", [sums, *_scales(b, node, (1, 4, 6, 7))], out)


def _scales(b: Builder, node: OnnxNode, positions: tuple[int, ...]) -> list[str]:
    return [b.at(node.required(i), "file", node) for i in positions]


def matmul(b: Builder, node: OnnxNode) -> None:
    """QLinearMatMul: a fully connected layer where everything but x is constant."""
    x, w = node.required(0), node.required(3)
    fixed = is_constant(b, [*node.inputs[1:]])
    if fixed and len(b.kind(w).shape) == 2 and len(b.kind(x).shape) >= 2:
        value = b.constant(w, node, "weights")
        _fully_connected(b, node, value.T, (1, 2, 4, 5, 6, 7), "", keep=True)
        return
    out = _out(b, node, "file", None)
    ((target, kind),) = out.items()
    sums = f"{target}@sums"
    zeros = [b.at(node.input(i), "file", node) for i in (2, 5)]
    operands = [b.at(x, "file", node), b.at(w, "file", node), "", *zeros]
    b.emit(node, "matmul_integer", operands, {sums: replace(kind, dtype="int32", bits=32)})
    b.emit(node, "requantize_linear", [sums, *_scales(b, node, (1, 4, 6, 7))], out)


def _fully_connected(
    b: Builder,
    node: OnnxNode,
    rows: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]",
    places: tuple[int, int, int, int, int, int],
    bias: str,
    *,
    keep: bool,
) -> None:
    """`rows` are the weights (o, i); `places` the inputs that hold scales and zero points."""
    s_x, z_x, s_w, z_w, s_y, z_y = (node.input(i) for i in places)
    x = quantization(b, node, s_x, z_x)
    alpha = np.float32(node.get("alpha", 1.0))
    x = replace(x, scale=tuple(float(alpha * np.float32(s)) for s in x.scale))
    weights = quantization(b, node, s_w, z_w, 0)
    y = quantization(b, node, s_y, z_y)
    w = node.required(3)
    stored = b.define(f"{w}@rows{node.index}", np.ascontiguousarray(rows), b.kind(w).bits, weights)
    b.emit(
        node,
        "fully_connected",
        [b.at(node.required(0), "file", node), stored, *([bias] if bias else [])],
        _out(b, node, "file", y),
        {"keep_num_dims": keep},
        {0: x, 1: weights},
    )


def gemm(b: Builder, node: OnnxNode) -> None:
    """QGemm: a fully connected layer, or accumulators times a scale where the output is real."""
    x, w, c = node.required(0), node.required(3), node.input(6)
    if node.get("transA", 0):
        raise Unsupported(f"{node.place}: transA must be 0; transpose the input before")
    value = b.constant(w, node, "weights")
    rows = value if node.get("transB", 0) else value.T
    bias = ""
    if c:
        addend = b.constant(c, node, "the bias")
        outputs = rows.shape[0]
        if addend.size not in (1, outputs) or addend.shape[-1:] not in ((outputs,), (1,), ()):
            raise Unsupported(f"{node.place}: bias must be one a column; found {addend.shape}")
        spread = np.ascontiguousarray(np.broadcast_to(addend.reshape(-1), (outputs,)))
        bias = b.define(f"{c}@bias{node.index}", spread, 32)
    if node.input(7):
        _fully_connected(b, node, rows, (1, 2, 4, 5, 7, 8), bias, keep=True)
        return
    out = _out(b, node, "file", None)
    ((target, kind),) = out.items()
    columns = b.define(f"{w}@columns{node.index}", np.ascontiguousarray(rows.T), b.kind(w).bits)
    operands = [b.at(x, "file", node), columns, bias, node.input(2), node.input(5)]
    sums = f"{target}@sums"
    b.emit(node, "matmul_integer", operands, {sums: replace(kind, dtype="int32", bits=32)})
    s_x, s_w = (b.constant(node.required(i), node, "the scale").reshape(-1) for i in (1, 4))
    alpha = np.float32(node.get("alpha", 1.0))
    scale = b.define(f"{target}@scale", (alpha * s_x * s_w).astype(np.float32), 32)
    options = {"axis": len(kind.shape) - 1, "block_size": 0}
    b.emit(node, "dequantize_linear", [sums, scale], out, options)


def matmul_to_float(b: Builder, node: OnnxNode) -> None:
    """MatMulIntegerToFloat (A, B, their scales, their zero points): f32(sums) f32(s_a s_b)."""
    if node.input(6):
        raise Unsupported(f"{node.place}: a bias is not supported here; add it in its own node")
    out = _out(b, node, "file", None)
    ((target, kind),) = out.items()
    x, w, _, _, *zeros = (b.at(node.input(i), "file", node) for i in range(6))
    sums = f"{target}@sums"
    operands = [x, w, "", *zeros]
    b.emit(node, "matmul_integer", operands, {sums: replace(kind, dtype="int32", bits=32)})
    s_x, s_w = (b.constant(node.required(i), node, "the scale").reshape(-1) for i in (2, 3))
    scale = b.define(f"{target}@scale", (s_x * s_w).astype(np.float32), 32)
    options = {"axis": len(kind.shape) - 1, "block_size": 0}
    b.emit(node, "dequantize_linear", [sums, scale], out, options)


def _binary(b: Builder, node: OnnxNode, kind: str) -> None:
    from workloads.onnx.floats import operands

    layout, names = operands(b, node, (node.required(0), node.required(3)))
    grids = {
        0: quantization(b, node, node.required(1), node.input(2)),
        1: quantization(b, node, node.required(4), node.input(5)),
    }
    y = quantization(b, node, node.required(6), node.input(7))
    options = {"lift": node.get("lift", 0), "swapped": _meets_many(b, node)}
    b.emit(node, kind, names, _out(b, node, layout, y), options, grids)


def _meets_many(b: Builder, node: OnnxNode) -> bool:
    """Whether one element of the first operand meets a row of the second, in the file's layout."""
    shapes = [b.kind(node.required(i)).shape for i in (0, 3)]
    rank = max(map(len, shapes))
    first, second = ((1,) * (rank - len(s)) + s for s in shapes)
    pairs = [(m, n) for m, n in zip(first, second, strict=True) if max(m, n) > 1]
    return bool(pairs) and pairs[-1][0] == 1


def add(b: Builder, node: OnnxNode) -> None:
    """QLinearAdd."""
    _binary(b, node, "qlinear_add")


def mul(b: Builder, node: OnnxNode) -> None:
    """QLinearMul."""
    _binary(b, node, "qlinear_mul")


def average_pool(b: Builder, node: OnnxNode) -> None:
    """QLinearAveragePool; one window over all of the image is summed in integers, as globally."""
    _refuse_channels_last(node)
    shape = b.kind(node.required(0)).shape
    window = window_options(node, shape)
    if window["kernel"] == shape[2:] and not any(window["padding"]):
        _unary(b, node, "qlinear_global_average_pool", "nhwc", {})
        return
    options = {
        **window,
        "count_padding": node.get("count_include_pad", 0),
        "lift": node.get("lift", 0),
    }
    _unary(b, node, "qlinear_average_pool", "nhwc", options)


def global_average_pool(b: Builder, node: OnnxNode) -> None:
    """QLinearGlobalAveragePool."""
    _refuse_channels_last(node)
    _unary(b, node, "qlinear_global_average_pool", "nhwc", {})


def _refuse_channels_last(node: OnnxNode) -> None:
    if node.get("channels_last", 0):
        raise Unsupported(f"{node.place}: channels_last must be 0; save the unoptimized model")


def _unary(
    b: Builder, node: OnnxNode, kind: str, layout: Layout, options: dict[str, object]
) -> None:
    grids = {0: quantization(b, node, node.required(1), node.input(2))}
    y = quantization(b, node, node.required(3), node.input(4))
    x = b.at(node.required(0), layout, node)
    b.emit(node, kind, [x], _out(b, node, layout, y), options, grids)


def sigmoid(b: Builder, node: OnnxNode) -> None:
    """QLinearSigmoid."""
    _unary(b, node, "qlinear_sigmoid", b.layout((node.required(0),)), {})


def leaky_relu(b: Builder, node: OnnxNode) -> None:
    """QLinearLeakyRelu."""
    options: dict[str, object] = {"alpha": float(node.get("alpha", 0.01))}
    _unary(b, node, "qlinear_leaky_relu", b.layout((node.required(0),)), options)


def softmax(b: Builder, node: OnnxNode) -> None:
    """QLinearSoftmax over trailing axes; another one is moved to the end and back."""
    x = node.required(0)
    rank = len(b.kind(x).shape)
    axes = trailing_axes(node, rank, int(node.get("opset", 13)))
    if axes != tuple(range(axes[0], rank)):
        raise Unsupported(f"{node.place}: axis must be the last one; found {axes[0]} of {rank}")
    _unary(b, node, "qlinear_softmax", "file", {"axes": len(axes), "lift": node.get("lift", 0)})


def concat(b: Builder, node: OnnxNode) -> None:
    """QLinearConcat: (y scale, y zero point), then (x, scale, zero point) of each input."""
    y = quantization(b, node, node.required(0), node.required(1))
    names = [node.required(i) for i in range(2, len(node.inputs), 3)]
    grids = {
        k: quantization(b, node, node.required(3 * k + 3), node.required(3 * k + 4))
        for k in range(len(names))
    }
    layout = b.layout(names)
    rank = len(b.kind(names[0]).shape)
    axis = axis_in(int(node.get("axis", 0)), rank, layout, node)
    inputs = [b.at(name, layout, node) for name in names]
    b.emit(node, "qlinear_concat", inputs, _out(b, node, layout, y), {"axis": axis}, grids)
