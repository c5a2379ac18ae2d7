"""Trunc: the low bits of a quantized tensor dropped."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.fixed_grid import check_parameters, float_inputs, integer_range, rounding_mode
from simulator.graph import Array, Source, TensorType
from simulator.numeric.rounding_modes import ROUNDING_MODES
from simulator.pointwise import Pointwise
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Trunc(Pointwise):
    """y = (round(q / 2^d) - z') * s' of codes q = rint(x / scale + zero point), in float32.

    Version 1 (inputs x, scale, zero point, width in, width out): d = width in - width out, and
    z', s' stay zero point and scale. Version 2 (an output scale before the output width): 2^d is
    the ratio of the scales, s' the output scale, z' = zero point / 2^d, and q / 2^d is clamped.
    """

    kind = "trunc"
    formats = (
        "onnx:qonnx.custom_op.general.Trunc",
        "onnx:onnx.brevitas.Trunc",
        "onnx:finn.custom_op.general.Trunc",
        "onnx:Trunc",
    )
    reference = "qonnx 1.0.0, custom_op/general/trunc.py"
    fixed_widths = "its scales and widths are inputs"
    operations: ClassVar[int] = 8
    real_multiplications: ClassVar[int] = 3
    requantizes: ClassVar[bool] = True

    version: int
    signed: bool
    narrow: bool
    rounding: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options rounding_mode (FLOOR where missing), signed and narrow."""
        options = {"rounding_mode": "FLOOR", **source.options}
        version = 2 if len(source.inputs) > 5 else 1
        given = Source(
            source.place, options, source.inputs, source.outputs, source.constants, source.dialect
        )
        signed, narrow = bool(options.get("signed", 1)), bool(options.get("narrow", 0))
        return cls(version, signed, narrow, rounding_mode(given))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse parameters that are missing or do not broadcast."""
        check_parameters(inputs, 4 + self.version)

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """In the order of the reference."""
        x, scale, zero, width, *rest = float_inputs(inputs, 4 + self.version)
        codes = np.rint(x / scale + zero)
        round_ = ROUNDING_MODES[self.rounding]
        if self.version == 1:
            ratio = np.float32(2) ** (width - rest[0])
            return np.asarray((round_(codes / ratio) - zero) * scale, dtype=np.float32)
        out_scale, out_width = rest
        ratio = np.float32(2) ** np.rint(np.log2(out_scale / scale))
        least, greatest = integer_range(out_width, signed=self.signed, narrow=self.narrow)
        clamped = np.minimum(codes / ratio, greatest)
        rounded = round_(np.where(clamped < least, least, clamped))
        return np.asarray((rounded - zero / ratio) * out_scale, dtype=np.float32)
