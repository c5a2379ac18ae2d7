"""Functions of one tensor by table: how the 8-bit and 16-bit forms are made and looked up.

`ByteTable` has 256 entries, `InterpolatedTable` 513 (LiteRT internal/common.h LUTPopulate and
LUTLookup), `SigmoidTable` interpolates the logistic function. Every arithmetic step is rounded to
the precision that a table is made in; codes are exact.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.reals import RealFunction, round_away
from simulator.numeric.recurrent import evaluate, logistic_table, tanh_table

STEPS: Final = 512
"""Intervals of a 16-bit table: the upper 9 bits of a code choose one, the lower 7 interpolate."""

INT16_MIN: Final = -(2**15)
INT16_MAX: Final = 2**15 - 1


@dataclass(frozen=True)
class Grids:
    """The grids of an input and an output: real = scale * (code - zero_point)."""

    x_scale: float
    x_zero_point: int
    y_scale: float
    y_zero_point: int


def table_8(
    function: RealFunction, grids: Grids, codes: tuple[int, int], limits: tuple[int, int]
) -> tuple[int, ...]:
    """The output code, within `limits`, of each input code from codes[0] to codes[1].

    y = clamp(round(f(s_x (q - z_x)) * f32(1 / s_y)) + z_y) in float32, ties away from zero.
    """
    with np.errstate(all="ignore"):
        centred = np.arange(codes[0], codes[1] + 1) - grids.x_zero_point
        real = np.float32(grids.x_scale) * centred.astype(np.float32)
        inverse = np.float32(1) / np.float32(grids.y_scale)
        scaled = round_away(function(real) * inverse) + np.float32(grids.y_zero_point)
    # An inverse that is infinite makes NaN of zero.
    clamped = np.nan_to_num(np.clip(scaled, *limits), nan=limits[0])
    return tuple(int(code) for code in clamped)


def table_16(function: RealFunction, grids: Grids, precision: Any = np.float32) -> tuple[int, ...]:
    """The function at 513 equally spaced codes from -2^15 on, to be interpolated.

    Each entry is lowered by half the error that interpolation would make in the middle of its
    interval. Entries are clamped to int16; a NaN (infinity less infinity) becomes 0.
    """
    real = precision
    with np.errstate(all="ignore"):
        x_scale, y_scale = real(grids.x_scale), real(grids.y_scale)
        x_low, x_high = (x_scale * real(e - grids.x_zero_point) for e in (INT16_MIN, INT16_MAX))
        y_low, y_high = (y_scale * real(e - grids.y_zero_point) for e in (INT16_MIN, INT16_MAX))
        step = (x_high - x_low) / real(STEPS)
        inverse = real(2**16) / (y_high - y_low)
        starts = x_low + np.arange(STEPS + 1).astype(real) * step
        here, after = function(starts[:-1]) * inverse, function(starts[1:]) * inverse
        middle = round_away(function(starts[:-1] + step / real(2)) * inverse)
        chord = round_away((after + round_away(here)) / real(2))
        entries = round_away(here) - round_away((chord - middle) / real(2))
        last = round_away(function(np.array([x_high])) * inverse)
        both = np.clip(np.concatenate([entries, last]), INT16_MIN, INT16_MAX)
    return tuple(int(code) for code in np.nan_to_num(both, nan=0.0))


@dataclass(frozen=True)
class Table(ABC):
    """Maps every code, or real value, to one."""

    operations: ClassVar[int]
    """Scalar ALU operations an element, for `work`."""
    lookups: ClassVar[int] = 0
    """Entries that an element reads."""
    real_multiplications: ClassVar[int] = 0
    """Of the operations the multiplications and divisions of real numbers."""
    real_additions: ClassVar[int] = 0
    """Of the operations the other ones on real numbers."""

    @abstractmethod
    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """The images of x, of any shape."""


@dataclass(frozen=True)
class ByteTable(Table):
    """One entry for each code from `low` on: 256 of 8 bits, fewer of narrower tensors."""

    operations: ClassVar[int] = 1
    lookups: ClassVar[int] = 1

    grids: Grids
    low: int
    dtype: str
    entries: tuple[int, ...]

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """Entry by entry."""
        return np.array(self.entries, dtype=self.dtype)[x.astype(np.int64) - self.low]


@dataclass(frozen=True)
class InterpolatedTable(Table):
    """513 entries: int16 codes are interpolated by their lower 7 bits, ties up.

    Slopes wrap at 16 bits.
    """

    # Two shifts, a mask, the slope, a product, the rounding and the sum.
    operations: ClassVar[int] = 8
    lookups: ClassVar[int] = 2

    grids: Grids
    entries: tuple[int, ...]

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """Between neighbouring entries."""
        entries = np.array(self.entries, dtype=np.int64)
        slopes = np.diff(entries).astype(np.int16).astype(np.int64)
        codes = x.astype(np.int64)
        index = (codes >> 7) + STEPS // 2
        values = entries[index] + ((slopes[index] * (codes & 127) + 64) >> 7)
        return np.asarray(values.astype(np.int16))


@dataclass(frozen=True)
class SigmoidTable(Table):
    """Logistic function or tanh of int16 x in Q0.15; 12288 of x multiplier / 2^shift are 1."""

    operations: ClassVar[int] = 12
    lookups: ClassVar[int] = 2

    function: Literal["logistic", "tanh"]
    multiplier: int
    shift: int

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """Between the entries of the one table of the logistic function."""
        kernel = logistic_table if self.function == "logistic" else tanh_table
        flat = np.ascontiguousarray(x).reshape(-1)
        out = np.empty(flat.shape, dtype=np.int16)
        kernel(flat, self.multiplier, self.shift, out)
        return out.reshape(x.shape)


@dataclass(frozen=True)
class FixedPointSigmoid(Table):
    """Logistic function or tanh of int16 x 2^(left_shift - 12) in gemmlowp's 16-bit arithmetic.

    Up to 12 units of 2^-15 off, as `simulator.numeric.recurrent` says; the shift saturates.
    """

    operations: ClassVar[int] = 40

    function: Literal["logistic", "tanh"]
    left_shift: int

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """An exponential and a reciprocal an element."""
        shifted = np.clip(x.astype(np.int64) << self.left_shift, INT16_MIN, INT16_MAX)
        return evaluate(self.function, "gemmlowp", shifted.astype(np.int16), -12)


@dataclass(frozen=True)
class RealMap(Table):
    """A real function of float32 values: no table at all."""

    # As many as an exponential by a polynomial, and a division; Horner's rule multiplies as often
    # as it adds.
    operations: ClassVar[int] = 20
    real_multiplications: ClassVar[int] = 10
    real_additions: ClassVar[int] = 10

    function: RealFunction

    def look_up(self, x: NDArray[Any]) -> NDArray[Any]:
        """Value by value."""
        with np.errstate(all="ignore"):
            return np.asarray(self.function(x))
