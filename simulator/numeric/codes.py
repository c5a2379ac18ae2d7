"""From real values to codes and back, in float32."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.reals import round_away
from simulator.numeric.rounding import INT32_MIN

BEYOND_INT32: Final = 2.0**31


@dataclass(frozen=True)
class RealToCode:
    """y = clamp(round(x / scale) + zero_point, low, high).

    `away`: the quotient, ties away from zero. `even`: the product with f32(1 / scale), ties to
    even. What does not fit int32, and NaN, becomes -2^31 (x86 cvttss2si), to which the zero point
    is added modulo 2^32; with `clamps_first` it becomes the nearer end, NaN the upper.
    """

    scale: float
    zero_point: int
    low: int
    high: int
    rounding: Literal["away", "even"]
    clamps_first: bool

    def convert(self, x: NDArray[Any], dtype: str) -> NDArray[Any]:
        """The code of every value."""
        scale = np.float32(self.scale)
        with np.errstate(all="ignore"):
            if self.rounding == "away":
                whole = round_away(x / scale).astype(np.float64)
            else:
                whole = np.rint(x * (np.float32(1) / scale)).astype(np.float64)
        if self.clamps_first:
            below, above = self.low - self.zero_point, self.high - self.zero_point
            whole = np.clip(np.nan_to_num(whole, nan=above), below, above)
        else:
            fits = np.abs(whole) < BEYOND_INT32
            whole = np.where(fits, whole, float(INT32_MIN))
        codes = whole.astype(np.int64) + self.zero_point
        wrapped = (codes - INT32_MIN) % 2**32 + INT32_MIN
        return np.clip(wrapped, self.low, self.high).astype(dtype)


def code_to_real(x: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    """f32(scale (x - zero_point)), the product rounded once."""
    centred = x.astype(np.float64) - zero_point
    return np.asarray((centred * scale).astype(np.float32))
