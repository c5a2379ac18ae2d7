"""Quant (IntQuant): a real tensor on an integer grid of any width, carried as real values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import present
from simulator.fixed_grid import check_parameters, float_inputs, integer_range, rounding_mode
from simulator.graph import Array, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.rounding_modes import ROUNDING_MODES
from simulator.pointwise import Pointwise
from simulator.prepared import Prepared, PreparedGrid
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Quant(Pointwise):
    """y = (round(clamp(x / scale + zero point)) - zero point) * scale, each step in float32.

    Inputs x, scale, zero point and width in bits. Not `quantize_linear`: the output is real. One
    signed bit has the values -1 and 1.
    """

    kind = "quant"
    formats = (
        "onnx:qonnx.custom_op.general.Quant",
        "onnx:qonnx.custom_op.general.IntQuant",
        "onnx:onnx.brevitas.Quant",
        "onnx:finn.custom_op.general.Quant",
        "onnx:Quant",
    )
    reference = "qonnx 1.0.0, custom_op/general/intquant.py"
    fixed_widths = "its scale, zero point and width are inputs"
    operations: ClassVar[int] = 7
    real_multiplications: ClassVar[int] = 2
    requantizes: ClassVar[bool] = True

    signed: bool
    narrow: bool
    rounding: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options signed, narrow and rounding_mode."""
        options = source.options
        signed, narrow = bool(options.get("signed", 1)), bool(options.get("narrow", 0))
        return cls(signed, narrow, rounding_mode(source))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse parameters that are missing or do not broadcast."""
        check_parameters(inputs, 4)

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """One known grid of two bits or more, rounded to even."""
        known = [value for value in constants[1:4] if value is not None and value.size == 1]
        if len(known) < 3 or ROUNDING_MODES[self.rounding] is not np.rint:
            return None
        scale, zero, bits = (value.reshape(1) for value in known)
        if scale[0] == 0 or bits[0] == 1 or present(inputs, 0).shape != self.infer(inputs)[0]:
            return None
        least, greatest = integer_range(bits, signed=self.signed, narrow=self.narrow)
        return PreparedGrid(scale[0], zero[0], least[0], greatest[0])

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """In the order of the reference: divide, add, clamp, round, subtract, multiply."""
        x, scale, zero, bits = float_inputs(inputs, 4)
        on_grid = x / scale + zero
        least, greatest = integer_range(bits, signed=self.signed, narrow=self.narrow)
        clamped = np.where(on_grid > greatest, greatest, on_grid)
        clamped = np.where(clamped < least, least, clamped)
        codes = ROUNDING_MODES[self.rounding](clamped)
        if self.signed:
            bipolar = np.where(on_grid >= 0, np.float32(1), np.float32(-1))
            codes = np.where(bits == 1, bipolar, codes)
        return ((codes - zero) * scale).astype(np.float32)
