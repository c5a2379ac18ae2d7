"""QuantizeLinear: real values onto a grid, the scale an input like any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import optional, present, refuse, require_dtypes, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.float32 import MINIFLOATS, round_to_grid, round_to_minifloat
from simulator.pointwise import Pointwise, check_parameter, spread_parameter
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class QuantizeLinear(Pointwise):
    """y = clamp(round(f32(x / scale)) + zero point), ties to even; x real or int32.

    Inputs x, scale, zero point or none: one for all, one an index of `axis`, or one a `block`
    along it. Not `quantize`: LiteRT rounds half away. A small float format (`minifloat`) is carried
    in float32, its values exact.
    """

    kind = "quantize_linear"
    formats = ("onnx:QuantizeLinear",)
    reference = "ONNX Runtime 1.31.1, MlasQuantizeLinear; 2- and small-float types: ONNX 1.23.2"
    parameters_of = "output"
    operations: ClassVar[int] = 4
    real_multiplications: ClassVar[int] = 1
    requantizes: ClassVar[bool] = True

    axis: int
    block: int
    dtype: str
    low: int
    high: int
    minifloat: str
    saturate: bool

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options axis, block_size, saturate and element (the output's element type)."""
        require_dtypes(source.place, source.inputs[:1], ("float32", "int32"))
        kind, element = source.outputs[0], source.options["element"]
        minifloat = element if element in MINIFLOATS else ""
        if kind.dtype not in ("int8", "uint8", "int16", "uint16") and not minifloat:
            refuse(source.place, "the output must be an integer of 2 to 16 bits", element, "Cast.")
        low, high = (0, 0) if minifloat else value_range(kind)
        axis, block = source.options["axis"], source.options["block_size"]
        saturate = bool(source.options["saturate"])
        return cls(axis, block, kind.dtype, low, high, minifloat, saturate)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse parameters that do not lie along the axis, and another output dtype."""
        x = present(inputs, 0)
        check_parameter(present(inputs, 1), "the scale", x.shape, self.axis, self.block)
        check_parameter(optional(inputs, 2), "the zero point", x.shape, self.axis, self.block)
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Divide in float32, round, shift, clamp."""
        x, scale, zero = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        divisor = spread_parameter(scale.astype(np.float32), x.shape, self.axis, self.block)
        real = x.astype(np.float32) / divisor
        if self.minifloat:
            return round_to_minifloat(real, self.minifloat, saturate=self.saturate)
        shift = np.zeros((), np.int64) if zero is None else zero.astype(np.int64)
        spread = spread_parameter(shift, x.shape, self.axis, self.block)
        return round_to_grid(real, spread, self.low, self.high).astype(self.dtype)
