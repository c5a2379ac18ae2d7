"""QDQ ONNX: QuantizeLinear and DequantizeLinear around float operators, which ONNX Runtime fuses.

Facts: onnxruntime 1.31.1 core/optimizer/qdq_transformer; `docs/export.md` has what was measured.
"""

from typing import Final, Literal

import numpy as np
from onnx import ModelProto

from simulator.errors import BadConfig, Unsupported
from simulator.graph import Array, Graph
from simulator.numeric.bounds import UNBOUNDED, Bounds
from workloads.float_graph import Layer
from workloads.onnx.reader import from_model
from workloads.quantize.export.carriers import (
    Carrier,
    carrier,
    type_bits,
    weight_element,
)
from workloads.quantize.export.onnx_graph import to_model
from workloads.quantize.export.onnx_values import Order, Quantizers, cut
from workloads.quantize.export.onnx_writer import ELEMENTS, LEAST_OPSET, NARROW_OPSET, Writer
from workloads.quantize.grid import Grid
from workloads.quantize.ptq.biases import with_room_for_biases
from workloads.quantize.ptq.plan import BIAS_BITS, Plan, bias_codes

Narrow = Literal["packed", "bytes", "typed"]
NARROW: Final[tuple[Narrow, ...]] = ("packed", "bytes", "typed")
"""What becomes of weights of up to 4 bits.

``packed``: stored as INT4 and cast to INT8, a constant that ONNX Runtime folds: half a byte in the
file, integer arithmetic. ``bytes``: stored as INT8, for runtimes without INT4. ``typed``:
DequantizeLinear of INT4 itself, which ONNX Runtime multiplies in float32.
"""
_NARROW_TYPES: Final = ("int4", "uint4")


def to_qdq(plan: Plan, narrow: Narrow = "packed") -> ModelProto:
    """The plan as QDQ ONNX; a plan without grids as the float network.

    Inputs and outputs are real, with the names, shapes and axes of the plan's graph. Raises
    Unsupported, naming node or tensor, for operators that ONNX does not have and grids of more than
    16 bits.
    """
    if narrow not in NARROW:
        raise BadConfig(f"narrow must be one of {', '.join(NARROW)}; found '{narrow}'")
    roomy = with_room_for_biases(plan)
    return to_model(roomy, _Qdq(roomy, narrow), _opset(roomy, narrow), {})


def integer(plan: Plan, dialect: str = "onnxruntime", narrow: Narrow = "packed") -> Graph:
    """What the reader makes of `to_qdq`: the graph that the engine runs and machines cost."""
    return from_model(to_qdq(plan, narrow), plan.graph.name, dialect)


def _opset(plan: Plan, narrow: Narrow) -> int:
    """21 where a type of 4 or 16 bits occurs."""
    held = [carrier(grid, name).element for name, grid in plan.activations.items()]
    for name, weights in plan.weights.items():
        element = weight_element(weights.grid, weights.codes, name)
        held.append("int8" if narrow == "bytes" and element in _NARROW_TYPES else element)
    return NARROW_OPSET if {*held} - {"int8", "uint8"} else LEAST_OPSET


