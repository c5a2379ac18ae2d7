"""Fixed-point primitives on int64 carriers: every narrowing and every tie is written out.

Inside Numba ``int32 + int32`` widens; without it, it wraps. So each value here is int64 and each
width is applied by name.
"""

from typing import Any

import numpy as np

from simulator.jit import njit

INT32_MIN = -(2**31)
INT32_MAX = 2**31 - 1


@njit
def wrap(value: int, bits: int) -> Any:
    """The two's complement value of the low `bits` bits of `value`, 1 <= bits <= 64."""
    spare = np.int64(64) - np.int64(bits)
    return (np.int64(value) << spare) >> spare


@njit
def saturate(value: int, bits: int) -> Any:
    """`value` clamped to the signed range of `bits` bits."""
    low = np.int64(-1) << (bits - 1)
    high = ~low
    if value > high:
        return high
    if value < low:
        return low
    return value


@njit
def saturating_rounding_doubling_high_mul(a: int, b: int) -> Any:
    """round(a * b / 2^31) of two int32 values, ties up; -2^31 squared saturates to 2^31 - 1.

    In reals: the product of two Q0.31 numbers. gemmlowp fixedpoint.h SRDHM; its signed nudge and
    truncating division come to floor((a b + 2^30) / 2^31), as does Arm's SQRDMULH.
    """
    if a == b and a == INT32_MIN:
        return np.int64(INT32_MAX)
    return (a * b + (np.int64(1) << 30)) >> 31


@njit
def rounding_divide_by_power_of_two(value: int, exponent: int) -> Any:
    """round(value / 2^exponent), ties away from zero; exponent >= 0 (gemmlowp RDBPOT)."""
    mask = (np.int64(1) << exponent) - 1
    remainder = value & mask
    threshold = mask >> 1
    if value < 0:
        threshold += 1
    result = value >> exponent
    if remainder > threshold:
        result += 1
    return result


@njit
def multiply_double_round(value: int, multiplier: int, shift: int) -> Any:
    """Value * multiplier * 2^(shift - 31), rounded twice: at bit 31 (up), then at `-shift` (away).

    As LiteRT's default build (internal/common.cc:81). TOSA and TFLITE_SINGLE_ROUNDING round once.
    """
    left = shift if shift > 0 else np.int64(0)
    right = -shift if shift < 0 else np.int64(0)
    high = saturating_rounding_doubling_high_mul(wrap(value << left, 32), multiplier)
    return rounding_divide_by_power_of_two(high, right)


@njit
def multiply_single_round(value: int, multiplier: int, shift: int) -> Any:
    """Value * multiplier * 2^(shift - 31), rounded once, ties up (TFLITE_SINGLE_ROUNDING)."""
    total = np.int64(31) - shift
    if total <= 0:
        return (value * multiplier) << -total
    return (value * multiplier + (np.int64(1) << (total - 1))) >> total


@njit
def multiply_double_round_up(value: int, multiplier: int, shift: int) -> Any:
    """As `multiply_double_round`, but ties of the second rounding go up (ruy on x86)."""
    left = shift if shift > 0 else np.int64(0)
    right = -shift if shift < 0 else np.int64(0)
    high = saturating_rounding_doubling_high_mul(wrap(value << left, 32), multiplier)
    if right == 0:
        return high
    return (high + (np.int64(1) << (right - 1))) >> right


@njit
def multiply_tosa_double_round(value: int, multiplier: int, shift: int) -> Any:
    """TOSA's double rounding: half a unit at the end, and at bit 31 half away where 31 bits go.

    As `multiply_double_round` for most values, in one shift: RESCALE with DOUBLE_ROUND (TOSA 1.0
    section 2.2.1, apply_scale_32), where the product keeps its bits below the first rounding.
    """
    total = np.int64(31) - shift
    half = np.int64(1) << (total - 1)
    if total > 31:
        half += (np.int64(1) << 30) if value >= 0 else -(np.int64(1) << 30)
    return (value * multiplier + half) >> total


@njit
def multiply_q15_round(value: int, multiplier: int, shift: int) -> Any:
    """Value * multiplier * 2^(shift - 31) of an int64 value, multiplier cut to 16 bits, ties up.

    LiteRT internal/common.cc:93, for int16 activations; |value| must stay below 2^47.
    """
    if multiplier < 0x7FFF0000:
        narrow = (multiplier + (np.int64(1) << 15)) >> 16
    else:
        narrow = np.int64(0x7FFF)
    total = np.int64(15) - shift
    return wrap((value * narrow + (np.int64(1) << (total - 1))) >> total, 32)


@njit
def round_half_even(value: float) -> Any:
    """The nearest integer, ties to even (IEEE 754 roundTiesToEven)."""
    below = np.floor(value)
    whole = np.int64(below)
    gap = value - below
    if gap > 0.5 or (gap == 0.5 and whole & 1):
        whole += np.int64(1)
    return whole


@njit
def round_half_away(value: float) -> Any:
    """The nearest integer, ties away from zero (C's std::round)."""
    whole = np.int64(np.trunc(value))
    if abs(value - whole) >= 0.5:
        whole += np.int64(1) if value > 0 else np.int64(-1)
    return whole
