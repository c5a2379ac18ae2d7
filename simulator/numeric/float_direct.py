"""Float32 convolutions summed straight from the padded input, in the order MLAS adds them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.jit import FUSED_MULTIPLY_ADD, njit
from simulator.numeric.direct import geometry_of, reach
from simulator.numeric.direct_kernels import (
    CHANNELS,
    COLUMNS,
    HEIGHT,
    IMAGES,
    LEFT,
    LINES,
    TOP,
    WIDTH,
    find_places,
)
from simulator.numeric.float_lanes import fused_sums, lane_weights
from simulator.numeric.float_sums import block_of
from simulator.numeric.matmul import Window

Float32s = NDArray[np.float32]


@njit
def _fill(x: Any, g: Any, padded: Any) -> None:
    # Every image in the middle of zeros.
    line = g[COLUMNS] * g[CHANNELS]
    length = g[WIDTH] * g[CHANNELS]
    for image in range(g[IMAGES]):
        for y in range(g[LINES]):
            start = (image * g[LINES] + y) * line
            row = y - g[TOP]
            padded[start : start + line] = np.float32(0)
            if row >= 0 and row < g[HEIGHT]:
                source = (image * g[HEIGHT] + row) * length
                first = start + g[LEFT] * g[CHANNELS]
                padded[first : first + length] = x[source : source + length]


@dataclass(frozen=True)
class FloatDirect:
    """A float32 convolution of one group made ready for inputs of one shape.

    `padded_elements` float32 of scratch hold the padded input.
    """

    padded_elements: int
    geometry: NDArray[np.int64]
    starts: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: Float32s
    block: int

    def sums(self, x: Float32s, padded: Float32s, out: Float32s) -> None:
        """Fill out (positions, filters)."""
        _fill(x.reshape(-1), self.geometry, padded)
        out.fill(0)
        one = np.float32(1)
        fused_sums(padded, self.starts, self.offsets, self.weights, self.block, one, out)


def float_direct(x: tuple[int, ...], w: Float32s, window: Window) -> FloatDirect | None:
    """For x (n, h, w, c) and w (filters, ky, kx, c); None where another order is MLAS's.

    Taps are added in the order ic, ky, kx (convolve.cpp), as `convolve_float32` does.
    """
    filters, ky, kx, channels = w.shape
    if not FUSED_MULTIPLY_ADD or channels != x[3] or filters < 2:
        return None
    geometry = geometry_of(x, window, (0, 0), filters, 0)
    columns = reach(window, 1, x[2])
    dy, dx = window.dilation
    offsets = [
        (i * dy * columns + j * dx) * channels + c
        for c in range(channels)
        for i in range(ky)
        for j in range(kx)
    ]
    line = columns * channels
    positions = x[0] * window.output[0] * window.output[1]
    starts = np.empty(positions, dtype=np.int64)
    find_places(geometry, 0, positions, int(geometry[LINES]) * line, line, starts)
    return FloatDirect(
        padded_elements=x[0] * int(geometry[LINES]) * line,
        geometry=geometry,
        starts=starts,
        offsets=np.array(offsets, dtype=np.int64),
        weights=lane_weights(w.transpose(3, 1, 2, 0).reshape(-1, filters)),
        block=block_of(window.output[0] * window.output[1], len(offsets)),
    )
