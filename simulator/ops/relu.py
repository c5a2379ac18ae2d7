"""RELU as an operator of its own: a clamp between two grids."""

from typing import final

from simulator.rectifier import Rectifier
from simulator.registry import register


@register
@final
class Relu(Rectifier):
    """y = max(x, 0), on its own grid."""

    kind = "relu"
    formats = ("tflite:RELU",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, activations.cc QuantizedReluX"
    activation = "RELU"
