"""Bilinear interpolation on integer codes: where each output element reads, and its kernels.

A table gives for every output index of one axis the two input indices it lies between and the
weight of the second. Three forms are in use: Q10 integers (LiteRT reference/resize_bilinear.h,
`ResizeBilinearInteger`), Q11 integers (XNNPACK src/indirection.c:669) and float32 (LiteRT's uint8).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit


class AxisTable(NamedTuple):
    """Lower and upper input index of each output index, and the upper one's weight."""

    lower: NDArray[np.int64]
    upper: NDArray[np.int64]
    weight: NDArray[Any]


def q10_table(size: int, out: int, align_corners: bool, half_pixel: bool) -> AxisTable:
    """Weights in 1/1024; the scale itself is rounded to Q10 once."""
    if align_corners and out > 1:
        scale = (1024 * (size - 1) + (out - 1) // 2) // (out - 1)
    else:
        scale = (1024 * size + out // 2) // out
    position = np.arange(out, dtype=np.int64) * scale
    if half_pixel:
        position += scale // 2 - 512
    # C divides towards zero; only the half-pixel position of the first elements is negative, and
    # there the maximum with 0 makes the two divisions agree.
    lower = np.maximum(position // 1024, 0)
    upper = np.minimum(-(-position // 1024), size - 1)
    return AxisTable(lower, upper, position - 1024 * lower)


def q11_table(size: int, out: int, align_corners: bool, half_pixel: bool) -> AxisTable:
    """Weights in 1/2048, rounded (ties to even) from float32 positions."""
    scale = _single_scale(size, out, align_corners)
    position = np.arange(out).astype(np.float32)
    if half_pixel:
        offset = np.float32(0.5) * scale - np.float32(0.5)
        position = np.clip(position * scale + offset, np.float32(0), np.float32(size - 1))
    else:
        position = position * scale
    lower = position.astype(np.int64)
    fraction = position - lower.astype(np.float32)
    weight = np.rint(fraction * np.float32(2048)).astype(np.int64)
    return AxisTable(lower, np.minimum(lower + 1, size - 1), weight)


def float32_table(size: int, out: int, align_corners: bool, half_pixel: bool) -> AxisTable:
    """Weights in float32; half-pixel positions before the first element weigh negatively."""
    scale = _single_scale(size, out, align_corners)
    position = np.arange(out).astype(np.float32)
    if half_pixel:
        position = (position + np.float32(0.5)) * scale - np.float32(0.5)
    else:
        position = position * scale
    lower = np.maximum(np.floor(position), 0).astype(np.int64)
    upper = np.minimum(np.ceil(position), size - 1).astype(np.int64)
    return AxisTable(lower, upper, position - lower.astype(np.float32))


def _single_scale(size: int, out: int, align_corners: bool) -> np.float32:
    if align_corners and out > 1:
        return np.float32(size - 1) / np.float32(out - 1)
    return np.float32(size) / np.float32(out)


@njit
def bilinear_fixed(x: Any, rows: Any, columns: Any, bits: int, away: bool, out: Any) -> None:
    """Interpolate with weights of `bits` fractional bits along each axis.

    The exact sum of four products is divided by 4^bits; ties go away from zero or (not `away`) up.
    """
    top, bottom, down = rows
    left, right, across = columns
    one = np.int64(1) << bits
    half = np.int64(1) << (2 * bits - 1)
    for b in range(out.shape[0]):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                far_y, far_x = down[y], across[z]
                near_y, near_x = one - far_y, one - far_x
                for c in range(out.shape[3]):
                    upper = (
                        np.int64(x[b, top[y], left[z], c]) * near_x
                        + np.int64(x[b, top[y], right[z], c]) * far_x
                    )
                    lower = (
                        np.int64(x[b, bottom[y], left[z], c]) * near_x
                        + np.int64(x[b, bottom[y], right[z], c]) * far_x
                    )
                    total = upper * near_y + lower * far_y
                    if away and total <= 0:
                        out[b, y, z, c] = -((half - total) >> (2 * bits))
                    else:
                        out[b, y, z, c] = (total + half) >> (2 * bits)


@njit
def bilinear_float32(x: Any, rows: Any, columns: Any, out: Any) -> None:
    """Interpolate in float32, each operation rounded, in the reference's order; 0.5 added, cut."""
    top, bottom, down = rows
    left, right, across = columns
    one = np.float32(1)
    for b in range(out.shape[0]):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                far_y, far_x = down[y], across[z]
                near_y, near_x = one - far_y, one - far_x
                for c in range(out.shape[3]):
                    total = np.float32(x[b, top[y], left[z], c]) * near_y * near_x
                    total += np.float32(x[b, bottom[y], left[z], c]) * far_y * near_x
                    total += np.float32(x[b, top[y], right[z], c]) * near_y * far_x
                    total += np.float32(x[b, bottom[y], right[z], c]) * far_y * far_x
                    out[b, y, z, c] = np.int64(total + np.float32(0.5))
