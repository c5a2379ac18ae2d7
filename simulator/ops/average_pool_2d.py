"""Average pooling: the integer mean of a window, on the input's own grid."""

from typing import final

import numpy as np

from simulator.graph import Array
from simulator.numeric.matmul import Window
from simulator.numeric.pooling import average_windows
from simulator.pooling import Pooling
from simulator.registry import register


@register
@final
class AveragePool2D(Pooling):
    """y = clamp(sum / count), ties away from zero; padding counts neither in sum nor count."""

    kind = "average_pool_2d"
    formats = ("tflite:AVERAGE_POOL_2D",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, integer_ops/pooling.h AveragePool"

    def pool(self, x: Array, over: Window) -> Array:
        """Average every window."""
        out = np.empty((x.shape[0], *over.output, x.shape[3]), dtype=x.dtype)
        total = np.empty(x.shape[3], dtype=np.int64)
        steps = (*over.stride, *over.padding)
        average_windows(x, *over.kernel, steps, self.low, self.high, total, out)
        return out
