"""DequantizeLinear: codes to the real values they stand for, the scale an input like any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import optional, present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise, check_parameter, spread_parameter
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class DequantizeLinear(Pointwise):
    """y = f32(f32(x - zero point) * scale), in float32 or float16.

    Inputs as `quantize_linear`; x holds integers of any width (accumulators too) or a small float
    format carried in float32.
    """

    kind = "dequantize_linear"
    formats = ("onnx:DequantizeLinear",)
    reference = "ONNX Runtime 1.31.1, DequantizeLinear; 2-bit and small-float types: ONNX 1.23.2"
    parameters_of = "input"
    operations: ClassVar[int] = 2
    real_multiplications: ClassVar[int] = 1
    integer_operations: ClassVar[int] = 1

    axis: int
    block: int
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options axis and block_size; the output's dtype is the scale's."""
        return cls(source.options["axis"], source.options["block_size"], source.outputs[0].dtype)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse parameters that do not lie along the axis, and outputs that are not real."""
        x = present(inputs, 0)
        check_parameter(present(inputs, 1), "the scale", x.shape, self.axis, self.block)
        check_parameter(optional(inputs, 2), "the zero point", x.shape, self.axis, self.block)
        if outputs[0].dtype not in ("float32", "float16"):
            raise IllegalGraph(f"the output must be float32 or float16; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Subtract in integers, round to float32, multiply."""
        x, scale, zero = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        centred = x
        if x.dtype.kind != "f" and zero is not None:
            shift = spread_parameter(zero.astype(np.int64), x.shape, self.axis, self.block)
            centred = x.astype(np.int64) - shift
        factor = spread_parameter(scale.astype(np.float32), x.shape, self.axis, self.block)
        return np.asarray(centred.astype(np.float32) * factor).astype(self.dtype)
