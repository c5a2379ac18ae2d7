"""Logistic and tanh from int16 to int16, in the two forms that recurrent kernels use.

Both give Q0.15. `gemmlowp` evaluates exponential and reciprocal in 16-bit fixed point
(gemmlowp fixedpoint.h, as LiteRT's LSTM); the table forms interpolate 256 values of the logistic
function (as TFLM and CMSIS-NN). The first is off by up to 12 units of 2^-15, the second by less
than 2. Not the float look-up tables of the 8-bit LOGISTIC and TANH operators.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.functions import EXP_OF_MINUS_POWER
from simulator.numeric.rounding import rounding_divide_by_power_of_two, saturate

ONE: Final = 2**15 - 1
"""The number nearest to 1 in Q0.15."""
GATE_POWER: Final = -12
"""A gate's sum is Q3.12: in steps of 2^-12."""

# The int32 constants of gemmlowp, rounded to 16 bits (RescaleConstantInitializer).
EXP_OF_MINUS_POWER_16: Final = tuple((c + 2**15) >> 16 for c in EXP_OF_MINUS_POWER)
EXP_MINUS_EIGHTH_16: Final = 28918  # exp(-1/8) in Q0.15
ONE_THIRD_16: Final = 10923  # 1/3 in Q0.15
FORTY_EIGHT_17THS_16: Final = 23130  # 48/17 in Q2.13
MINUS_THIRTY_TWO_17THS_16: Final = -15420  # -32/17 in Q2.13
ONE_IN_Q2: Final = 1 << 13

SIGMOID_STEPS_PER_UNIT: Final = 24


def _sigmoid_entry(step: int) -> int:
    # logistic(step / 24) * 2^16, raised by half the error that interpolation would make in the
    # middle of the step, where the curve lies above the chord.
    here, middle, after = (
        65536 / (1 + math.exp(-at / SIGMOID_STEPS_PER_UNIT)) for at in (step, step + 0.5, step + 1)
    )
    return math.floor(here + (middle - (here + after) / 2) / 2 + 0.5)


SIGMOID_TABLE: Final[NDArray[np.int64]] = np.array(
    [*map(_sigmoid_entry, range(255)), 65535], dtype=np.int64
)
"""The logistic function at 0, 1/24, ... 255/24 in Q0.16, the last one being 1.

These are the values of LiteRT's common.h and CMSIS-NN's arm_nn_tables; the formula is ours.
"""


@njit
def _mul(a: Any, b: Any) -> Any:
    # round(a * b / 2^15) of two int16 values, ties up; -2^15 squared saturates.
    return saturate((a * b + (np.int64(1) << 14)) >> 15, 16)


@njit
def _exp_16(a: Any, integer_bits: Any) -> Any:
    # exp(a) in Q0.15 for a <= 0 with `integer_bits` bits before the point.
    if a == 0:
        return np.int64(ONE)
    fraction_bits = np.int64(15) - integer_bits
    if integer_bits > 5 and a < -(np.int64(32) << fraction_bits):
        return np.int64(0)
    quarter = np.int64(1) << (fraction_bits - 2)
    part = (a & (quarter - 1)) - quarter
    # Taylor polynomial of degree 4 around -1/8.
    x = (part << integer_bits) + (np.int64(1) << 12)
    x2 = _mul(x, x)
    x3 = _mul(x2, x)
    x4 = _mul(x2, x2)
    cubic = _mul(rounding_divide_by_power_of_two(x4, 2) + x3, np.int64(ONE_THIRD_16))
    series = rounding_divide_by_power_of_two(cubic + x2, 1)
    constant = np.int64(EXP_MINUS_EIGHTH_16)
    result = saturate(constant + _mul(constant, x + series), 16)
    remainder = part - a
    for k in range(7):
        if integer_bits > k - 2 and remainder & (np.int64(1) << (fraction_bits + k - 2)):
            result = _mul(result, np.int64(EXP_OF_MINUS_POWER_16[k]))
    return result


