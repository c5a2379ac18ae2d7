"""QLinearLeakyRelu: an 8-bit tensor, its negative part made smaller."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from simulator.byte_table import ByteTable
from simulator.graph import Source
from simulator.registry import register


@register
@final
class QLinearLeakyRelu(ByteTable):
    """y = x where x >= 0, else alpha x, by table. Not LiteRT's `leaky_relu` (two multipliers)."""

    kind = "qlinear_leaky_relu"
    formats = ("onnx:com.microsoft.QLinearLeakyRelu",)
    reference = "ONNX Runtime 1.31.1, qlinear_activations.cc"

    @staticmethod
    def function(source: Source, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """One float32 product (the option alpha)."""
        return np.where(x >= 0, x, np.float32(source.options["alpha"]) * x)
