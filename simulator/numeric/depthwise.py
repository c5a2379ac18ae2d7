"""Depthwise sums without patches, channels side by side."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import Window, wrap_array


@njit
def _depthwise_int32(x: Any, w: Any, bias: Any, steps: Any, out: Any) -> None:
    # x (n, h, w, c), w (ky, kx, c * multiplier); output channel o reads input channel o // mult.
    sy, sx, dy, dx, py, px = steps
    n, height, width, channels = x.shape
    ky, kx, outputs = w.shape
    multiplier = outputs // channels
    for b in range(n):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                acc = out[b, y, z]
                acc[:] = bias
                for i in range(ky):
                    row = y * sy - py + i * dy
                    if row < 0 or row >= height:
                        continue
                    for j in range(kx):
                        column = z * sx - px + j * dx
                        if column < 0 or column >= width:
                            continue
                        pixel = x[b, row, column]
                        taps = w[i, j]
                        if multiplier == 1:
                            for o in range(outputs):
                                acc[o] = np.int32(
                                    np.int64(acc[o]) + np.int64(pixel[o]) * np.int64(taps[o])
                                )
                        else:
                            for o in range(outputs):
                                acc[o] = np.int32(
                                    np.int64(acc[o])
                                    + np.int64(pixel[o // multiplier]) * np.int64(taps[o])
                                )


def depthwise(
    x: NDArray[np.int16],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    window: Window,
    datapath: Datapath,
) -> NDArray[Any]:
    """Depthwise sums of x (n, h, w, c) with w (ky, kx, c * multiplier): (n * oy * ox, outputs).

    Only for sums that `wraps_in_int32`.
    """
    oy, ox = window.output
    out = np.empty((x.shape[0], oy, ox, w.shape[2]), dtype=np.int32)
    steps = (*window.stride, *window.dilation, *window.padding)
    _depthwise_int32(x, w, bias, steps, out)
    sums = out.reshape(-1, w.shape[2])
    narrow = not datapath.graph and datapath.accumulator_bits < 32
    return wrap_array(sums, datapath.accumulator_bits) if narrow else sums
