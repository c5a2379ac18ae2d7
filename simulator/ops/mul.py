"""Elementwise multiplication of two tensors on different grids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, final

from simulator.decode import activation_range, value_range
from simulator.elementwise import Elementwise, binary_grids, centred, scale_ratio
from simulator.graph import Array, Source
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.registry import register

XNNPACK_RATIOS: Final = (2.0**-16, 2.0**8)
"""XNNPACK takes 8-bit products whose s1 s2 / s_y lies in this half-open range."""


@register
@final
@dataclass(frozen=True)
class Mul(Elementwise):
    """y = clamp(requantize((x1 - z1) (x2 - z2)) + zy), NumPy broadcasting."""

    kind = "mul"
    formats = ("tflite:MUL",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference_integer_ops::Mul"
    operands = 2
    requantizations = 1

    zero_points: tuple[int, int]
    requantize: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From two inputs and an output of one dtype, and the fused activation."""
        a, b = binary_grids(source, ("int8", "uint8", "int16"))
        dtype, scales = source.outputs[0].dtype, (a.x_scale, b.x_scale, a.y_scale)
        activation = source.options.get("fused_activation_function", "NONE")
        y_grid, limits = (a.y_scale, a.y_zero_point), value_range(source.outputs[0])
        clamp = activation_range(source.place, activation, *y_grid, limits)
        least, beyond = XNNPACK_RATIOS
        bounded = least <= scale_ratio(source, "single", *scales) < beyond
        rule = source.dialect.rule(cls.kind if bounded else f"{cls.kind}_unbounded", dtype)
        scale = (scale_ratio(source, rule.scale, *scales),)
        return cls(
            zero_points=(a.x_zero_point, b.x_zero_point),
            requantize=make_requantize(rule.rounding, scale, a.y_zero_point, *clamp),
            dtype=dtype,
        )

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Multiply in 32 bits, requantize."""
        first, second = (centred(x, z) for x, z in zip(inputs, self.zero_points, strict=True))
        return requantize_array(first * second, self.requantize, self.dtype)
