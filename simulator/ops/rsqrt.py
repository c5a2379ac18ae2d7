"""The inverse square root."""

from math import sqrt
from typing import final

import numpy as np

from simulator.decode import value_range
from simulator.elementwise import scale_ratio, unary_grids
from simulator.graph import Source
from simulator.lookup import Lookup, tabulate
from simulator.numeric.inverse_root import ROOT_FRACTION_BITS
from simulator.numeric.reals import Reals
from simulator.numeric.requantize import make_requantize
from simulator.numeric.roots import NewtonInverseRoot, NotNegative
from simulator.numeric.tables import Grids, Table
from simulator.registry import register


@register
@final
class Rsqrt(Lookup):
    """y = 1 / sqrt(x); x must be >= 0, and 0 gives the greatest code."""

    kind = "rsqrt"
    formats = ("tflite:RSQRT",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, elementwise.cc RsqrtEvalQuantizedInt8, Int16"

    @classmethod
    def tabulate(cls, source: Source) -> Table:
        """int8, and in tflite-micro int16, by Newton's method; LiteRT's int16 from a table."""
        grids, dtype = unary_grids(source, ("int8", "int16")), source.outputs[0].dtype
        form = source.dialect.form(f"{cls.kind}:{dtype}", "newton" if dtype == "int8" else "table")
        inner = _newton(source, grids) if form == "newton" else _interpolated(source, grids)
        return NotNegative(inner, grids.x_zero_point)


def _newton(source: Source, grids: Grids) -> Table:
    """The root's 2^20 and the scale 1 / (sqrt(s_x) s_y) together."""
    dtype = source.outputs[0].dtype
    rule = source.dialect.rule(Rsqrt.kind, dtype)
    root = sqrt(grids.x_scale)
    if rule.scale == "single":
        root = float(np.sqrt(np.float32(grids.x_scale)))
    # The divisor in the rule's precision, the quotient in double.
    divisor = scale_ratio(source, rule.scale, root, grids.y_scale, 1.0)
    scale = (scale_ratio(source, "double", 1.0, 2.0**-ROOT_FRACTION_BITS, divisor),)
    clamp = value_range(source.outputs[0])
    requantize = make_requantize(rule.rounding, scale, grids.y_zero_point, *clamp)
    return NewtonInverseRoot(grids.x_zero_point, requantize, dtype)


def _interpolated(source: Source, grids: Grids) -> Table:
    dtype = source.outputs[0].dtype
    greatest = np.float32(value_range(source.outputs[0])[1]) * np.float32(grids.y_scale)

    def bounded(x: Reals) -> Reals:
        root = np.float32(1) / np.sqrt(np.maximum(x, np.float32(0)))
        return np.where(x > 0, root, greatest)

    return tabulate(source, bounded, (dtype,))
