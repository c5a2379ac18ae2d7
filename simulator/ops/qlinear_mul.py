"""QLinearMul: elementwise product of two 8-bit tensors on different grids, ONNX Runtime's way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import present, product_scale, require_dtypes, single_grid, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.float32 import round_to_grid
from simulator.pointwise import Pointwise
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class QLinearMul(Pointwise):
    """y = clamp(round(f32(f32((a - z_a)(b - z_b) k) + z_y))), k = f32(f32(s_a s_b) / s_y).

    Ties to even, and the zero point is added in float32 before the rounding. NumPy broadcasting.
    `lift` as in `qlinear_add`.
    """

    kind = "qlinear_mul"
    formats = ("onnx:com.microsoft.QLinearMul",)
    reference = "ONNX Runtime 1.31.1, MLAS qlmul.cpp"
    operands: ClassVar[int] = 2
    operations: ClassVar[int] = 6
    requantizes: ClassVar[bool] = True

    zero_points: tuple[int, int, int]
    scale: float
    lift: int
    dtype: str
    low: int
    high: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The scale of three grids, in single precision throughout."""
        require_dtypes(source.place, source.inputs[:2], ("int8", "uint8"))
        kinds = (*source.inputs[:2], source.outputs[0])
        grids = [single_grid(k, source.place, f"operand {i}") for i, k in enumerate(kinds)]
        return cls(
            zero_points=(grids[0][1], grids[1][1], grids[2][1]),
            scale=product_scale("single", grids[0][0], grids[1][0], grids[2][0]),
            lift=int(source.options.get("lift", 0)),
            dtype=source.outputs[0].dtype,
            low=value_range(source.outputs[0])[0],
            high=value_range(source.outputs[0])[1],
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Multiply exactly, scale and shift in float32, round."""
        z_a, z_b, z_y = self.zero_points
        a, b = present(inputs, 0).astype(np.int64) - z_a, present(inputs, 1).astype(np.int64) - z_b
        real = (a * b).astype(np.float32) * np.float32(self.scale) + np.float32(z_y + self.lift)
        codes = round_to_grid(real, 0, self.low + self.lift, self.high + self.lift)
        return (codes - self.lift).astype(self.dtype)
