"""Sums that do not fit a datapath's registers, counted; the sums themselves are `matmul`'s.

A sum is the accumulator's start at the bias, and each addition into it or into the register of a
stage before it.
"""

from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul
from simulator.numeric.rounding import saturate, wrap

_LANES: Final = 512
"""Outputs whose sums run side by side: few enough for the nearest cache."""


@njit
def _fit_lanes(acc: Any, dot: Any, over: Any, bits: int, saturates: bool) -> None:
    # acc = fit(acc + dot), `over` counting the lanes that do not fit. No int32 here can overflow:
    # the caller has bounded accumulator plus one dot product.
    half = np.int32(np.int64(1) << (bits - 1))
    low, high = np.int32(-half), np.int32(half - 1)
    mask = np.int32((np.int64(1) << bits) - 1)
    if saturates:
        for c in range(acc.size):
            exact = np.int32(acc[c] + dot[c])
            fitted = min(max(exact, low), high)
            over[c] = np.int32(over[c] + np.int32(fitted != exact))
            acc[c] = fitted
    else:
        for c in range(acc.size):
            exact = np.int32(acc[c] + dot[c])
            fitted = np.int32(np.int32(np.int32(exact & mask) ^ half) - half)
            over[c] = np.int32(over[c] + np.int32(fitted != exact))
            acc[c] = fitted


@njit
def _fit_products(acc: Any, value: Any, w: Any, over: Any, bits: int, saturates: bool) -> None:
    # The same for dot products of one tap, value times w.
    half = np.int32(np.int64(1) << (bits - 1))
    low, high = np.int32(-half), np.int32(half - 1)
    mask = np.int32((np.int64(1) << bits) - 1)
    if saturates:
        for c in range(acc.size):
            exact = np.int32(acc[c] + np.int32(value * np.int32(w[c])))
            fitted = min(max(exact, low), high)
            over[c] = np.int32(over[c] + np.int32(fitted != exact))
            acc[c] = fitted
    else:
        for c in range(acc.size):
            exact = np.int32(acc[c] + np.int32(value * np.int32(w[c])))
            fitted = np.int32(np.int32(np.int32(exact & mask) ^ half) - half)
            over[c] = np.int32(over[c] + np.int32(fitted != exact))
            acc[c] = fitted


@njit
def _count_lanes(
    scalars: Any, lanes: Any, start: Any, dot_width: int, bits: int, saturates: bool
) -> Any:
    # scalars (rows, taps) times lanes (taps, columns), each lane in its own order of taps.
    taps, columns = lanes.shape
    acc = np.zeros(columns, dtype=np.int32)
    dot = np.zeros(columns, dtype=np.int32)
    over = np.zeros(columns, dtype=np.int32)
    total = np.int64(0)
    for row in range(scalars.shape[0]):
        for c in range(columns):
            value = start[row, c]
            fits = saturate(value, bits) if saturates else wrap(value, bits)
            over[c] = np.int32(fits != value)
            acc[c] = np.int32(fits)
        if dot_width == 1:
            for k in range(taps):
                _fit_products(acc, np.int32(scalars[row, k]), lanes[k], over, bits, saturates)
        else:
            for first in range(0, taps, dot_width):
                dot[:] = 0
                for k in range(first, min(first + dot_width, taps)):
                    value = np.int32(scalars[row, k])
                    weights = lanes[k]
                    for c in range(columns):
                        dot[c] = np.int32(dot[c] + np.int32(value * np.int32(weights[c])))
                _fit_lanes(acc, dot, over, bits, saturates)
        for c in range(columns):
            total += np.int64(over[c])
    return total


