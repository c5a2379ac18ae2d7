"""The smaller of two tensors, element by element."""

from typing import final

import numpy as np

from simulator.elementwise import Selection
from simulator.graph import Array
from simulator.registry import register


@register
@final
class Minimum(Selection):
    """y = the smaller of x1 and x2, all on one grid: codes are compared as they are."""

    kind = "minimum"
    formats = ("tflite:MINIMUM",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/maximum_minimum.h"

    @staticmethod
    def choose(a: Array, b: Array) -> Array:
        """The smaller code."""
        return np.asarray(np.minimum(a, b))
