"""BipolarQuant: the sign of a real tensor, scaled."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.fixed_grid import check_parameters, float_inputs
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class BipolarQuant(Pointwise):
    """y = scale where x >= 0, else -scale: one bit. Inputs x and scale."""

    kind = "bipolar_quant"
    formats = (
        "onnx:qonnx.custom_op.general.BipolarQuant",
        "onnx:onnx.brevitas.BipolarQuant",
        "onnx:finn.custom_op.general.BipolarQuant",
        "onnx:BipolarQuant",
    )
    reference = "qonnx 1.0.0, custom_op/general/bipolar_quant.py"
    fixed_widths = "its two values are +-scale"
    operations: ClassVar[int] = 2
    real_multiplications: ClassVar[int] = 1
    requantizes: ClassVar[bool] = True

    @classmethod
    def decode(cls, source: Source) -> Self:
        """No options."""
        return cls()

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse a scale that is missing or does not broadcast."""
        check_parameters(inputs, 2)

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Compare, then multiply."""
        x, scale = float_inputs(inputs, 2)
        return np.where(x >= 0, np.float32(1), np.float32(-1)) * scale
