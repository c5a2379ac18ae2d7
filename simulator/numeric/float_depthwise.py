"""Depthwise convolutions of float32 values, channels side by side, in the order MLAS adds them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.float_windows import with_padding
from simulator.numeric.matmul import Window

Float32s = NDArray[np.float32]


@njit
def _depthwise_fours(x: Any, w: Any, kernel: Any, steps: Any, acc: Any, out: Any) -> None:
    # Products rounded, four neighbours added, then onto the output; what is left in two and one.
    ky, kx = kernel
    sy, sx, dy, dx = steps
    taps = ky * kx
    n, oy, ox, channels = out.shape
    for b in range(n):
        for y in range(oy):
            for z in range(ox):
                sums = out[b, y, z]
                sums[:] = np.float32(0)
                k = 0
                while k < taps:
                    size = 4 if taps - k >= 4 else 2 if taps - k >= 2 else 1
                    for j in range(k, k + size):
                        pixel = x[b, y * sy + j // kx * dy, z * sx + j % kx * dx]
                        weights = w[j]
                        if j == k:
                            for c in range(channels):
                                acc[c] = np.float32(pixel[c] * weights[c])
                        else:
                            for c in range(channels):
                                acc[c] = np.float32(acc[c] + np.float32(pixel[c] * weights[c]))
                    for c in range(channels):
                        sums[c] = np.float32(acc[c] + sums[c])
                    k += size


def depthwise_fours(x: Float32s, w: Float32s, over: Window) -> Float32s:
    """Sums of x (n, h, w, c) with w (c, ky, kx, 1): (n, oy, ox, c).

    The order ``fours`` of `simulator.numeric.float_sums` for each channel.
    """
    channels = x.shape[3]
    columns = np.ascontiguousarray(w.reshape(channels, -1).T)
    out = np.empty((x.shape[0], *over.output, channels), dtype=np.float32)
    acc = np.empty(channels, dtype=np.float32)
    steps = (*over.stride, *over.dilation)
    _depthwise_fours(with_padding(x, over), columns, over.kernel, steps, acc, out)
    return out
