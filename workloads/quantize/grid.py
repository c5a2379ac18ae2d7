"""The uniform grid: real = scale * (code - zero point), and its fake quantization as printed."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import BadConfig, Unsupported
from simulator.types import QuantParams
from workloads.quantize.quantizer import PER_TENSOR, Array, Codes, Layout, Quantizer, Reals, reals
from workloads.quantize.rounding import LARGEST, Rounding, check_rounding, round_quotient


@dataclass(frozen=True)
class Grid(Quantizer):
    """code = clamp(round(x / scale) + zero_point, low, high); real = scale * (code - zero_point).

    Krishnamoorthi 2018 (arXiv 1806.08342) section 2.1 eq. 1-3, Nagel et al. 2021 (arXiv 2106.08295)
    section 2.2 eq. 4-7. `scale` and `zero_point` hold one value, or one per parameter of `layout`.
    Codes are those of the real x / scale, with no error of a float division: a tie is a tie of the
    float64 values. Not QuantParams, which has neither ends nor a rule.
    """

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    low: int
    high: int
    rounding: Rounding = "half_even"
    layout: Layout = PER_TENSOR

    def __post_init__(self) -> None:
        check_rounding(self.rounding)
        if not self.scale or len(self.scale) != len(self.zero_point):
            raise BadConfig(
                f"a grid needs one zero point a scale; found {len(self.scale)} scales and "
                f"{len(self.zero_point)} zero points"
            )
        bad = next((s for s in self.scale if not (np.isfinite(s) and s > 0)), None)
        if bad is not None:
            raise BadConfig(f"the scale of a grid must be positive and finite; found {bad}")
        widest = max(abs(v) for v in (self.low, self.high, *self.zero_point))
        if self.low > self.high or widest >= LARGEST / 4:
            raise BadConfig(
                f"the codes of a grid must ascend and stay below 2^22; found {self.low} to "
                f"{self.high}, zero points to {widest}"
            )

    def quantize(self, x: Array) -> Codes:
        """The code of every value, int32, the shape of x."""
        wide = reals(x)
        scale, zero = self._spread(wide.shape)
        codes = round_quotient(wide, scale, self.rounding) + zero
        return np.asarray(np.clip(codes, self.low, self.high), dtype=np.int32)

    def dequantize(self, codes: Array) -> Reals:
        """Scale * (code - zero point): one rounding to float64."""
        scale, zero = self._spread(codes.shape)
        return np.asarray((codes - zero) * scale)

    def ends(self) -> tuple[Reals, Reals]:
        """The least and the greatest real value of each parameter, (parameters,)."""
        zero, scale = np.array(self.zero_point), np.array(self.scale)
        return (self.low - zero) * scale, (self.high - zero) * scale

    @property
    def code_bits(self) -> int:
        """Bits that the codes need, the zero point apart."""
        if self.low >= 0:
            return max(self.high.bit_length(), 1)
        return max((-self.low - 1).bit_length(), max(self.high, 0).bit_length()) + 1

    def squared_error(self, x: Array) -> Reals:
        """Sum of (x - nearest grid value)^2 for each parameter of `layout`, (parameters,).

        The error of a rule that rounds to nearest; ties do not matter to it.
        """
        wide = np.asarray(x, dtype=np.float64)
        scale, zero = self._spread(wide.shape)
        steps = np.clip(np.rint(wide / scale), self.low - zero, self.high - zero)
        return self.layout.reduce(np.add, np.square(wide - steps * scale))

    def _spread(self, shape: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
        scale = self.layout.spread(np.array(self.scale, dtype=np.float64), shape)
        return scale, self.layout.spread(np.array(self.zero_point, dtype=np.float64), shape)


def sim_quant(x: Array, grid: Grid, *, erratum_eq13: bool = False) -> Reals:
    """Fake quantization, Krishnamoorthi 2018 section 2.4: scale * (clamp(round(x/scale) + z) - z).

    `erratum_eq13` gives equation 13 as printed: scale * clamp(round(x/scale) - z), the sign of z
    turned and its subtraction left out. Both are one where z = 0.
    """
    if not erratum_eq13:
        return grid.fake_quantize(x)
    turned = replace(grid, zero_point=tuple(-z for z in grid.zero_point))
    return replace(grid, zero_point=(0,) * len(grid.scale)).dequantize(turned.quantize(x))


def single(grid: Grid) -> Grid:
    """The grid with its scales rounded to float32, as model files hold them; zero points stay.

    Scales outside the normal numbers of float32 become the nearest of these.
    """
    limits = np.finfo(np.float32)
    held = np.clip(grid.scale, float(limits.tiny), float(limits.max)).astype(np.float32)
    return replace(grid, scale=tuple(held.tolist()))


def to_quant_params(grid: Grid) -> QuantParams:
    """The grid of a tensor in a graph; raises Unsupported for groups and scales not of float32."""
    if grid.layout.group_size:
        raise Unsupported("a graph's tensors have no scales per group; use one per channel")
    if any(float(np.float32(s)) != s for s in grid.scale):
        raise Unsupported("a graph's scales are float32; round them first by `single`")
    return QuantParams(grid.scale, grid.zero_point, grid.layout.axis)


def from_quant_params(
    params: QuantParams, low: int, high: int, rounding: Rounding = "half_even"
) -> Grid:
    """The grid of a graph's tensor, with the ends of its codes and a rule."""
    return Grid(params.scale, params.zero_point, low, high, rounding, Layout(params.axis))
