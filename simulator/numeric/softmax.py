"""Softmax of rows, in the forms that runtimes give it.

`FixedPointSoftmax`, `TableSoftmax` and `RealSoftmax` are LiteRT's reference kernels for 8-bit,
16-bit and real input; `FloatTableSoftmax` is its optimized kernel for 8 bits.
"""

from dataclasses import dataclass
from math import floor
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.functions import count_leading_zeros_32, softmax_rows
from simulator.numeric.reals import exp, log, round_away
from simulator.numeric.requantize import quantize_multiplier
from simulator.numeric.rounding import multiply_double_round
from simulator.numeric.rows import RowFunction
from simulator.numeric.tables import INT16_MAX, INT16_MIN, Grids, table_16

INTEGER_BITS: Final = 5
"""Differences are scaled to Q5.26."""

EXP_RANGE: Final = 10.0
"""The exponential's table reaches from -10 to 0, in 2^16 - 1 steps."""


@dataclass(frozen=True)
class FixedPointSoftmax(RowFunction):
    """exp(multiplier 2^(shift - 31) (x - max) / 2^26) / sum, in `bits` bits from `low` on.

    Differences below `smallest`, -31 in reals, count as exp = 0. LiteRT reference/softmax.h; TFLM
    and CMSIS-NN give the same bits.
    """

    # Two exponentials of a degree-4 polynomial (11 multiplies, adds and shifts) and 7 conditional
    # multiplies (2 each), their scaling and rounding (4), the maximum and the sum (2), and the
    # product with the reciprocal (4).
    operations: ClassVar[int] = 60

    multiplier: int
    shift: int
    smallest: int
    low: int
    bits: int
    dtype: str

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """Row by row."""
        out = np.empty(x.shape, dtype=self.dtype)
        high = self.low + (1 << self.bits) - 1
        softmax_rows(x, self.multiplier, self.shift, self.smallest, self.low, high, self.bits, out)
        return out


def q5_multiplier(real: float) -> tuple[int, int, int] | None:
    """(multiplier, shift, smallest) that scale a difference by `real` to Q5.26; None up to 2^-26.

    There LiteRT ends the process (quantization_util.cc QuantizeMultiplierGreaterThanOne).

    `smallest` is the difference that is -31 in reals; larger scales than 2^31 - 1 are cut to it.
    """
    scaled = min(real * 2.0 ** (31 - INTEGER_BITS), 2.0**31 - 1)
    if scaled <= 1:
        return None
    multiplier, shift = quantize_multiplier(scaled)
    radius = ((1 << INTEGER_BITS) - 1) * 2.0 ** (31 - INTEGER_BITS) / 2.0**shift
    return multiplier, shift, -floor(radius)


@njit
def _interpolate(value: Any, table: Any) -> Any:
    # As `look_up_16`, of one code.
    index = (value >> 7) + 256
    slope = ((table[index + 1] - table[index] + 2**15) & 0xFFFF) - 2**15
    return table[index] + ((slope * (value & 127) + 64) >> 7)


@njit
def _table_rows(x: Any, multiplier: int, shift: int, exps: Any, reciprocals: Any, out: Any) -> None:
    e = np.empty(x.shape[1], dtype=np.int64)
    for row in range(x.shape[0]):
        largest = np.int64(x[row].max())
        total = np.int64(0)
        for k in range(x.shape[1]):
            difference = np.int64(x[row, k]) - largest
            scaled = multiply_double_round(difference, multiplier, shift) + 32767
            e[k] = _interpolate(min(max(scaled, -32768), 32767), exps)
            total += e[k]
        # The sum as 1 + a with a in [0, 1) of 16 bits; its reciprocal from the other table.
        headroom = count_leading_zeros_32(total)
        mantissa = ((total << (headroom - 1)) + (1 << 13)) >> 14
        centred = min(max(mantissa - (1 << 15) - (1 << 16), -32768), 32767)
        reciprocal = _interpolate(centred, reciprocals)
        right = np.int64(31) - headroom
        for k in range(x.shape[1]):
            value = (e[k] * reciprocal + (np.int64(1) << (right - 1))) >> right
            out[row, k] = min(max(value, 0), 32767)


@dataclass(frozen=True)
class TableSoftmax(RowFunction):
    """int16 to Q0.15: the exponential and the reciprocal of the sum from 513-entry tables.

    `multiplier` and `shift` scale a difference so that 65535 stands for 10. LiteRT
    reference/softmax.h SoftmaxInt16.
    """

    # Difference, rescaling (4), clamp (2), interpolation (7), maximum, sum; product, shift, clamp.
    # The reciprocal's table is read once a row, which is left out.
    operations: ClassVar[int] = 20
    lookups: ClassVar[int] = 2

    multiplier: int
    shift: int
    exps: tuple[int, ...]
    reciprocals: tuple[int, ...]

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """Row by row."""
        out = np.empty(x.shape, dtype=np.int16)
        tables = (np.array(t, dtype=np.int64) for t in (self.exps, self.reciprocals))
        _table_rows(x, self.multiplier, self.shift, *tables, out)
        return out


