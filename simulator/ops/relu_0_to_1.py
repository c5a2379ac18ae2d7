"""RELU_0_TO_1: a clamp between two grids."""

from typing import final

from simulator.rectifier import Rectifier
from simulator.registry import register


@register
@final
class Relu0To1(Rectifier):
    """y = min(max(x, 0), 1), on its own grid."""

    kind = "relu_0_to_1"
    formats = ("tflite:RELU_0_TO_1",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, activations.cc QuantizedReluX"
    activation = "RELU_0_TO_1"
    dtypes = ("int8", "uint8")
