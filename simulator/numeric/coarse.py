"""Codes of a fixed grid brought onto a coarser one: what a narrower output register keeps.

For functions whose algorithm has an output grid of its own (softmax in Q0.15, normalized rows):
they are computed on it, then rounded once more.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.rows import RowFunction
from simulator.numeric.tables import Table


@dataclass(frozen=True)
class Coarser:
    """y = clamp(round((x - zero_in) / 2^shift) + zero_out, low, high), ties to even."""

    shift: int
    zero_in: int
    zero_out: int
    low: int
    high: int

    def apply(self, x: NDArray[Any]) -> NDArray[Any]:
        """Every code, in the dtype of `x`; a float64 holds each quotient exactly."""
        scaled = np.rint((x.astype(np.float64) - self.zero_in) / 2.0**self.shift)
        codes = np.clip(scaled + self.zero_out, self.low, self.high)
        return np.asarray(codes.astype(x.dtype))


@dataclass(frozen=True)
class CoarseTable(Table):
    """A table whose images are rounded to fewer bits."""

    # A sigmoid's table (12), the shift, the rounding and the clamp.
    operations: ClassVar[int] = 15

    inner: Table
    coarser: Coarser

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """Look up, then round."""
        return self.coarser.apply(self.inner.look_up(x))


@dataclass(frozen=True)
class CoarseRows(RowFunction):
    """A function of rows whose values are rounded to fewer bits."""

    # As `TableSoftmax` or `Normalization`, the larger, and the shift, the rounding and the clamp.
    operations: ClassVar[int] = 23

    inner: RowFunction
    coarser: Coarser

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """Row by row, then round."""
        return self.coarser.apply(self.inner.rows(x))
