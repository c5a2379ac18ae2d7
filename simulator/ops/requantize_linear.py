"""Accumulators onto an output grid whose scales come as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import present, require_dtypes, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.float32 import round_to_grid
from simulator.pointwise import Pointwise
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class RequantizeLinear(Pointwise):
    """y = clamp(round(f32(acc) f32(f32(s_x s_w) / s_y)) + zero point), ties to even.

    Inputs acc (int32), s_x, s_w, s_y and the zero point; s_w has one value or one an index of the
    last axis. The second half of QLinearConv and QLinearMatMul where their scales are computed at
    run time; with constant ones the operator before it requantizes.
    """

    kind = "requantize_linear"
    formats = ("onnx:QLinearConv[runtime scales]", "onnx:QLinearMatMul[runtime scales]")
    reference = "ONNX Runtime 1.31.1, qlinearconv.cc ComputeOutputScale, MLAS requantize"
    fixed_widths = "its scales and zero points are inputs"
    operations: ClassVar[int] = 3
    requantizes: ClassVar[bool] = True

    dtype: str
    low: int
    high: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The range is the output's."""
        require_dtypes(source.place, source.inputs[:1], ("int32",))
        return cls(source.outputs[0].dtype, *value_range(source.outputs[0]))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse weight scales that are neither one nor one a channel, and others than one."""
        acc, weights = present(inputs, 0), present(inputs, 2)
        for i in (1, 3, 4):
            if present(inputs, i).elements != 1:
                raise IllegalGraph(f"input {i} must be one value; found {present(inputs, i).shape}")
        if weights.elements not in (1, acc.shape[-1] if acc.shape else 1):
            raise IllegalGraph(f"{weights.elements} weight scales for accumulators {acc.shape}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """One float32 product an accumulator."""
        acc = present(inputs, 0)
        x_scale, w_scale, y_scale = (
            present(inputs, i).reshape(-1).astype(np.float32) for i in (1, 2, 3)
        )
        real = acc.astype(np.float32) * (x_scale * w_scale / y_scale)
        zero = int(present(inputs, 4).reshape(-1)[0])
        return round_to_grid(real, zero, self.low, self.high).astype(self.dtype)
