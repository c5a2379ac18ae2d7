"""Elementwise subtraction of two tensors on different grids."""

from typing import final

from simulator.elementwise import Sum
from simulator.registry import register


@register
@final
class Sub(Sum):
    """y = x1 - x2, each tensor on its own grid."""

    kind = "sub"
    formats = ("tflite:SUB",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/sub.h"
    sign = -1
