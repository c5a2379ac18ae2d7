"""Maximum pooling: the largest code of a window."""

from typing import final

import numpy as np

from simulator.graph import Array
from simulator.numeric.matmul import Window
from simulator.numeric.pooling import largest_in_windows
from simulator.pooling import Pooling
from simulator.registry import register


@register
@final
class MaxPool2D(Pooling):
    """y = clamp(max of the window); padding takes no part."""

    kind = "max_pool_2d"
    formats = ("tflite:MAX_POOL_2D",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, integer_ops/pooling.h MaxPool"

    def pool(self, x: Array, over: Window) -> Array:
        """The maximum of every window."""
        out = np.empty((x.shape[0], *over.output, x.shape[3]), dtype=x.dtype)
        steps = (*over.stride, *over.padding)
        largest_in_windows(x, *over.kernel, steps, self.low, self.high, out)
        return out
