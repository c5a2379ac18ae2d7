"""QLinearSigmoid: the logistic function of an 8-bit tensor."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from simulator.byte_table import ByteTable
from simulator.graph import Source
from simulator.registry import register


@register
@final
class QLinearSigmoid(ByteTable):
    """y = round(1 / (1 + exp(-x)) / s_y) + z_y, by table. Not LiteRT's `logistic` (half away)."""

    kind = "qlinear_sigmoid"
    formats = ("onnx:com.microsoft.QLinearSigmoid",)
    reference = "ONNX Runtime 1.31.1, qlinear_activations.cc"

    @staticmethod
    def function(source: Source, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """In double, rounded once: MLAS's polynomial lies within its last bits."""
        return (1.0 / (1.0 + np.exp(-x.astype(np.float64)))).astype(np.float32)
