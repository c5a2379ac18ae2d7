"""The absolute value of a tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import value_range
from simulator.elementwise import Elementwise, centred, scale_ratio, unary_grids
from simulator.graph import Array, Source
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Abs(Elementwise):
    """y = clamp(requantize(|x - zx|) + zy)."""

    kind = "abs"
    formats = ("tflite:ABS",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, elementwise.cc AbsEvalQuantized"
    requantizations = 1

    zero_point: int
    requantize: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From an input and an output of one dtype."""
        grids, dtype = unary_grids(source, ("int8", "int16")), source.outputs[0].dtype
        rule = source.dialect.rule(cls.kind, dtype)
        scale = (scale_ratio(source, rule.scale, grids.x_scale, 1.0, grids.y_scale),)
        clamp = value_range(source.outputs[0])
        requantize = make_requantize(rule.rounding, scale, grids.y_zero_point, *clamp)
        return cls(grids.x_zero_point, requantize, dtype)

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Drop the sign, requantize."""
        magnitude = np.abs(centred(inputs[0], self.zero_point))
        return requantize_array(magnitude, self.requantize, self.dtype)
