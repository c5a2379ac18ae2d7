"""Where a transposed convolution's outputs come from: the scatter read backwards, as windows.

Output o receives input i through tap k where o = i stride + k - padding. Two views with the same
sums: a plain convolution (stride 1, taps reversed) over the input with `stride - 1` zeros between
its elements; and one such convolution a phase (o + padding modulo stride) with that phase's taps
only and no zeros between.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.matmul import Window, patches


class Phase(NamedTuple):
    """The outputs first[0]::stride, first[1]::stride: their taps, last first, and their window."""

    first: tuple[int, int]
    taps: tuple[NDArray[np.int64], NDArray[np.int64]]
    window: Window


def spread(x: NDArray[np.int16], stride: tuple[int, int], fill: int) -> NDArray[np.int16]:
    """An input (n, h, w, c) with stride - 1 elements of `fill` between its rows and columns."""
    n, height, width, channels = x.shape
    sy, sx = stride
    shape = (n, (height - 1) * sy + 1, (width - 1) * sx + 1, channels)
    out = np.full(shape, fill, dtype=np.int16)
    out[:, ::sy, ::sx] = x
    return out


def spread_window(
    kernel: tuple[int, int], padding: tuple[int, int], output: tuple[int, int]
) -> Window:
    """The window over the `spread` input: reversed taps reach kernel - 1 - padding before it."""
    before = (kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1])
    return Window(kernel, (1, 1), (1, 1), before, output)


def phases(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    output: tuple[int, int],
) -> Iterator[Phase]:
    """Every phase that has outputs; one without taps holds the bias alone."""
    for row in range(min(stride[0], output[0])):
        for column in range(min(stride[1], output[1])):
            axes = [
                _axis(*parts)
                for parts in zip((row, column), kernel, stride, padding, output, strict=True)
            ]
            taps = (axes[0][0], axes[1][0])
            window = Window(
                (taps[0].size, taps[1].size),
                (1, 1),
                (1, 1),
                (axes[0][1], axes[1][1]),
                (axes[0][2], axes[1][2]),
            )
            yield Phase((row, column), taps, window)


def cropped_patches(x: NDArray[np.int16], over: Window, fill: int = 0) -> NDArray[np.int16]:
    """As `patches`, where the leading padding may be negative: elements that no window reads."""
    top, left = over.padding
    inside = np.ascontiguousarray(x[:, max(-top, 0) :, max(-left, 0) :])
    return patches(inside, replace(over, padding=(max(top, 0), max(left, 0))), fill)


def _axis(
    first: int, kernel: int, stride: int, padding: int, output: int
) -> tuple[NDArray[Any], int, int]:
    """(taps in ascending order of the inputs they read, elements before the input, outputs)."""
    taps = np.arange((first + padding) % stride, kernel, stride)[::-1]
    count = -(-(output - first) // stride)
    # Output `first` reads input (first + padding - k) / stride through tap k.
    before = int(taps[0] - first - padding) // stride if taps.size else 0
    return taps, before, count
