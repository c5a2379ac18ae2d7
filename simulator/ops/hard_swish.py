"""Hard swish: a piecewise quadratic swish."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, final

import numpy as np

from simulator.decode import refuse, value_range
from simulator.elementwise import Elementwise, scale_ratio, unary_grids
from simulator.graph import Array, Source
from simulator.numeric.hard_swish import HIGH_RESOLUTION_BITS, hard_swish
from simulator.numeric.requantize import quantize_multiplier
from simulator.registry import register

GATE_STEP: Final = 3.0 / 2**15
"""The grid of the gate: 3 is 2^15."""


@register
@final
@dataclass(frozen=True)
class HardSwish(Elementwise):
    """y = x relu6(x + 3) / 6, in 16-bit products.

    `output` and `gate` are (16-bit multiplier, shift) of x on the output's grid, and on one where
    3 is 2^15.
    """

    kind = "hard_swish"
    formats = ("tflite:HARD_SWISH",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/hard_swish.h"
    operations = 12
    requantizations = 2

    zero_points: tuple[int, int]
    output: tuple[int, int]
    gate: tuple[int, int]
    clamp: tuple[int, int]
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """8 bits; the ratios are formed in float32."""
        grids = unary_grids(source, ("int8", "uint8"))
        fine = 2.0**-HIGH_RESOLUTION_BITS
        output, gate = (
            _multiplier_16(scale_ratio(source, "single", grids.x_scale, fine, step))
            for step in (grids.y_scale, GATE_STEP)
        )
        if output[1] > 0:
            refuse(
                source.place,
                "the input scale must not exceed 128 times the output's",
                f"{grids.x_scale} and {grids.y_scale}",
                "Requantize the tensors.",
            )
        zero_points = (grids.x_zero_point, grids.y_zero_point)
        y = source.outputs[0]
        return cls(zero_points, output, gate, value_range(y), y.dtype)

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Element by element."""
        x = np.ascontiguousarray(inputs[0]).reshape(-1)
        out = np.empty(x.shape, dtype=self.dtype)
        hard_swish(x, self.zero_points, self.output, self.gate, *self.clamp, out)
        return out.reshape(inputs[0].shape)


def _multiplier_16(scale: float) -> tuple[int, int]:
    """The multiplier of 31 bits rounded to 15, at most 2^15 - 1, and its shift."""
    multiplier, shift = quantize_multiplier(scale)
    return min((multiplier + (1 << 15)) >> 16, 2**15 - 1), shift
