"""Averages and maxima of sliding windows over an NHWC tensor."""

from typing import Any

import numpy as np

from simulator.jit import njit


@njit
def average_windows(
    x: Any, ky: int, kx: int, steps: Any, low: int, high: int, total: Any, out: Any
) -> None:
    """The mean of each window's elements inside `x`, ties away from zero, clamped.

    `steps` is (stride y, stride x, padding y, padding x); `total` is int64 scratch of c elements.
    No multiplier: the sum is divided in integers, as LiteRT integer_ops/pooling.h does.
    """
    sy, sx, py, px = steps
    n, height, width, channels = x.shape
    for b in range(n):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                top, left = y * sy - py, z * sx - px
                first_row, last_row = max(top, 0), min(top + ky, height)
                first_column, last_column = max(left, 0), min(left + kx, width)
                total[:] = 0
                for row in range(first_row, last_row):
                    for column in range(first_column, last_column):
                        for c in range(channels):
                            total[c] += np.int64(x[b, row, column, c])
                count = np.int64((last_row - first_row) * (last_column - first_column))
                for c in range(channels):
                    if total[c] > 0:
                        mean = (total[c] + count // 2) // count
                    else:
                        mean = -((-total[c] + count // 2) // count)
                    out[b, y, z, c] = min(max(mean, low), high)


@njit
def largest_in_windows(x: Any, ky: int, kx: int, steps: Any, low: int, high: int, out: Any) -> None:
    """The largest element of each window inside `x`, clamped; `steps` as in `average_windows`."""
    sy, sx, py, px = steps
    n, height, width, channels = x.shape
    for b in range(n):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                top, left = y * sy - py, z * sx - px
                best = out[b, y, z]
                best[:] = low
                for row in range(max(top, 0), min(top + ky, height)):
                    for column in range(max(left, 0), min(left + kx, width)):
                        for c in range(channels):
                            best[c] = max(best[c], x[b, row, column, c])
                for c in range(channels):
                    best[c] = min(best[c], high)
