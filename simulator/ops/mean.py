"""Mean over axes, rescaled to the output's grid."""

from typing import Final, Self, final

import numpy as np

from simulator.graph import Array, Source
from simulator.numeric.affine import Affine
from simulator.numeric.dialect import Rounding
from simulator.numeric.requantize import Requantize, quantize_multiplier
from simulator.reduction import Total, TotalSource, decode_total
from simulator.registry import register

LARGEST_EXPONENT: Final = 32
"""At most so many bits of 1 / count go into the multiplier (LiteRT reference/reduce.h)."""


@register
@final
class Mean(Total):
    """y = clamp((sum of x - zx) s_x / (count s_y) + zy).

    The count goes into the multiplier: m' = floor(m 2^k / count) with 2^k <= count.
    """

    kind = "mean"
    formats = ("tflite:MEAN",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/reduce.h QuantizedMeanOrSum"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant axes and the option keep_dims; the dialect's form of the product."""
        total = decode_total(source)
        # XNNPACK takes 8-bit tensors only; int16 stays with the reference kernel.
        single = source.dialect.form(cls.kind, "fixed_point") == "float32"
        rescale: Requantize | Affine
        if single and total.dtype != "int16":
            rescale = _single(total)
        else:
            rescale = _fixed_point(total, source.dialect.rule(cls.kind, total.dtype).rounding)
        return cls(total.axes, total.keep_dims, rescale, total.x[1], total.dtype)

    def reduce(self, x: Array) -> Array:
        """Sum and rescale."""
        return self.rescaled(x, self.dtype)


def _fixed_point(total: TotalSource, rounding: Rounding) -> Requantize:
    ratio = total.x[0] / total.y[0]
    multiplier, shift = quantize_multiplier(ratio)
    exponent = min(total.count.bit_length() - 1, LARGEST_EXPONENT, 31 + shift)
    return Requantize(
        rounding,
        (ratio / total.count,),
        ((multiplier << exponent) // total.count,),
        (shift - exponent,),
        total.y[1],
        *total.limits,
    )


def _single(total: TotalSource) -> Affine:
    """XNNPACK src/operators/reduce-nd.c:363; the offset is zy - zx s_x / s_y."""
    ratio = np.float32(total.x[0]) / np.float32(total.y[0])
    offset = np.float32(total.y[1]) - np.float32(total.x[1]) * ratio
    scale = float(ratio / np.float32(total.count))
    return Affine(scale, float(offset), "even", 0, *total.limits)
