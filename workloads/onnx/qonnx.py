"""Converters of QONNX quantizers: the grid goes with the tensor, the values stay real."""

from typing import Final

import numpy as np

from simulator.errors import IllegalGraph
from simulator.graph import QuantParams
from workloads.onnx.build import Builder, Grid, Layout
from workloads.onnx.floats import operands, output
from workloads.onnx.grids import axis_in
from workloads.onnx.model import OnnxNode

WIDEST: Final = 32
"""Bits; float32 holds integers of 24 exactly, and QONNX computes on."""


def _grid(b: Builder, node: OnnxNode, scale: str, zero: str, bits: int) -> Grid:
    """What is known of a quantizer's output: constant parameters with one axis at most."""
    scales = b.value(scale)
    zeros = np.zeros(1) if not zero else b.value(zero)
    if scales is None or zeros is None:
        return Grid(None, bits)
    rank = len(b.kind(node.required(0)).shape)
    long = [k for k, n in enumerate((1,) * (rank - scales.ndim) + scales.shape) if n > 1]
    if len(long) > 1 or zeros.size != 1 or not np.equal(zeros, np.rint(zeros)).all():
        return Grid(None, bits)
    points = (int(zeros.reshape(-1)[0]),) * scales.size
    try:
        values = tuple(float(s) for s in scales.reshape(-1))
        return Grid(QuantParams(values, points, long[0] if long else None), bits)
    except IllegalGraph:
        return Grid(None, bits)


def _bits(b: Builder, node: OnnxNode, name: str) -> int:
    """The greatest width that a constant tensor of widths holds; raises where it is no width."""
    width = float(b.constant(name, node, "the width in bits").max())
    if not 1 <= width <= WIDEST:
        raise IllegalGraph(f"{node.place}: a width must be from 1 to {WIDEST} bits; found {width}")
    return int(np.ceil(width))


def quant(b: Builder, node: OnnxNode) -> None:
    """Quant and IntQuant."""
    bits = _bits(b, node, node.required(3))
    layout, names = operands(b, node, [node.required(i) for i in range(4)])
    grid = _grid(b, node, node.required(1), node.required(2), bits)
    b.emit(node, "quant", names, output(b, node, layout, grid), node.attributes)


def bipolar_quant(b: Builder, node: OnnxNode) -> None:
    """BipolarQuant: one bit."""
    layout, names = operands(b, node, [node.required(i) for i in (0, 1)])
    grid = _grid(b, node, node.required(1), "", 1)
    b.emit(node, "bipolar_quant", names, output(b, node, layout, grid))


def trunc(b: Builder, node: OnnxNode) -> None:
    """Trunc, of five inputs or of six."""
    last = len(node.inputs) - 1
    bits = _bits(b, node, node.required(last))
    scale = node.required(4) if last == 5 else node.required(1)
    layout, names = operands(b, node, [node.required(i) for i in range(last + 1)])
    grid = _grid(b, node, scale, "", bits)
    b.emit(node, "trunc", names, output(b, node, layout, grid), node.attributes)


def multi_threshold(b: Builder, node: OnnxNode) -> None:
    """MultiThreshold: the channel's axis follows from data_layout or the rank, as in qonnx."""
    x, thresholds = node.required(0), node.required(1)
    rank = len(b.kind(x).shape)
    named = node.get("data_layout", "") or {2: "NC", 3: "NWC", 4: "NCHW"}.get(rank, "")
    layout: Layout = b.layout((x,))
    axis = axis_in(named.index("C") if "C" in named else 1, rank, layout, node)
    steps = b.kind(thresholds).shape[-1]
    options = {
        "axis": axis,
        "out_scale": node.get("out_scale", 1.0),
        "out_bias": node.get("out_bias", 0.0),
    }
    out = output(b, node, layout, Grid(None, int(steps).bit_length()))
    names = [b.at(x, layout, node), b.at(thresholds, "file", node)]
    b.emit(node, "multi_threshold", names, out, options)
