"""Logarithm of the softmax over the last axis."""

from fractions import Fraction
from typing import Final, final

from simulator.decode import (
    DTYPE_RANGE,
    refuse,
    require_dtypes,
    require_same_dtype,
    single_grid,
    value_range,
)
from simulator.graph import DTYPE_BITS, Source
from simulator.numeric.coarse import Coarser, CoarseRows
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
        y = source.outputs[0]
        (low, high), (least, greatest) = DTYPE_RANGE[y.dtype], value_range(y)
        lost = DTYPE_BITS[y.dtype] - y.bits
        expected = OUTPUT_SCALE * 2**lost
        if y_grid != (expected, greatest):
            refuse(
                source.place,
                f"log-softmax output must have scale {Fraction(expected)} and zero point "
                f"{greatest}",
                y_grid,
                "Requantize the output.",
            )
        whole = _of_8_bits(source, x_scale, low, high)
        if not lost:
            return whole
        return CoarseRows(whole, Coarser(lost, high, greatest, least, greatest))


def _of_8_bits(source: Source, x_scale: float, low: int, high: int) -> RowFunction:
    if source.dialect.form(LogSoftmax.kind, "fixed_point") == "float_table":
        return FloatTableLogSoftmax(x_scale, OUTPUT_SCALE, high)
    scaling = q5_multiplier(x_scale)
    if scaling is None:
        refuse(source.place, "the input scale must be above 2^-26", x_scale, "Rescale it.")
    multiplier, shift, _ = scaling
    return FixedPointLogSoftmax(*scaling, opposite_scaling(multiplier, shift), low)
