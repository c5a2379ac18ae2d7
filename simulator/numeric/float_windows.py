"""Averages, maxima and patches of sliding windows over an NHWC tensor, dilation included.

Averages add in the precision of the tensor, in the order of the window.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.matmul import Window


@njit
def _average(
    x: Any, ky: int, kx: int, steps: Any, whole: bool, total: Any, divisor: Any, out: Any
) -> None:
    # Every sum and quotient is stored in the dtype of x before it is used again.
    sy, sx, dy, dx, py, px = steps
    n, height, width, channels = x.shape
    for b in range(n):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                total[:] = 0
                count = 0
                for i in range(ky):
                    row = y * sy - py + i * dy
                    if row < 0 or row >= height:
                        continue
                    for j in range(kx):
                        column = z * sx - px + j * dx
                        if column < 0 or column >= width:
                            continue
                        count += 1
                        for c in range(channels):
                            total[c] += x[b, row, column, c]
                divisor[0] = ky * kx if whole else count
                for c in range(channels):
                    out[b, y, z, c] = total[c] / divisor[0]


def average_reals(x: NDArray[Any], window: Window, *, count_padding: bool) -> NDArray[Any]:
    """The mean of each window's elements inside x; with `count_padding` divided by all its taps."""
    out = np.empty((x.shape[0], *window.output, x.shape[3]), dtype=x.dtype)
    steps = (*window.stride, *window.dilation, *window.padding)
    total, divisor = np.empty(x.shape[3], x.dtype), np.empty(1, x.dtype)
    _average(np.ascontiguousarray(x), *window.kernel, steps, count_padding, total, divisor, out)
    return out


@njit
def _largest(x: Any, ky: int, kx: int, steps: Any, low: Any, out: Any) -> None:
    sy, sx, dy, dx, py, px = steps
    n, height, width, channels = x.shape
    for b in range(n):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                best = out[b, y, z]
                best[:] = low
                for i in range(ky):
                    row = y * sy - py + i * dy
                    if row < 0 or row >= height:
                        continue
                    for j in range(kx):
                        column = z * sx - px + j * dx
                        if column < 0 or column >= width:
                            continue
                        for c in range(channels):
                            best[c] = max(best[c], x[b, row, column, c])


def largest_in_window(x: NDArray[Any], window: Window) -> NDArray[Any]:
    """The largest element of each window inside x, in x's dtype."""
    out = np.empty((x.shape[0], *window.output, x.shape[3]), dtype=x.dtype)
    low = x.dtype.type(-np.inf) if x.dtype.kind == "f" else x.dtype.type(np.iinfo(x.dtype).min)
    steps = (*window.stride, *window.dilation, *window.padding)
    _largest(np.ascontiguousarray(x), *window.kernel, steps, low, out)
    return out


def with_padding(x: NDArray[Any], window: Window) -> NDArray[Any]:
    """The tensor inside zeros, with room for the last tap of the last window."""
    (ky, kx), (sy, sx), (dy, dx) = window.kernel, window.stride, window.dilation
    (oy, ox), (py, px) = window.output, window.padding
    n, height, width, channels = x.shape
    # Room for the last window's last tap; what lies beyond belongs to no window.
    reach = ((oy - 1) * sy + (ky - 1) * dy + 1, (ox - 1) * sx + (kx - 1) * dx + 1)
    padded = np.zeros((n, max(reach[0], py + height), max(reach[1], px + width), channels), x.dtype)
    padded[:, py : py + height, px : px + width] = x
    return padded


def taps_of(x: NDArray[Any], window: Window) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """Each tap of a window (i, j) with the elements under it, (n, oy, ox, c): zero where padded."""
    (ky, kx), (sy, sx), (dy, dx) = window.kernel, window.stride, window.dilation
    oy, ox = window.output
    padded = with_padding(x, window)
    for i in range(ky):
        for j in range(kx):
            rows = slice(i * dy, i * dy + (oy - 1) * sy + 1, sy)
            columns = slice(j * dx, j * dx + (ox - 1) * sx + 1, sx)
            yield i, j, padded[:, rows, columns]


def float_patches(x: NDArray[Any], window: Window) -> NDArray[Any]:
    """Every window as a row (n, oy * ox, c * ky * kx), zero where padded, channels outermost."""
    (ky, kx), (sy, sx), (dy, dx) = window.kernel, window.stride, window.dilation
    oy, ox = window.output
    n, channels = x.shape[0], x.shape[3]
    padded = with_padding(x, window)
    views = np.lib.stride_tricks.sliding_window_view(padded, reach_of(window), axis=(1, 2))
    picked = views[:, : oy * sy : sy, : ox * sx : sx, :, ::dy, ::dx]
    return np.ascontiguousarray(picked[:, :oy, :ox]).reshape(n, oy * ox, channels * ky * kx)


def reach_of(window: Window) -> tuple[int, int]:
    """Rows and columns from a window's first tap to its last."""
    (ky, kx), (dy, dx) = window.kernel, window.dilation
    return (ky - 1) * dy + 1, (kx - 1) * dx + 1
