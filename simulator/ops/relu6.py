"""RELU6 as an operator of its own: a clamp between two grids."""

from typing import final

from simulator.rectifier import Rectifier
from simulator.registry import register


@register
@final
class Relu6(Rectifier):
    """y = min(max(x, 0), 6), on its own grid.

    tflite-micro clamps the codes and rescales nothing, which is right on equal grids only.
    """

    kind = "relu6"
    formats = ("tflite:RELU6",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, activations.cc QuantizedReluX"
    activation = "RELU6"
