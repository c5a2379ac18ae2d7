"""Parametric RELU: negative values are multiplied by a tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import (
    require_dtypes,
    require_same_dtype,
    single_grid,
    value_range,
)
from simulator.elementwise import Elementwise, centred, scale_ratio
from simulator.graph import Array, Source
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Prelu(Elementwise):
    """y = x where x >= 0, else alpha x; inputs x and alpha, NumPy broadcasting."""

    kind = "prelu"
    formats = ("tflite:PRELU",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/prelu.h"
    operands = 2
    requantizations = 1

    zero_points: tuple[int, int]
    requantize: Requantize
    requantize_negative: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From x, alpha and an output of one dtype, but that int16 takes an int8 alpha."""
        place, dtype = source.place, source.outputs[0].dtype
        require_dtypes(place, source.inputs[:1], ("int8", "uint8", "int16"))
        # An int16 alpha LiteRT reads as int8 (prelu.h): its answers mean nothing.
        alpha = "int8" if dtype == "int16" else dtype
        require_dtypes(place, source.inputs[1:2], (alpha,), first=1)
        require_same_dtype(source)
        x_scale, x_zero = single_grid(source.inputs[0], place, "the input")
        a_scale, a_zero = single_grid(source.inputs[1], place, "alpha")
        y_scale, y_zero = single_grid(source.outputs[0], place, "the output")
        rule = source.dialect.rule(cls.kind, dtype)
        positive, negative = (
            make_requantize(
                rule.rounding,
                (scale_ratio(source, rule.scale, x_scale, w, y_scale),),
                y_zero,
                *value_range(source.outputs[0]),
            )
            for w in (1.0, a_scale)
        )
        return cls((x_zero, a_zero), positive, negative, dtype)

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Requantize x and its product, take the one of the sign."""
        x, alpha = (centred(v, z) for v, z in zip(inputs, self.zero_points, strict=True))
        positive = requantize_array(x, self.requantize, self.dtype)
        return np.where(
            x < 0, requantize_array(x * alpha, self.requantize_negative, self.dtype), positive
        )
