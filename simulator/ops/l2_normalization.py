"""L2 normalization along the last axis."""

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
from simulator.numeric.inverse_root import NORM_FRACTION_BITS, Normalization
from simulator.numeric.rows import RowFunction
from simulator.registry import register
from simulator.row_operator import RowOperator

OUTPUT_SCALE: Final = 2.0**-NORM_FRACTION_BITS


@register
@final
class L2Normalization(RowOperator):
    """y = x / sqrt(sum of x^2) in units of 1/128, around the middle of the dtype's range."""

    kind = "l2_normalization"
    formats = ("tflite:L2_NORMALIZATION",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, integer_ops/l2normalization.h"

    @classmethod
    def form(cls, source: Source) -> RowFunction:
        """int8 or uint8 on the one output grid there is; no fused activation."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8"))
        require_same_dtype(source)
        activation = source.options.get("fused_activation_function", "NONE")
        if activation != "NONE":
            refuse(source.place, "no activation may be fused", activation, "Export it apart.")
        _, x_zero = single_grid(source.inputs[0], source.place, "the input")
        y_grid = single_grid(source.outputs[0], source.place, "the output")
        y = source.outputs[0]
        (low, high), (least, greatest) = DTYPE_RANGE[y.dtype], value_range(y)
        middle, centre = (low + high + 1) // 2, (least + greatest + 1) // 2
        lost = DTYPE_BITS[y.dtype] - y.bits
        expected = OUTPUT_SCALE * 2**lost
        if y_grid != (expected, centre):
            refuse(
                source.place,
                f"normalized output must have scale 1/{round(1 / expected)} and zero point "
                f"{centre}",
                y_grid,
                "Requantize the output.",
            )
        left_shift = NORM_FRACTION_BITS if low == 0 else 0
        whole = Normalization(x_zero, left_shift, middle, low, high)
        if not lost:
            return whole
        return CoarseRows(whole, Coarser(lost, middle, centre, least, greatest))
