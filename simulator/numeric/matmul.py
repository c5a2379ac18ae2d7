"""Integer products and sums: convolution as patches times weights, depthwise without patches.

Operands are int16 (an 8-bit value less its zero point needs 9 bits). Each sum has a fast form that
wraps at 32 bits, which no order can change, and an ordered form whose accumulator may be any width
and may saturate.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalValues
from simulator.jit import njit
from simulator.numeric.datapath import Datapath
from simulator.numeric.rounding import saturate, wrap


@dataclass(frozen=True)
class Window:
    """A sliding window over NHWC: sizes, steps and leading padding in elements."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    output: tuple[int, int]


@njit
def _patches(
    x: Any, ky: int, kx: int, sy: int, sx: int, dy: int, dx: int, py: int, px: int, out: Any
) -> None:
    n, height, width, channels = x.shape
    oy, ox = out.shape[1], out.shape[2]
    for b in range(n):
        for y in range(oy):
            for z in range(ox):
                at = 0
                for i in range(ky):
                    row = y * sy - py + i * dy
                    for j in range(kx):
                        column = z * sx - px + j * dx
                        inside = 0 <= row < height and 0 <= column < width
                        for c in range(channels):
                            out[b, y, z, at] = x[b, row, column, c] if inside else 0
                            at += 1


def patches(x: NDArray[np.int16], window: Window) -> NDArray[np.int16]:
    """Every window of `x` (n, h, w, c) as a row: (n * oy * ox, ky * kx * c), zero where padded."""
    (ky, kx), (oy, ox) = window.kernel, window.output
    n, _, _, channels = x.shape
    if window.kernel == (1, 1) and window.stride == (1, 1) and window.padding == (0, 0):
        return x.reshape(-1, channels)
    out = np.empty((n, oy, ox, ky * kx * channels), dtype=np.int16)
    _patches(x, ky, kx, *window.stride, *window.dilation, *window.padding, out)
    return out.reshape(n * oy * ox, -1)


@njit
def _matmul_wrap32(x: Any, w: Any, bias: Any, out: Any) -> None:
    # LLVM narrows this loop to int16 multiply-add pairs; the int64 spelling keeps the interpreted
    # form free of overflow. The sum is modulo 2^32, so its order does not matter.
    for row in range(x.shape[0]):
        for channel in range(w.shape[0]):
            acc = np.int32(0)
            for k in range(x.shape[1]):
                acc = np.int32(np.int64(acc) + np.int64(x[row, k]) * np.int64(w[channel, k]))
            out[row, channel] = np.int32(np.int64(acc) + np.int64(bias[channel]))


@njit
def _matmul_ordered(
    x: Any, w: Any, bias: Any, dot_width: int, bits: int, saturates: bool, out: Any, first: Any
) -> None:
    # acc starts at the bias; `dot_width` products at a time are summed exactly, then added.
    # `first` takes (row, channel, tap) of the first sum that does not fit.
    taps = x.shape[1]
    for row in range(x.shape[0]):
        for channel in range(w.shape[0]):
            acc = np.int64(bias[channel])
            fits = saturate(acc, bits) if saturates else wrap(acc, bits)
            if fits != acc and first[0] < 0:
                first[0], first[1], first[2] = row, channel, -1
            acc = fits
            for start in range(0, taps, dot_width):
                dot = np.int64(0)
                for k in range(start, min(start + dot_width, taps)):
                    dot += np.int64(x[row, k]) * np.int64(w[channel, k])
                fits = saturate(acc + dot, bits) if saturates else wrap(acc + dot, bits)
                if fits != acc + dot and first[0] < 0:
                    first[0], first[1], first[2] = row, channel, start
                acc = fits
            out[row, channel] = acc


