"""RELU_N1_TO_1 as an operator of its own: a clamp between two grids."""

from typing import final

from simulator.rectifier import Rectifier
from simulator.registry import register


@register
@final
class ReluN1To1(Rectifier):
    """y = min(max(x, -1), 1), on its own grid."""

    kind = "relu_n1_to_1"
    formats = ("tflite:RELU_N1_TO_1",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, activations.cc QuantizedReluX"
    activation = "RELU_N1_TO_1"
    dtypes = ("int8", "uint8")
