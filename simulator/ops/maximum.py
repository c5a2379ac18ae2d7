"""The larger of two tensors, element by element."""

from typing import final

import numpy as np

from simulator.elementwise import Selection
from simulator.graph import Array
from simulator.registry import register


@register
@final
class Maximum(Selection):
    """y = the larger of x1 and x2, all on one grid: codes are compared as they are."""

    kind = "maximum"
    formats = ("tflite:MAXIMUM",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/maximum_minimum.h"

    @staticmethod
    def choose(a: Array, b: Array) -> Array:
        """The larger code."""
        return np.asarray(np.maximum(a, b))