def table_softmax(real: float, precision: Any) -> TableSoftmax:
    """`real` is a step of x times beta; the tables are made in `precision`."""
    span = float(INT16_MAX - INT16_MIN)
    exps = Grids(EXP_RANGE / span, INT16_MAX, 2.0 / span, 0)
    reciprocals = Grids(1.0 / span, INT16_MIN, 2.0 / span, 0)
    return TableSoftmax(
        *quantize_multiplier(real / (EXP_RANGE / span)),
        table_16(exp, exps, precision),
        table_16(lambda x: 1.0 / (1.0 + x), reciprocals, precision),
    )


@dataclass(frozen=True)
class FloatTableSoftmax(RowFunction):
    """8-bit input: exp from 256 float32 values, summed in order, scaled, rounded away.

    `step` is f32(-s_x beta). LiteRT optimized_ops.h Softmax.
    """

    # Maximum and difference are of codes; sum, product, rounding, offset and clamp (2) of reals.
    operations: ClassVar[int] = 8
    lookups: ClassVar[int] = 1
    real_multiplications: ClassVar[int] = 1
    real_additions: ClassVar[int] = 5

    step: float
    y_scale: float
    low: int
    limits: tuple[int, int]
    dtype: str

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """All rows, column by column: the sum is taken in order."""
        e = exp_table(self.step)[x.max(axis=1, keepdims=True).astype(np.int64) - x]
        inverse = np.float32(1) / (ordered_sum(e) * np.float32(self.y_scale))
        scaled = round_away(e * inverse[:, None]) + np.float32(self.low)
        return np.clip(scaled, *self.limits).astype(self.dtype)


def exp_table(step: float) -> NDArray[np.float32]:
    """exp(step d) of the differences d = 0 ... 255, in float32."""
    return np.asarray(exp(np.float32(step) * np.arange(256, dtype=np.float32)))


def ordered_sum(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The sum of each row from left to right in float32, from 0 on."""
    total = np.zeros(x.shape[0], dtype=np.float32)
    for column in x.T:
        total += column
    return total


def interleaved_sum(x: NDArray[np.float32], sums: int) -> NDArray[np.float32]:
    """The sum of each row in float32: element i goes to sum i modulo `sums`, a power of two.

    Eigen Redux.h: whole packets alternate between two accumulators, the halves of their sum are
    added till one number is left, and the elements after the last whole packet follow in order.
    """
    whole = x.shape[1] // sums
    if sums == 1 or whole == 0:
        return ordered_sum(x)
    packets = x[:, : whole * sums].reshape(-1, whole, sums).swapaxes(0, 1)
    paired = whole - whole % 2
    total = packets[0]
    if paired:
        other = packets[1]
        for k in range(2, paired, 2):
            total, other = total + packets[k], other + packets[k + 1]
        total = total + other
    if paired and paired < whole:
        total = total + packets[paired]
    while total.shape[1] > 1:
        half = total.shape[1] // 2
        total = total[:, :half] + total[:, half:]
    result: NDArray[np.float32] = total[:, 0]
    for column in x[:, whole * sums :].T:
        result = result + column
    return result


@dataclass(frozen=True)
class RealSoftmax(RowFunction):
    """exp(beta (x - max)) / sum in float32, the sum from left to right (reference/softmax.h)."""

    # An exponential (20) with as many products as sums, its scaling, maximum, sum and quotient.
    operations: ClassVar[int] = 30
    real_multiplications: ClassVar[int] = 15
    real_additions: ClassVar[int] = 15

    beta: float

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """All rows."""
        e = exp((x - x.max(axis=1, keepdims=True)) * np.float32(self.beta))
        return np.asarray(e / ordered_sum(e)[:, None])


@dataclass(frozen=True)
class RealLogSoftmax(RowFunction):
    """x - max - log(sum of exp(x - max)) in float32, in that order (reference/log_softmax.h).

    With several `sums` as `interleaved_sum` adds (optimized_ops.h, by Eigen's packets of four).
    """

    # An exponential (20) with as many products as sums, its scaling, maximum, sum and quotient.
    operations: ClassVar[int] = 30
    real_multiplications: ClassVar[int] = 15
    real_additions: ClassVar[int] = 15

    sums: int = 1

    def rows(self, x: NDArray[Any]) -> NDArray[Any]:
        """All rows."""
        shifted = x - x.max(axis=1, keepdims=True)
        return np.asarray(shifted - log(interleaved_sum(exp(shifted), self.sums))[:, None])