@njit
def _twice_reciprocal_16(a: Any) -> Any:
    # 2 / (1 + a) in Q2.13 for a in [0, 1) in Q0.15: three Newton-Raphson steps.
    half_denominator = (a + ONE + 1) >> 1
    x = np.int64(FORTY_EIGHT_17THS_16) + _mul(half_denominator, np.int64(MINUS_THIRTY_TWO_17THS_16))
    for _ in range(3):
        x += saturate(_mul(x, ONE_IN_Q2 - _mul(half_denominator, x)) << 2, 16)
    return x


@njit
def _logistic_gemmlowp(x: Any, integer_bits: int, out: Any) -> None:
    for i in range(x.size):
        value = np.int64(x[i])
        if value == 0:
            out[i] = 1 << 14
            continue
        high = saturate(_twice_reciprocal_16(_exp_16(-abs(value), integer_bits)) << 1, 16)
        out[i] = high if value > 0 else ONE - high


@njit
def _tanh_gemmlowp(x: Any, integer_bits: int, out: Any) -> None:
    # (1 - exp(-2 |x|)) / (1 + exp(-2 |x|)), with the sign of x.
    for i in range(x.size):
        value = np.int64(x[i])
        if value == 0:
            out[i] = 0
            continue
        power = _exp_16(-abs(value), integer_bits + 1)
        high = saturate((_twice_reciprocal_16(power) - ONE_IN_Q2) << 2, 16)
        out[i] = high if value > 0 else -high


@njit
def logistic_table(x: Any, multiplier: int, shift: int, out: Any) -> None:
    """1 / (1 + exp(-x)) in Q0.15 of flat int16 x, whose unit is x * multiplier / 2^shift = 12288.

    512 of those steps are one of the table's (LiteRT integer_ops/logistic.h).
    """
    table = SIGMOID_TABLE
    nudge = (np.int64(1) << shift) >> 1
    for i in range(x.size):
        scaled = (np.int64(x[i]) * multiplier + nudge) >> shift
        magnitude = abs(scaled)
        index = magnitude >> 9
        if index >= 255:
            value = np.int64(0x7FFF) << 10
        else:
            low = table[index]
            value = (low << 9) + (magnitude & 511) * (table[index + 1] - low)
        if scaled < 0:
            value = (np.int64(1) << 25) - value - 1
        out[i] = (value + 512) >> 10


@njit
def tanh_table(x: Any, multiplier: int, shift: int, out: Any) -> None:
    """tanh(x) = 2 logistic(2 x) - 1; else as `logistic_table` (LiteRT integer_ops/tanh.h)."""
    table = SIGMOID_TABLE
    nudge = (np.int64(1) << shift) >> 1
    for i in range(x.size):
        scaled = (np.int64(x[i]) * multiplier + nudge) >> shift
        magnitude = abs(scaled)
        index = magnitude >> 8
        if index >= 255:
            value = np.int64(0xFFFF) << 8
        else:
            low = table[index]
            value = (low << 8) + (magnitude & 255) * (table[index + 1] - low)
        value -= np.int64(1) << 23
        if scaled < 0:
            value = -value - 1
        out[i] = (value + 128) >> 8


_GEMMLOWP: Final[dict[str, Callable[[Any, int, Any], None]]] = {
    "logistic": _logistic_gemmlowp,
    "tanh": _tanh_gemmlowp,
}
_TABLE: Final[dict[str, Callable[[Any, int, int, Any], None]]] = {
    "logistic": logistic_table,
    "tanh": tanh_table,
}


def evaluate(function: str, form: str, x: NDArray[np.int16], power: int) -> NDArray[np.int16]:
    """`logistic` or `tanh` of x * 2^power in Q0.15, in the form `gemmlowp` or by table.

    gemmlowp has -15 <= power <= -9; the table any power.
    """
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty(flat.shape, dtype=np.int16)
    if form == "gemmlowp":
        _GEMMLOWP[function](flat, 15 + power, out)
    else:
        # A step of 2^-12 is 3 of 1 / 12288; a power below -12 is divided last, ties up.
        left, right = max(power + 12, 0), max(-12 - power, 0)
        _TABLE[function](flat, 3 << left, right, out)
    return out.reshape(x.shape)


def add_saturating(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.int16]:
    """The sum, clamped to int16."""
    total = a.astype(np.int64) + b.astype(np.int64)
    return np.clip(total, -(2**15), 2**15 - 1).astype(np.int16)
