"""QLinearAdd: elementwise addition of two 8-bit tensors on different grids, ONNX Runtime's way."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import frexp
from typing import ClassVar, Protocol, Self, final

import numpy as np
from numpy.typing import NDArray

from simulator.decode import present, require_dtypes, single_grid, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.float32 import fused_multiply_add, round_to_grid
from simulator.pointwise import Pointwise
from simulator.registry import register


class Sum(Protocol):
    """How two codes become one code, before it is clamped."""

    @abstractmethod
    def add(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sum on the output grid, zero point included, an exact integer."""


@dataclass(frozen=True)
class FusedSum:
    """fma(r_a, a, fma(r_b, b, c)) in float32, ties to even; r = f32(s / s_y) (MLAS on x86).

    `swapped` exchanges the roles of a and b: so where one element of a meets many of b.
    """

    ratios: tuple[float, float]
    offset: float
    swapped: bool

    @classmethod
    def of(
        cls,
        scales: tuple[float, float, float],
        zeros: tuple[int, int, int],
        *,
        swapped: bool,
    ) -> Self:
        """With c = f32(z_y - fma(r_a, z_a, f32(r_b z_b)))."""
        if swapped:
            scales = (scales[1], scales[0], scales[2])
            zeros = (zeros[1], zeros[0], zeros[2])
        a, b = (np.float32(s) / np.float32(scales[2]) for s in scales[:2])
        z_a, z_b, z_y = (np.asarray(z, np.float32) for z in zeros)
        inner = fused_multiply_add(np.asarray(a), z_a, np.asarray(b * z_b))
        return cls((float(a), float(b)), float(z_y - inner), swapped)

    def add(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """Both products fused with their addition."""
        a, b = (b, a) if self.swapped else (a, b)
        r_a, r_b = (np.asarray(r, np.float32) for r in self.ratios)
        inner = fused_multiply_add(r_b, b, np.asarray(self.offset, np.float32))
        return np.rint(fused_multiply_add(r_a, a, inner).astype(np.float64))


@dataclass(frozen=True)
class FixedSum:
    """(m_a (a - z_a) + m_b (b - z_b)) / 2^shift, ties away from zero (MLAS on NEON, qladd.cpp).

    The greater multiplier has 22 bits.
    """

    multipliers: tuple[int, int]
    shift: int
    zeros: tuple[int, int, int]

    @classmethod
    def of(cls, scales: tuple[float, float, float], zeros: tuple[int, int, int]) -> Self | None:
        """None where the ratios lie outside [2^-14, 2^8) or the shift outside [13, 31]."""
        ratios = [float(np.float32(s) / np.float32(scales[2])) for s in scales[:2]]
        if not all(2.0**-14 <= r < 2.0**8 for r in ratios):
            return None
        shift = 21 - (frexp(max(ratios))[1] - 1)
        first, second = (int(np.rint(r * 2.0**shift)) for r in ratios)
        if not 13 <= shift <= 31 or not 2**21 <= max(first, second) < 2**22:
            return None
        return cls((first, second), shift, zeros)

    def add(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """A rounding right shift of the magnitude, then the zero point."""
        z_a, z_b, z_y = self.zeros
        total = self.multipliers[0] * (a - z_a) + self.multipliers[1] * (b - z_b)
        rounded = (np.abs(total) + (1 << (self.shift - 1))) >> self.shift
        return np.asarray(np.sign(total) * rounded + z_y, dtype=np.float64)


@dataclass(frozen=True)
class PlainSum:
    """f32(f32(f32(s_a (a - z_a)) + f32(s_b (b - z_b))) / s_y) + z_y (MLAS's portable form)."""

    scales: tuple[float, float, float]
    zeros: tuple[int, int, int]

    def add(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
        """Each step rounded to float32."""
        s_a, s_b, s_y = (np.float32(s) for s in self.scales)
        z_a, z_b, z_y = self.zeros
        left, right = s_a * (a - z_a).astype(np.float32), s_b * (b - z_b).astype(np.float32)
        return np.rint(((left + right) / s_y + np.float32(z_y)).astype(np.float64))


@register
@final
@dataclass(frozen=True)
class QLinearAdd(Pointwise):
    """y = clamp(round(s_a (a - z_a) + s_b (b - z_b)) / s_y + z_y), NumPy broadcasting.

    Not `add`: LiteRT rescales in fixed point. `lift` is added to int8 codes and zero points before
    and taken off after, where the runtime computes them as uint8.
    """

    kind = "qlinear_add"
    formats = ("onnx:com.microsoft.QLinearAdd",)
    reference = "ONNX Runtime 1.31.1, MLAS qladd.cpp"
    operands: ClassVar[int] = 2
    operations: ClassVar[int] = 5
    requantizes: ClassVar[bool] = True

    by: Sum
    lift: int
    dtype: str
    low: int
    high: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The dialect's form is `fma` or `fixed_point`; options are lift (0, 128) and swapped."""
        require_dtypes(source.place, source.inputs[:2], ("int8", "uint8"))
        lift = int(source.options.get("lift", 0))
        kinds = (*source.inputs[:2], source.outputs[0])
        grids = [single_grid(k, source.place, f"operand {i}") for i, k in enumerate(kinds)]
        scales = (grids[0][0], grids[1][0], grids[2][0])
        zeros = (grids[0][1] + lift, grids[1][1] + lift, grids[2][1] + lift)
        by: Sum
        if source.dialect.form(cls.kind, "fma") == "fixed_point":
            by = FixedSum.of(scales, zeros) or PlainSum(scales, zeros)
        else:
            by = FusedSum.of(scales, zeros, swapped=bool(source.options.get("swapped", False)))
        low, high = value_range(source.outputs[0])
        return cls(by, lift, source.outputs[0].dtype, low, high)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Add, clamp, take the lift off."""
        a, b = (present(inputs, i).astype(np.int64) + self.lift for i in (0, 1))
        total = self.by.add(a, b)
        low, high = self.low + self.lift, self.high + self.lift
        return (round_to_grid(total, 0, low, high) - self.lift).astype(self.dtype)