def matmul(
    x: NDArray[np.int16], w: NDArray[np.int16], bias: NDArray[Any], datapath: Datapath
) -> NDArray[Any]:
    """bias + x @ w.T for x (rows, taps) and w (channels, taps), in the datapath's accumulator.

    Returns int32 where the accumulator wraps at 32 bits, else int64. Raises IllegalValues where
    overflow traps, naming the first row, channel and tap.
    """
    if datapath.follows_graph:
        out = np.empty((x.shape[0], w.shape[0]), dtype=np.int32)
        _matmul_wrap32(x, w, bias, out)
        return out
    wide = np.empty((x.shape[0], w.shape[0]), dtype=np.int64)
    first = np.full(3, -1, dtype=np.int64)
    _matmul_ordered(
        x,
        w,
        bias,
        datapath.dot_width,
        datapath.accumulator_bits,
        datapath.overflow == "saturate",
        wide,
        first,
    )
    _trap(first, datapath)
    return wide


def _trap(first: NDArray[np.int64], datapath: Datapath) -> None:
    if datapath.overflow == "trap" and first[0] >= 0:
        row, channel, tap = (int(v) for v in first)
        where = "the bias" if tap < 0 else f"tap {tap}"
        raise IllegalValues(
            f"the {datapath.accumulator_bits}-bit accumulator overflows at output position {row}, "
            f"channel {channel}, {where}; widen datapath.accumulator.bits or let it wrap or saturate"
        )


@njit
def _depthwise(
    x: Any,
    w: Any,
    bias: Any,
    steps: Any,
    dot_width: int,
    bits: int,
    saturates: bool,
    out: Any,
    first: Any,
) -> None:
    # x (n, h, w, c), w (ky, kx, c * multiplier); output channel o reads input channel o // mult.
    sy, sx, dy, dx, py, px = steps
    n, height, width, channels = x.shape
    ky, kx, outputs = w.shape
    multiplier = outputs // channels
    for b in range(n):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                for o in range(outputs):
                    acc = np.int64(bias[o])
                    dot = np.int64(0)
                    pending = 0
                    fits = saturate(acc, bits) if saturates else wrap(acc, bits)
                    if fits != acc and first[0] < 0:
                        first[0], first[1], first[2] = (b * out.shape[1] + y) * out.shape[2] + z, o, -1
                    acc = fits
                    for i in range(ky):
                        row = y * sy - py + i * dy
                        for j in range(kx):
                            column = z * sx - px + j * dx
                            if 0 <= row < height and 0 <= column < width:
                                dot += np.int64(x[b, row, column, o // multiplier]) * np.int64(
                                    w[i, j, o]
                                )
                            pending += 1
                            if pending == dot_width or (i == ky - 1 and j == kx - 1):
                                fits = (
                                    saturate(acc + dot, bits) if saturates else wrap(acc + dot, bits)
                                )
                                if fits != acc + dot and first[0] < 0:
                                    first[0] = (b * out.shape[1] + y) * out.shape[2] + z
                                    first[1], first[2] = o, i * kx + j
                                acc = fits
                                dot = np.int64(0)
                                pending = 0
                    out[b, y, z, o] = acc


@njit
def _depthwise_wrap32(x: Any, w: Any, bias: Any, steps: Any, out: Any) -> None:
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
    """Depthwise sums of x (n, h, w, c) with w (ky, kx, c * multiplier): (n * oy * ox, outputs)."""
    oy, ox = window.output
    shape = (x.shape[0], oy, ox, w.shape[2])
    steps = (*window.stride, *window.dilation, *window.padding)
    if datapath.follows_graph:
        out = np.empty(shape, dtype=np.int32)
        _depthwise_wrap32(x, w, bias, steps, out)
        return out.reshape(-1, w.shape[2])
    wide = np.empty(shape, dtype=np.int64)
    first = np.full(3, -1, dtype=np.int64)
    saturates = datapath.overflow == "saturate"
    _depthwise(
        x, w, bias, steps, datapath.dot_width, datapath.accumulator_bits, saturates, wide, first
    )
    _trap(first, datapath)
    return wide.reshape(-1, w.shape[2])
