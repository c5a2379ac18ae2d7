"""QONNX: a Quant node at each place, real values between.

Pappalardo et al. 2022 (arXiv 2206.07527); qonnx 1.0.0 custom_op/general/intquant.py: its grids are
signed or unsigned of a number of bits, `narrow` without the least or the greatest code. It rounds
x / scale + zero point, where QuantizeLinear rounds x / scale: ties at an odd zero point differ.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from onnx import ModelProto, TensorProto, helper

from simulator.graph import Array
from simulator.numeric.bounds import UNBOUNDED, Bounds, within
from workloads.float_graph import Layer
from workloads.onnx.reader import types_of
from workloads.quantize.export.onnx_graph import to_model
from workloads.quantize.export.onnx_values import Order, Quantizers, cut
from workloads.quantize.export.onnx_writer import Writer
from workloads.quantize.grid import Grid
from workloads.quantize.ptq.biases import with_room_for_biases
from workloads.quantize.ptq.plan import Plan, real_bias

DOMAIN: Final = "qonnx.custom_op.general"


def to_qonnx(plan: Plan) -> ModelProto:
    """The plan as QONNX: weights and activations behind Quant nodes, biases real.

    Biases of integer layers are the values of their codes. Raises Unsupported for operators
    that ONNX does not have.
    """
    model = to_model(with_room_for_biases(plan), _Quants(), 0, {DOMAIN: 1})
    # qonnx executes nothing whose shapes are not in the file.
    for name, kind in types_of(model, plan.graph.name).items():
        element = TensorProto.DataType.Value(kind.element.upper())
        model.graph.value_info.append(helper.make_tensor_value_info(name, element, kind.shape))
    return model


@dataclass(frozen=True)
class _Range:
    """The codes of a Quant node: `shift` more than the grid's."""

    bits: int
    signed: bool
    narrow: bool
    shift: int

    @property
    def ends(self) -> tuple[int, int]:
        """Least and greatest code (qonnx min_int, max_int)."""
        if self.signed:
            return -(1 << (self.bits - 1)) + self.narrow, (1 << (self.bits - 1)) - 1
        return 0, (1 << self.bits) - 1 - self.narrow


def _range(grid: Grid) -> _Range:
    """The range that is the grid's own; else an unsigned one that holds its codes."""
    bits = grid.code_bits
    for signed in (True, False):
        for narrow in (False, True):
            found = _Range(bits, signed, narrow, 0)
            if found.ends == (grid.low, grid.high):
                return found
    levels = grid.high - grid.low
    bits = max(levels.bit_length(), 1)
    return _Range(bits, False, levels == (1 << bits) - 2 > 0, -grid.low)


class _Quants(Quantizers):
    """Quant nodes, rounding half to even."""

    def activation(self, writer: Writer, value: str, name: str, grid: Grid, bounds: Bounds) -> str:
        """A cut of the reals where the range does not make it, then Quant."""
        low, high = (float(end[0]) for end in grid.ends())
        chosen = _range(grid)
        whole = chosen.ends == (grid.low + chosen.shift, grid.high + chosen.shift)
        least, greatest = within(UNBOUNDED if whole else (low, high), bounds)
        kept = (-inf if least <= low and whole else least, inf if greatest >= high else greatest)
        if kept != UNBOUNDED:
            value = cut(writer, value, kept, name)
        scale = np.array(grid.scale[0], np.float32)
        return _quant(writer, value, name, scale, grid, chosen)

    def moved(self, writer: Writer, value: str, name: str, grid: Grid) -> str:
        """Nothing: the elements are on the grid."""
        return value

    def constant(self, writer: Writer, value: Array, name: str, grid: Grid) -> str:
        """The values on the grid, and Quant."""
        scale = np.array(grid.scale[0], np.float32)
        held = writer.constant(f"{name}_real", _real(grid.quantize(value), grid, scale))
        return _quant(writer, held, name, scale, grid, _range(grid))

    def weights(self, writer: Writer, plan: Plan, layer: Layer, order: Order, axis: int) -> str:
        """The values on the grid, and Quant with a scale a channel."""
        held, name = plan.weights[layer.weights], layer.weights
        stem = name if order == tuple(range(len(order))) else f"{name}_{''.join(map(str, order))}"
        shape = [-1 if k == axis else 1 for k in range(len(order))]
        scale = np.array(held.grid.scale, np.float32)
        spread = scale.reshape(() if scale.size == 1 else shape)
        codes = held.codes.transpose(order)
        value = writer.constant(f"{stem}_real", _real(codes, held.grid, spread))
        return _quant(writer, value, stem, spread, held.grid, _range(held.grid))

    def bias(self, writer: Writer, plan: Plan, layer: Layer) -> str:
        """The real values of the codes."""
        value = real_bias(plan, layer).reshape(-1).astype(np.float32)
        return writer.constant(f"{layer.bias}_real", value)


def _zeros(grid: Grid, scale: Array, shift: int) -> Array:
    points = np.array(grid.zero_point, np.float32) + np.float32(shift)
    one = len({*grid.zero_point}) == 1
    return points[:1].reshape(()) if one else points.reshape(scale.shape)


def _real(codes: Array, grid: Grid, scale: Array) -> Array:
    return np.asarray((codes - _zeros(grid, scale, 0)).astype(np.float32) * scale)


def _quant(writer: Writer, value: str, name: str, scale: Array, grid: Grid, chosen: _Range) -> str:
    inputs = [
        value,
        writer.constant(f"{name}_scale", scale),
        writer.constant(f"{name}_zero", _zeros(grid, scale, chosen.shift)),
        writer.constant(f"{name}_bits", np.float32(chosen.bits)),
    ]
    return writer.node(
        "Quant",
        inputs,
        f"{name}_values",
        domain=DOMAIN,
        signed=int(chosen.signed),
        narrow=int(chosen.narrow),
        rounding_mode="ROUND",
    )
