"""Logarithm of the softmax over the last axis."""

from typing import Final, final

from simulator.decode import (
    DTYPE_RANGE,
    refuse,
    require_dtypes,
    require_same_dtype,
    single_grid,
)
from simulator.graph import Source
from simulator.numeric.log_softmax import (
    FixedPointLogSoftmax,
    FloatTableLogSoftmax,
    opposite_scaling,
)
from simulator.numeric.rows import RowFunction
from simulator.numeric.softmax import RealLogSoftmax, q5_multiplier
from simulator.registry import register
from simulator.row_operator import RowOperator

OUTPUT_SCALE: Final = 1 / 16


@register
@final
class LogSoftmax(RowOperator):
    """y = x - max - log(sum of exp(x - max)), 8 bits in units of 1/16 up to the greatest code."""

    kind = "log_softmax"
    formats = ("tflite:LOG_SOFTMAX",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/log_softmax.h"

    @classmethod
    def form(cls, source: Source) -> RowFunction:
        """By dtype; 8 bits on the one output grid there is."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "float32"))
        require_same_dtype(source)
        if source.outputs[0].dtype == "float32":
            form = source.dialect.form("log_softmax:float32", "one_sum")
            return RealLogSoftmax(sums=4 if form == "four_sums" else 1)
        x_scale, _ = single_grid(source.inputs[0], source.place, "the input")
        y_grid = single_grid(source.outputs[0], source.place, "the output")
        low, high = DTYPE_RANGE[source.outputs[0].dtype]
        if y_grid != (OUTPUT_SCALE, high):
            refuse(
                source.place,
                f"log-softmax output must have scale 1/16 and zero point {high}",
                y_grid,
                "Requantize the output.",
            )
        if source.dialect.form(cls.kind, "fixed_point") == "float_table":
            return FloatTableLogSoftmax(x_scale, *y_grid)
        scaling = q5_multiplier(x_scale)
        if scaling is None:
            refuse(source.place, "the input scale must be >= 2^-26", x_scale, "Rescale it.")
        multiplier, shift, _ = scaling
        return FixedPointLogSoftmax(*scaling, opposite_scaling(multiplier, shift), low)
