"""Elementwise addition of two tensors on different grids."""

from typing import final

from simulator.elementwise import Sum
from simulator.registry import register


@register
@final
class Add(Sum):
    """y = x1 + x2, each tensor on its own grid."""

    kind = "add"
    formats = ("tflite:ADD",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/add.h"
    sign = 1
