"""From real values, or from codes of another grid, to codes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self, final

import numpy as np

from simulator.decode import (
    present,
    refuse,
    require_dtypes,
    single_grid,
    value_range,
)
from simulator.elementwise import Elementwise, scale_ratio
from simulator.graph import Array, Source
from simulator.numeric.codes import RealToCode
from simulator.numeric.elementwise import multiple_of_256th
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.registry import register

OUTPUTS: Final = {
    "float32": ("int8", "uint8", "int16"),
    "int8": ("int8", "uint8", "int16", "int32"),
    "uint8": ("int8", "uint8", "int16"),
    "int16": ("int8", "int16", "int32"),
    "int32": ("int8", "int16"),
}
"""The output dtypes of each input dtype that some TFLite runtime takes."""


@register
@final
@dataclass(frozen=True)
class Quantize(Elementwise):
    """y = clamp(round(x / s_y) + z_y), x real or on a grid of its own.

    Not `quantize_linear`, whose scale is an input.
    """

    kind = "quantize"
    formats = ("tflite:QUANTIZE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/quantize.h and requantize.h"
    requantizations = 1
    real_multiplications = 1

    zero_point: int
    rescale: Requantize | RealToCode
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """By the dtypes of input and output."""
        require_dtypes(source.place, source.inputs[:1], tuple(OUTPUTS))
        x, y = present(source.inputs, 0).dtype, source.outputs[0].dtype
        if y not in OUTPUTS[x]:
            refuse(
                source.place,
                f"{x} is quantized to {' or '.join(OUTPUTS[x])}",
                y,
                "Quantize in two steps.",
            )
        if x == "float32":
            return cls(0, _from_real(source), y)
        _, x_zero = single_grid(source.inputs[0], source.place, "the input")
        return cls(x_zero, _from_codes(source), y)

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Convert, or rescale."""
        if isinstance(self.rescale, RealToCode):
            return self.rescale.convert(inputs[0], self.dtype)
        # In 32 bits, wrapping, as the kernels subtract.
        x = inputs[0].astype(np.int32) - np.int32(self.zero_point)
        return requantize_array(x, self.rescale, self.dtype)


def _from_real(source: Source) -> RealToCode:
    y = source.outputs[0]
    y_grid = single_grid(y, source.place, "the output")
    even = source.dialect.form(Quantize.kind, "away") == "even"
    # XNNPACK clamps in float; int16 it leaves to LiteRT, which converts first.
    clamps_first = even and y.dtype != "int16"
    return RealToCode(*y_grid, *value_range(y), "even" if even else "away", clamps_first)


def _from_codes(source: Source) -> Requantize:
    x, y = present(source.inputs, 0), source.outputs[0]
    x_scale, _ = single_grid(x, source.place, "the input")
    y_scale, y_zero = single_grid(y, source.place, "the output")
    low, high = value_range(y)
    same_8_bits = x.dtype == y.dtype and y.dtype != "int16"
    if same_8_bits and source.dialect.form(Quantize.kind, "away") == "even":
        multiple = multiple_of_256th(scale_ratio(source, "single", x_scale, 1.0, y_scale))
        if multiple is not None:
            return replace(multiple, zero_point=y_zero, low=low, high=high)
    flipped = {x.dtype, y.dtype} == {"int8", "uint8"}
    rule = source.dialect.rule(Quantize.kind, f"{y.dtype}.flipped" if flipped else y.dtype)
    ratio = (x_scale / y_scale,)
    return make_requantize(rule.rounding, ratio, y_zero, low, high, rule.blocks)
