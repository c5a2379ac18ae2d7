"""Leaky RELU: negative values are multiplied by a constant."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np

from simulator.decode import value_range
from simulator.elementwise import Elementwise, centred, scale_ratio, unary_grids
from simulator.graph import Array, Source
from simulator.numeric.elementwise import multiple_of_256th
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.numeric.tables import Grids
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class LeakyRelu(Elementwise):
    """y = x where x >= 0, else alpha x: one requantizer for each sign."""

    kind = "leaky_relu"
    formats = ("tflite:LEAKY_RELU",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/leaky_relu.h"
    requantizations = 1

    zero_point: int
    requantize: Requantize
    requantize_negative: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the option alpha; in the form `q8` both scales are multiples of 1/256."""
        grids, dtype = unary_grids(source, ("int8", "uint8", "int16")), source.outputs[0].dtype
        requantizers = _rescaled(source, grids)
        if dtype != "int16" and source.dialect.form(cls.kind, "rescale") == "q8":
            requantizers = _multiples(source, grids) or requantizers
        low, high = value_range(source.outputs[0])
        positive, negative = (
            replace(r, zero_point=grids.y_zero_point, low=low, high=high) for r in requantizers
        )
        return cls(grids.x_zero_point, positive, negative, dtype)

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Requantize by both, take the one of the sign."""
        x = centred(inputs[0], self.zero_point)
        positive = requantize_array(x, self.requantize, self.dtype)
        return np.where(x < 0, requantize_array(x, self.requantize_negative, self.dtype), positive)


def _rescaled(source: Source, grids: Grids) -> tuple[Requantize, Requantize]:
    """By s_x / s_y and s_x alpha / s_y."""
    rule = source.dialect.rule(LeakyRelu.kind, source.outputs[0].dtype)
    positive, negative = (
        scale_ratio(source, rule.scale, grids.x_scale, factor, grids.y_scale)
        for factor in (1.0, source.options["alpha"])
    )
    return (
        make_requantize(rule.rounding, (positive,), 0, 0, 0),
        make_requantize(rule.rounding, (negative,), 0, 0, 0),
    )


def _multiples(source: Source, grids: Grids) -> tuple[Requantize, Requantize] | None:
    """The same as multiples of 1/256, where XNNPACK takes both."""
    ratio = scale_ratio(source, "single", grids.x_scale, 1.0, grids.y_scale)
    positive = multiple_of_256th(ratio)
    negative = multiple_of_256th(scale_ratio(source, "single", ratio, source.options["alpha"], 1.0))
    return None if positive is None or negative is None else (positive, negative)
