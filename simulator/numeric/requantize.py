"""Requantization as data: what brings an accumulator onto an output grid, and its kernels.

The importer chooses a `Requantize` per operator from the dialect; a kernel holds one rounding and
no choice.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.dialect import Blocks, Rounding
from simulator.numeric.rounding import (
    multiply_double_round,
    multiply_double_round_up,
    multiply_q15_round,
    multiply_single_round,
    multiply_tosa_double_round,
    round_half_away,
    round_half_even,
)


@dataclass(frozen=True)
class Requantize:
    """y = clamp(round(acc * scale) + zero_point, low, high), one scale per tensor or channel.

    `scale` is the real (double) ratio; `multiplier` (int32, Q0.31 in [1/2, 1)) and `shift` are its
    fixed-point form, ``scale ~ multiplier * 2^(shift - 31)``. `rounding` names the kernel, which
    uses the one or the other; what no full one of `blocks` holds is rounded by ``double_round``.
    """

    rounding: Rounding
    scale: tuple[float, ...]
    multiplier: tuple[int, ...]
    shift: tuple[int, ...]
    zero_point: int
    low: int
    high: int
    blocks: Blocks | None = None

    @cached_property
    def fixed_point(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """`multiplier` and `shift` as arrays."""
        return np.array(self.multiplier, dtype=np.int32), np.array(self.shift, dtype=np.int64)

    @cached_property
    def scale_array(self) -> NDArray[np.float64]:
        """`scale` as an array."""
        return np.array(self.scale, dtype=np.float64)

    @cached_property
    def single_scale_array(self) -> NDArray[np.float32]:
        """`scale` rounded to float32."""
        return self.scale_array.astype(np.float32)


def quantize_multiplier(scale: float) -> tuple[int, int]:
    """The (multiplier, shift) of a real scale: multiplier in [2^30, 2^31), 0 for a vanishing scale.

    LiteRT quantization_util.cc:53: the mantissa is rounded half away, an exponent below -31 gives
    (0, 0). Shifts above 31 are undefined in C++; x86 masks them (mod 32), and so do we.
    """
    if scale == 0.0:
        return 0, 0
    mantissa, exponent = math.frexp(scale)
    multiplier = math.floor(abs(mantissa) * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier //= 2
        exponent += 1
    if exponent < -31:
        return 0, 0
    if exponent > 31:
        exponent &= 31
    return (multiplier if scale > 0 else -multiplier), exponent


def make_requantize(
    rounding: Rounding,
    scale: tuple[float, ...],
    zero_point: int,
    low: int,
    high: int,
    blocks: Blocks | None = None,
) -> Requantize:
    """A `Requantize` with the fixed-point form of each scale derived as the reference does."""
    pairs = [quantize_multiplier(s) for s in scale]
    return Requantize(
        rounding,
        scale,
        tuple(m for m, _ in pairs),
        tuple(s for _, s in pairs),
        zero_point,
        low,
        high,
        blocks,
    )


@njit
def _double_round(
    acc: Any, multiplier: Any, shift: Any, zero_point: int, low: int, high: int, out: Any
) -> None:
    single = multiplier.size == 1
    for row in range(acc.shape[0]):
        for channel in range(acc.shape[1]):
            value = multiply_double_round(
                np.int64(acc[row, channel]),
                np.int64(multiplier[0] if single else multiplier[channel]),
                shift[0] if single else shift[channel],
            )
            out[row, channel] = min(max(value + zero_point, low), high)


@njit
def _single_round(
    acc: Any, multiplier: Any, shift: Any, zero_point: int, low: int, high: int, out: Any
) -> None:
    single = multiplier.size == 1
    for row in range(acc.shape[0]):
        for channel in range(acc.shape[1]):
            value = multiply_single_round(
                np.int64(acc[row, channel]),
                np.int64(multiplier[0] if single else multiplier[channel]),
                shift[0] if single else shift[channel],
            )
            out[row, channel] = min(max(value + zero_point, low), high)


@njit
def _double_round_up(
    acc: Any, multiplier: Any, shift: Any, zero_point: int, low: int, high: int, out: Any
) -> None:
    single = multiplier.size == 1
    for row in range(acc.shape[0]):
        for channel in range(acc.shape[1]):
            value = multiply_double_round_up(
                np.int64(acc[row, channel]),
                np.int64(multiplier[0] if single else multiplier[channel]),
                shift[0] if single else shift[channel],
            )
            out[row, channel] = min(max(value + zero_point, low), high)


@njit
def _tosa_double_round(
    acc: Any, multiplier: Any, shift: Any, zero_point: int, low: int, high: int, out: Any
) -> None:
    single = multiplier.size == 1
    for row in range(acc.shape[0]):
        for channel in range(acc.shape[1]):
            value = multiply_tosa_double_round(
                np.int64(acc[row, channel]),
                np.int64(multiplier[0] if single else multiplier[channel]),
                shift[0] if single else shift[channel],
            )
            out[row, channel] = min(max(value + zero_point, low), high)


@njit
def _q15_round(
    acc: Any, multiplier: Any, shift: Any, zero_point: int, low: int, high: int, out: Any
) -> None:
    single = multiplier.size == 1
    for row in range(acc.shape[0]):
        for channel in range(acc.shape[1]):
            value = multiply_q15_round(
                np.int64(acc[row, channel]),
                np.int64(multiplier[0] if single else multiplier[channel]),
                shift[0] if single else shift[channel],
            )
            out[row, channel] = min(max(value + zero_point, low), high)


@njit
def _float32_even(acc: Any, scale: Any, zero_point: int, low: int, high: int, out: Any) -> None:
    # XNNPACK and MLAS: the accumulator itself is rounded to float32, the product once more, then
    # clipped before the zero point is added.
    below, above = np.float32(low - zero_point), np.float32(high - zero_point)
    single = scale.size == 1
    for row in range(acc.shape[0]):
        for channel in range(acc.shape[1]):
            value = np.float32(acc[row, channel]) * (scale[0] if single else scale[channel])
            out[row, channel] = (
                round_half_even(np.float64(min(max(value, below), above))) + zero_point
            )


@njit
def _float64_away(acc: Any, scale: Any, zero_point: int, low: int, high: int, out: Any) -> None:
    # LiteRT integer_ops/fully_connected.h:123: the product is a double, rounded half away.
    single = scale.size == 1
    for row in range(acc.shape[0]):
        for channel in range(acc.shape[1]):
            value = round_half_away(
                np.float64(acc[row, channel]) * (scale[0] if single else scale[channel])
            )
            out[row, channel] = min(max(value + zero_point, low), high)


def _fixed_point(kernel: Callable[..., None]) -> Callable[..., None]:
    def run(acc: NDArray[Any], requantize: Requantize, out: NDArray[Any]) -> None:
        multiplier, shift = requantize.fixed_point
        zero_point, low, high = requantize.zero_point, requantize.low, requantize.high
        kernel(acc, multiplier, shift, zero_point, low, high, out)

    return run


def _run_float64_away(acc: NDArray[Any], requantize: Requantize, out: NDArray[Any]) -> None:
    scale = requantize.scale_array
    _float64_away(acc, scale, requantize.zero_point, requantize.low, requantize.high, out)


def _run_float32_even(acc: NDArray[Any], requantize: Requantize, out: NDArray[Any]) -> None:
    scale = requantize.single_scale_array
    _float32_even(acc, scale, requantize.zero_point, requantize.low, requantize.high, out)


def _run_none(acc: NDArray[Any], requantize: Requantize, out: NDArray[Any]) -> None:
    # The sums themselves, wrapped to the width of `out`.
    out[...] = acc.astype(out.dtype)


_KERNELS: Final[dict[str, Callable[..., None]]] = {
    "double_round": _fixed_point(_double_round),
    "double_round_up": _fixed_point(_double_round_up),
    "single_round": _fixed_point(_single_round),
    "tosa_double_round": _fixed_point(_tosa_double_round),
    "q15_round": _fixed_point(_q15_round),
    "float32_even": _run_float32_even,
    "float64_away": _run_float64_away,
    "none": _run_none,
}


def requantize_array(acc: NDArray[Any], requantize: Requantize, dtype: str) -> NDArray[Any]:
    """Requantize accumulators to `dtype`, one scale for all or one per index of the last axis."""
    if requantize.blocks is not None:
        return _in_blocks(acc, requantize, requantize.blocks, dtype)
    out = np.empty(acc.size, dtype=dtype)
    requantize_into(acc.reshape(-1), requantize, out)
    return out.reshape(acc.shape)


def requantize_into(acc: NDArray[Any], requantize: Requantize, out: NDArray[Any]) -> None:
    """As `requantize_array` for flat arrays: channels lie side by side. Not for `blocks`."""
    shape = (1, -1) if len(requantize.scale) == 1 else (-1, len(requantize.scale))
    _KERNELS[requantize.rounding](acc.reshape(shape), requantize, out.reshape(shape))


def _in_blocks(
    acc: NDArray[Any], requantize: Requantize, blocks: Blocks, dtype: str
) -> NDArray[Any]:
    """Full blocks by the rounding named, the rest by ``double_round``."""
    vector = requantize_array(acc, replace(requantize, blocks=None), dtype)
    scalar = requantize_array(acc, replace(requantize, rounding="double_round", blocks=None), dtype)
    count = acc.size if blocks.over == "elements" else acc.shape[-1]
    full = np.arange(count) < count - count % blocks.size
    return np.where(full.reshape(acc.shape if blocks.over == "elements" else -1), vector, scalar)
