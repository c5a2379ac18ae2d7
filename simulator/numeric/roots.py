"""Square roots of codes: tables that are computed, and only for values that are not negative."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalValues
from simulator.numeric.inverse_root import inverse_roots
from simulator.numeric.requantize import Requantize, requantize_array
from simulator.numeric.tables import Grids, Table


@dataclass(frozen=True)
class NotNegative(Table):
    """Another table behind a check: raises IllegalValues for a code below `zero_point`."""

    operations: ClassVar[int] = 40

    inner: Table
    zero_point: int

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """Check, then look up."""
        if x.size and int(x.min()) < self.zero_point:
            raise IllegalValues(
                f"roots are of values >= 0 only: found code {int(x.min())} with zero point "
                f"{self.zero_point}; put a RELU before it"
            )
        return self.inner.look_up(x)


@dataclass(frozen=True)
class TruncatedRoot(Table):
    """sqrt(x) in float32, cut (not rounded) to a code (LiteRT elementwise.cc SqrtEvalQuantized)."""

    # The scale, the root and the quotient; the conversion, the cut, the zero point and the clamp.
    operations: ClassVar[int] = 10
    real_multiplications: ClassVar[int] = 5
    real_additions: ClassVar[int] = 5

    grids: Grids
    low: int
    high: int
    dtype: str

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """Every step in float32."""
        codes = x.astype(np.int32) - self.grids.x_zero_point
        root = np.sqrt(np.float32(self.grids.x_scale) * codes.astype(np.float32))
        whole = np.trunc(root / np.float32(self.grids.y_scale)).astype(np.float64)
        y = np.clip(whole + self.grids.y_zero_point, self.low, self.high)
        return np.asarray(y.astype(self.dtype))


@dataclass(frozen=True)
class NewtonInverseRoot(Table):
    """1 / sqrt(x) by Newton's method in integers, in units of 2^-20, requantized.

    0 gives the greatest code (LiteRT elementwise.cc RsqrtEvalQuantizedInt8).
    """

    operations: ClassVar[int] = 40

    zero_point: int
    requantize: Requantize
    dtype: str

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """Root, requantize."""
        codes = x.astype(np.int32) - np.int32(self.zero_point)
        y = requantize_array(inverse_roots(codes), self.requantize, self.dtype)
        return np.where(codes == 0, y.dtype.type(self.requantize.high), y)
