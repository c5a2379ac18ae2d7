"""Softmax over the last axis."""

from math import isfinite
from typing import Final, final

import numpy as np

from simulator.decode import DTYPE_RANGE, refuse, require_dtypes, single_grid, value_range
from simulator.elementwise import scale_ratio
from simulator.graph import Source
from simulator.numeric.coarse import Coarser, CoarseRows
from simulator.numeric.rows import RowFunction
from simulator.numeric.softmax import (
    FixedPointSoftmax,
    FloatTableSoftmax,
    RealSoftmax,
    q5_multiplier,
    table_softmax,
)
from simulator.registry import register
from simulator.row_operator import RowOperator

OUTPUTS: Final = {
    "int8": ("int8", "int16"),
    "uint8": ("uint8", "int16"),
    "int16": ("int16",),
    "float32": ("float32",),
}
"""The output dtypes of each input dtype (LiteRT activations.cc SoftmaxEval)."""

SCALE_TOLERANCE: Final = 1e-3
"""How far the output scale may be from its power of two, relatively."""


@register
@final
class Softmax(RowOperator):
    """y = exp(beta (x - max)) / sum: 8 bits on the grid of 1/256 from the dtype's low end on,
    int16 in Q0.15, or in 16 bits from -2^15 on where x has 8.
    """

    kind = "softmax"
    formats = ("tflite:SOFTMAX",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/softmax.h (TFLM, CMSIS-NN: the same bits)"

    @classmethod
    def form(cls, source: Source) -> RowFunction:
        """From the option beta."""
        require_dtypes(source.place, source.inputs[:1], tuple(OUTPUTS))
        x, y = source.inputs[0], source.outputs[0]
        assert x is not None
        if y.dtype not in OUTPUTS[x.dtype]:
            allowed = " or ".join(OUTPUTS[x.dtype])
            refuse(source.place, f"softmax of {x.dtype} gives {allowed}", y.dtype, "Requantize it.")
        beta = float(source.options.get("beta", 1.0))
        if not (isfinite(beta) and beta > 0):
            refuse(source.place, "beta must be positive and finite", beta, "Export it again.")
        if x.dtype == "float32":
            return RealSoftmax(beta)
        scale, _ = single_grid(x, source.place, "the input")
        _check_grid(source, x.dtype)
        if x.dtype == "int16":
            rule = source.dialect.rule(cls.kind, x.dtype)
            precise = source.dialect.form(f"{cls.kind}:int16", "double") == "double"
            table = table_softmax(
                scale_ratio(source, rule.scale, scale, beta, 1.0),
                np.float64 if precise else np.float32,
            )
            if value_range(y) == DTYPE_RANGE["int16"]:
                return table
            return CoarseRows(table, Coarser(16 - y.bits, 0, 0, *value_range(y)))
        return _of_8_bits(source, scale, beta)


def _of_8_bits(source: Source, scale: float, beta: float) -> RowFunction:
    y = source.outputs[0]
    if source.dialect.form(Softmax.kind, "fixed_point") == "float_table":
        y_scale, y_zero = single_grid(y, source.place, "the output")
        step = -scale_ratio(source, "single", scale, beta, 1.0)
        return FloatTableSoftmax(step, y_scale, y_zero, value_range(y), y.dtype)
    scaling = q5_multiplier(beta * scale)
    if scaling is None:
        refuse(source.place, "beta * scale must be above 2^-26", beta * scale, "Rescale it.")
    return FixedPointSoftmax(*scaling, value_range(y)[0], y.bits, y.dtype)


def _check_grid(source: Source, dtype: str) -> None:
    """Refuse an output grid that is not the one the kernels write on: [0, 1) in all its bits.

    Of int16 from 8 bits LiteRT looks at none.
    """
    y = source.outputs[0]
    scale, zero = single_grid(y, source.place, "the output")
    wide = y.dtype == "int16"
    if wide and dtype != "int16":
        return
    expected, low = (2.0 ** (1 - y.bits), 0) if wide else (2.0**-y.bits, value_range(y)[0])
    if zero != low or abs(scale - expected) > SCALE_TOLERANCE * expected:
        refuse(
            source.place,
            f"softmax output must have scale 1/{round(1 / expected)} and zero point {low}",
            (scale, zero),
            "Requantize the output.",
        )
