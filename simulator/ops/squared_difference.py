"""The squared difference of two tensors on different grids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, final

from simulator.decode import DTYPE_RANGE, value_range
from simulator.elementwise import Elementwise, binary_grids, centred
from simulator.graph import Array, Source
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.registry import register

LEFT_SHIFT: Final = {"int8": 7, "int16": 0}
"""Bits of headroom the operands gain, so that the square fits 32 bits."""


@register
@final
@dataclass(frozen=True)
class SquaredDifference(Elementwise):
    """y = clamp(requantize((rescale(x1 - z1) - rescale(x2 - z2))^2) + zy), NumPy broadcasting.

    Both operands are brought onto the grid of twice the larger scale.
    """

    kind = "squared_difference"
    formats = ("tflite:SQUARED_DIFFERENCE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, squared_difference.cc; int16: tflite-micro"
    operands = 2
    operations = 2
    requantizations = 3

    zero_points: tuple[int, int]
    left_shift: int
    rescale: tuple[Requantize, Requantize]
    requantize: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Scales in double: s / T with T = 2 max(s1, s2), and T^2 / (2^(2 L) s_y)."""
        a, b = binary_grids(source, tuple(LEFT_SHIFT))
        dtype = source.outputs[0].dtype
        rounding = source.dialect.rule(cls.kind, dtype).rounding
        left_shift, twice_larger = LEFT_SHIFT[dtype], 2.0 * max(a.x_scale, b.x_scale)
        first, second = (
            make_requantize(rounding, (grids.x_scale / twice_larger,), 0, *DTYPE_RANGE["int32"])
            for grids in (a, b)
        )
        scale = (twice_larger * twice_larger / (4.0**left_shift * a.y_scale),)
        return cls(
            zero_points=(a.x_zero_point, b.x_zero_point),
            left_shift=left_shift,
            rescale=(first, second),
            requantize=make_requantize(
                rounding, scale, a.y_zero_point, *value_range(source.outputs[0])
            ),
            dtype=dtype,
        )

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Rescale both, subtract, square, requantize."""
        first, second = (
            requantize_array(centred(x, zero) << self.left_shift, rescale, "int32")
            for x, zero, rescale in zip(inputs, self.zero_points, self.rescale, strict=True)
        )
        difference = first - second
        return requantize_array(difference * difference, self.requantize, self.dtype)