class _Qdq(Quantizers):
    """Q and DQ; activations of fewer than 8 bits, and fused activations, are a Clip of the codes.

    So that what stands before the Q is what ONNX Runtime fuses it with.
    """

    def __init__(self, plan: Plan, narrow: Narrow) -> None:
        self.narrow = narrow
        self.plan = plan
        self.codes = dict[str, str]()
        """The codes of 8 bits behind a real value."""

    def activation(self, writer: Writer, value: str, name: str, grid: Grid, bounds: Bounds) -> str:
        """Q, Clip of the codes, DQ; for 16 bits Clip of the reals, Q, DQ."""
        held = carrier(grid, name).within(bounds)
        if not held.narrow and not held.full:
            value = _cut_reals(writer, value, name, held, bounds)
        return self._pair(writer, value, name, held, clip=held.narrow and not held.full)

    def moved(self, writer: Writer, value: str, name: str, grid: Grid) -> str:
        """Q, DQ, which give back what they are given."""
        return self._pair(writer, value, name, carrier(grid, name), clip=False)

    def beside_reals(self, writer: Writer, value: str, name: str) -> str:
        """The greater of it and the least real, which keeps ONNX Runtime from the weights.

        Of a layer between a DQ and a Q it would quantize them to int8 itself
        (qdq_transformer/weight_bias_quantization.cc).
        """
        least = writer.constant("least", np.float32(np.finfo(np.float32).min))
        return writer.node("Max", [value, least], f"{name}_reals")

    def padded(self, writer: Writer, value: str, pads: str, name: str, grid: Grid) -> str:
        """Of 8 bits the codes are padded: ONNX Runtime would pad the reals, and quantize again."""
        held = carrier(grid, name)
        if value not in self.codes:
            return super().padded(writer, value, pads, name, grid)
        parameters = _grid(writer, name, held)
        inputs = [self.codes[value], pads, parameters[1]]
        codes = writer.node("Pad", inputs, f"{name}_codes")
        return self._real(writer, codes, name, held)

    def constant(self, writer: Writer, value: Array, name: str, grid: Grid) -> str:
        """Codes and DQ."""
        held = carrier(grid, name)
        codes = (grid.quantize(value) + held.shift).astype(held.element)
        inputs = [writer.constant(f"{name}_codes", codes), *_grid(writer, name, held)]
        return writer.node("DequantizeLinear", inputs, f"{name}_values")

    def weights(self, writer: Writer, plan: Plan, layer: Layer, order: Order, axis: int) -> str:
        """Codes and DQ, with a Cast between where they are packed."""
        held, name = plan.weights[layer.weights], layer.weights
        element = weight_element(held.grid, held.codes, name)
        bits = held.grid.code_bits
        stem = name if order == tuple(range(len(order))) else f"{name}_{''.join(map(str, order))}"
        codes = held.codes.transpose(order)
        byte = "int8" if element == "int4" else "uint8"
        if element in _NARROW_TYPES and self.narrow == "bytes":
            element = byte
        stated = bits if bits < type_bits(element) else 0
        stored = writer.constant(f"{stem}_codes", codes, element, stated)
        if element in _NARROW_TYPES and self.narrow == "packed":
            element = byte
            stored = writer.node("Cast", [stored], f"{stem}_bytes", to=ELEMENTS[byte])
        single = len(held.grid.scale) == 1
        scales = np.array(held.grid.scale, np.float32).reshape(() if single else (-1,))
        zeros = np.array(held.grid.zero_point).reshape(scales.shape)
        # ONNX Runtime fuses no Gemm where a zero point is left out.
        inputs = [
            stored,
            writer.constant(f"{stem}_scale", scales),
            writer.constant(f"{stem}_zero", zeros, element),
        ]
        options = {} if single else {"axis": axis}
        return writer.node("DequantizeLinear", inputs, f"{stem}_values", **options)

    def bias(self, writer: Writer, plan: Plan, layer: Layer) -> str:
        """Codes in 32 bits on s_x s_w, and DQ.

        Of operands of more than 8 bits, which ONNX Runtime multiplies in float32, codes of more are
        held on 2^k s_x s_w: a real bias it would itself bring to s_x s_w, and wrap.
        """
        codes = bias_codes(plan, layer).reshape(-1)
        grids = plan.activations[layer.activations], plan.weights[layer.weights].grid
        x, w = (np.array(g.scale, np.float32) for g in grids)
        scales = x * w
        if not np.all(scales > 0):
            raise Unsupported(
                f"{plan.graph.name}: the scales of '{layer.activations}' and '{layer.weights}' "
                "multiply to 0 in float32; give the weights a wider range"
            )
        codes, scales = _in_32_bits(codes, scales)
        stem = f"{layer.bias}_{layer.weights}"
        held = scales.reshape(()) if scales.size == 1 else scales
        inputs = [
            writer.constant(f"{layer.bias}_codes", codes.astype(np.int32)),
            writer.constant(f"{stem}_scale", held),
        ]
        options = {} if scales.size == 1 else {"axis": 0}
        return writer.node("DequantizeLinear", inputs, f"{layer.bias}_values", **options)

    def _pair(self, writer: Writer, value: str, name: str, held: Carrier, *, clip: bool) -> str:
        codes = writer.node("QuantizeLinear", [value, *_grid(writer, name, held)], f"{name}_codes")
        if clip:
            ends = [
                writer.constant(f"{name}_{end}", np.array(limit), held.element)
                for end, limit in zip(("low", "high"), held.limits, strict=True)
            ]
            codes = writer.node("Clip", [codes, *ends], f"{name}_clipped")
        return self._real(writer, codes, name, held)

    def _real(self, writer: Writer, codes: str, name: str, held: Carrier) -> str:
        inputs = [codes, *_grid(writer, name, held)]
        value = writer.node("DequantizeLinear", inputs, f"{name}_values")
        if held.narrow:
            self.codes[value] = codes
        return value


def _in_32_bits(codes: Array, scales: Array) -> tuple[Array, Array]:
    """Codes of 32 bits and their scales: 2^k the given ones, each as it needs."""
    most = np.abs(codes) if scales.size > 1 else np.abs(codes).max(keepdims=True)
    over = np.ceil(np.log2(np.maximum(most, 1) / (2.0 ** (BIAS_BITS - 1) - 1)))
    factor = 2.0 ** np.maximum(over, 0)
    return np.rint(codes / factor), scales * factor.reshape(scales.shape).astype(np.float32)


def _grid(writer: Writer, name: str, held: Carrier) -> list[str]:
    """Constants of scale and zero point."""
    return [
        writer.constant(f"{name}_scale", np.float32(held.scale)),
        writer.constant(f"{name}_zero", np.array(held.zero_point), held.element),
    ]


def _cut_reals(writer: Writer, value: str, name: str, held: Carrier, bounds: Bounds) -> str:
    """The real value cut to what the limits stand for, before the Q of a wide type.

    ONNX Runtime clips no codes of 16 bits.
    """
    least, greatest = held.reals()
    whole = Carrier(held.element, held.shift, held.scale, held.zero_point, _ends(held.element))
    ends = [float(least), float(greatest)]
    if held.limits[0] == whole.limits[0]:
        ends[0] = -np.inf
    if held.limits[1] == whole.limits[1]:
        ends[1] = np.inf
    chosen = (ends[0], ends[1])
    return value if chosen == UNBOUNDED else cut(writer, value, chosen, name)


def _ends(element: str) -> tuple[int, int]:
    limits = np.iinfo(element)
    return int(limits.min), int(limits.max)