@njit
def _count_staged(x: Any, w: Any, bias: Any, fan_in: Any, widths: Any, saturates: Any) -> Any:
    # As `matmul`'s staged sums; the last entry of `widths` and `saturates` is the accumulator's.
    taps, stages = x.shape[1], fan_in.size
    part = np.zeros(stages, dtype=np.int64)
    held = np.zeros(stages, dtype=np.int64)
    total = np.int64(0)
    for row in range(x.shape[0]):
        for channel in range(w.shape[0]):
            start = np.int64(bias[channel])
            width = widths[stages]
            acc = saturate(start, width) if saturates[stages] else wrap(start, width)
            total += np.int64(acc != start)
            part[:] = 0
            held[:] = 0
            for k in range(taps):
                value = np.int64(x[row, k]) * np.int64(w[channel, k])
                level = 0
                while level <= stages:
                    exact = value + (acc if level == stages else part[level])
                    if level < stages:
                        part[level] = exact
                        held[level] += 1
                        if held[level] < fan_in[level] and k < taps - 1:
                            break
                        part[level] = 0
                        held[level] = 0
                    width = widths[level]
                    value = saturate(exact, width) if saturates[level] else wrap(exact, width)
                    total += np.int64(value != exact)
                    if level == stages:
                        acc = value
                    level += 1
    return total


def sums_made(taps: int, datapath: Datapath) -> int:
    """How many sums one output takes: the start at the bias, then each addition into a register."""
    if not datapath.stages:
        return 1 - (-taps // datapath.dot_width)
    fan_in = [stage.fan_in for stage in datapath.stages]
    groups = [prod(fan_in[: i + 1]) for i in range(len(fan_in))]
    return 1 + sum(-(-taps // group) for group in (*groups, groups[-1]))


def overflows(
    x: NDArray[np.int16], w: NDArray[np.int16], bias: NDArray[Any], datapath: Datapath
) -> int:
    """Sums of bias + x @ w.T that do not fit: x (rows, taps), w (channels, taps), taps in order.

    The accumulator goes on with the value that the datapath leaves in it; one that traps is counted
    as one that wraps.
    """
    taps, bits = x.shape[1], datapath.accumulator_bits
    x = x[_rows_at_risk(x, w, bias, datapath)]
    start = bias.astype(np.int64)
    product = _largest(x) * _largest(w)
    reach = (1 << (bits - 1)) + datapath.dot_width * product
    saturates = datapath.overflow == "saturate"
    if not datapath.stages and bits < 31 and reach < 1 << 31:
        if x.shape[0] <= w.shape[0]:
            columns = np.ascontiguousarray(w.T)
            starts = np.empty((x.shape[0], w.shape[0]), dtype=np.int64)
            starts[:] = start
            return int(_count_lanes(x, columns, starts, datapath.dot_width, bits, saturates))
        # Rows side by side, each channel with its own start.
        total = 0
        for first in range(0, x.shape[0], _LANES):
            columns = np.ascontiguousarray(x[first : first + _LANES].T)
            starts = np.empty((w.shape[0], columns.shape[1]), dtype=np.int64)
            starts[:] = start[:, None]
            total += int(_count_lanes(w, columns, starts, datapath.dot_width, bits, saturates))
        return total
    stages = datapath.stages or ()
    fan_in = [s.fan_in for s in stages] or [min(datapath.dot_width, max(taps, 1))]
    widths = [*([s.bits for s in stages] or [64]), bits]
    kinds = [*([s.overflow == "saturate" for s in stages] or [False]), saturates]
    counts = (np.array(v, dtype=np.int64) for v in (fan_in, widths))
    return int(_count_staged(x, w, start, *counts, np.array(kinds)))


def _rows_at_risk(
    x: NDArray[np.int16], w: NDArray[np.int16], bias: NDArray[Any], datapath: Datapath
) -> NDArray[np.intp]:
    """The rows of x where some sum could overflow: |b| + |x| @ |w|.T bounds every partial sum."""
    if _largest(x) * _largest(w) * x.shape[1] >= 1 << 31:
        return np.arange(x.shape[0])
    none = np.zeros(w.shape[0], dtype=np.int32)
    exact = Datapath(accumulator_bits=32)
    bounds = matmul(np.abs(x), np.abs(w), none, exact).astype(np.int64)
    narrowest = min((stage.bits for stage in datapath.stages), default=64)
    room = (1 << (datapath.accumulator_bits - 1)) - 1 - np.abs(bias.astype(np.int64))
    room = np.minimum(room, (1 << (narrowest - 1)) - 1)
    return np.flatnonzero((bounds > room).any(axis=1))


def _largest(values: NDArray[Any]) -> int:
    return max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0
