"""Sums of products: convolution as patches times weights.

Operands are int16 (an 8-bit value less its zero point needs 9 bits). A sum has three forms with
the same bits: exact in int32 modulo 2^32, exact in int64, and ordered, with an accumulator of any
width that may saturate. The first that is proved equal to what was asked for is taken.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalValues
from simulator.jit import njit
from simulator.numeric.datapath import Datapath
from simulator.numeric.rounding import saturate, wrap

_Code = TypeVar("_Code", np.int16, np.uint64)


@dataclass(frozen=True)
class Window:
    """A sliding window over NHWC: sizes, steps and leading padding in elements."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    output: tuple[int, int]


def patches(x: NDArray[_Code], window: Window, fill: int = 0) -> NDArray[_Code]:
    """Each window of `x` (n, h, w, c) as a row: (n * oy * ox, ky * kx * c), `fill` where padded."""
    (ky, kx), (sy, sx), (dy, dx) = window.kernel, window.stride, window.dilation
    oy, ox = window.output
    padded = _padded(x, window, fill)
    n, channels = x.shape[0], x.shape[3]
    if (window.kernel, window.stride) == ((1, 1), (1, 1)):
        return padded[:, :oy, :ox].reshape(-1, channels)
    image, line, pixel, _ = padded.strides
    each = x.itemsize  # A lone channel may lie at any stride.
    steps: tuple[int, ...] = (image, line * sy, pixel * sx, line * dy, pixel * dx, each)
    shape: tuple[int, ...] = (n, oy, ox, ky, kx, channels)
    if dx == 1:
        # The taps of one kernel row lie side by side in memory: copy them as one run.
        shape, steps = (*shape[:4], kx * channels), (*steps[:4], each)
    out = np.empty(shape, dtype=x.dtype)
    if out.size:
        np.copyto(out, np.ndarray(shape, x.dtype, padded, 0, steps))
    return out.reshape(n * oy * ox, ky * kx * channels)


def _padded(x: NDArray[_Code], window: Window, fill: int) -> NDArray[_Code]:
    """`x` with `fill` around it, as far as the windows reach; contiguous."""
    (top, left), (n, height, width, channels) = window.padding, x.shape
    (rows, columns) = (
        (out - 1) * stride + (kernel - 1) * dilation + 1
        for out, stride, kernel, dilation in zip(
            window.output, window.stride, window.kernel, window.dilation, strict=True
        )
    )
    rows, columns = max(rows, top + height), max(columns, left + width)
    if (rows, columns) == (height, width):
        return np.ascontiguousarray(x)
    padded = np.full((n, rows, columns, channels), fill, dtype=x.dtype)
    padded[:, top : top + height, left : left + width] = x
    return padded


@njit
def _matmul_int32(x: Any, w: Any, bias: Any, out: Any) -> None:
    # LLVM narrows this loop to int16 multiply-add pairs; the int64 spelling keeps the interpreted
    # form free of overflow. The sum is modulo 2^32, so its order does not matter.
    for row in range(x.shape[0]):
        for channel in range(w.shape[0]):
            acc = np.int32(0)
            for k in range(x.shape[1]):
                acc = np.int32(np.int64(acc) + np.int64(x[row, k]) * np.int64(w[channel, k]))
            out[row, channel] = np.int32(np.int64(acc) + np.int64(bias[channel]))


@njit
def _matmul_int64(x: Any, w: Any, bias: Any, run: int, out: Any) -> None:
    # `run` products at a time are exact in int32; their sums add up in int64.
    taps = x.shape[1]
    for row in range(x.shape[0]):
        for channel in range(w.shape[0]):
            acc = np.int64(bias[channel])
            for start in range(0, taps, run):
                part = np.int32(0)
                for k in range(start, min(start + run, taps)):
                    part = np.int32(np.int64(part) + np.int64(x[row, k]) * np.int64(w[channel, k]))
                acc += np.int64(part)
            out[row, channel] = acc


@njit
def _matmul_saturating32(x: Any, w: Any, bias: Any, dot_width: int, bits: int, out: Any) -> None:
    # Channels side by side, w (taps, channels): each keeps its own order of taps. No int32 here
    # can overflow: the caller has bounded accumulator plus one dot product.
    high = np.int32((np.int64(1) << (bits - 1)) - 1)
    low = np.int32(-high - 1)
    taps, channels = w.shape
    dot = np.zeros(channels, dtype=np.int32)
    for row in range(x.shape[0]):
        acc = out[row]
        for c in range(channels):
            acc[c] = min(max(bias[c], low), high)
        if dot_width == 1:
            for k in range(taps):
                value = np.int32(x[row, k])
                weights = w[k]
                for c in range(channels):
                    total = np.int32(acc[c] + np.int32(value * np.int32(weights[c])))
                    acc[c] = min(max(total, low), high)
        else:
            for start in range(0, taps, dot_width):
                dot[:] = 0
                for k in range(start, min(start + dot_width, taps)):
                    value = np.int32(x[row, k])
                    weights = w[k]
                    for c in range(channels):
                        dot[c] = np.int32(dot[c] + np.int32(value * np.int32(weights[c])))
                for c in range(channels):
                    acc[c] = min(max(np.int32(acc[c] + dot[c]), low), high)


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


@njit
def _matmul_staged(
    x: Any, w: Any, bias: Any, fan_in: Any, widths: Any, saturates: Any, out: Any, first: Any
) -> None:
    # The last entry of `widths` and `saturates` is the accumulator's. A stage hands on its sum
    # when it has taken `fan_in` inputs, or at the end of the taps.
    taps = x.shape[1]
    stages = fan_in.size
    part = np.zeros(stages, dtype=np.int64)
    held = np.zeros(stages, dtype=np.int64)
    for row in range(x.shape[0]):
        for channel in range(w.shape[0]):
            acc = np.int64(bias[channel])
            fits = saturate(acc, widths[stages]) if saturates[stages] else wrap(acc, widths[stages])
            if fits != acc and first[0] < 0:
                first[0], first[1], first[2] = row, channel, -1
            acc = fits
            part[:] = 0
            held[:] = 0
            for k in range(taps):
                value = np.int64(x[row, k]) * np.int64(w[channel, k])
                last = k == taps - 1
                level = 0
                while level < stages:
                    part[level] += value
                    held[level] += 1
                    if held[level] < fan_in[level] and not last:
                        break
                    bits = widths[level]
                    total = part[level]
                    value = saturate(total, bits) if saturates[level] else wrap(total, bits)
                    part[level] = 0
                    held[level] = 0
                    level += 1
                if level == stages:
                    bits = widths[stages]
                    total = acc + value
                    acc = saturate(total, bits) if saturates[stages] else wrap(total, bits)
                    if acc != total and first[0] < 0:
                        first[0], first[1], first[2] = row, channel, k
            out[row, channel] = acc


def _largest(values: NDArray[Any]) -> int:
    return max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0


def sum_bound(x: NDArray[np.int16], w: NDArray[np.int16], bias: NDArray[Any]) -> int:
    """A bound on |every partial sum| of bias + x @ w.T, whatever the order: |b| + max|x| sum|w|."""
    taps = np.abs(w.astype(np.int64)).reshape(w.shape[0], -1).sum(axis=1)
    return int((np.abs(bias.astype(np.int64)) + taps * _largest(x)).max(initial=0))


def matmul(
    x: NDArray[np.int16],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    datapath: Datapath,
    reference_bits: int = 32,
    first_channel: int = 0,
) -> NDArray[Any]:
    """Bias + x @ w.T for x (rows, taps) and w (channels, taps), in the datapath's accumulator.

    `reference_bits` is the (wrapping) accumulator of the operator's reference, taken where the
    datapath follows the graph. Returns int32 or int64. Raises IllegalValues where overflow traps,
    naming the first row, channel (counted from `first_channel`) and tap.
    """
    if not datapath.graph and datapath.stages:
        if not _stages_fit(x, w, datapath):
            return _staged(x, w, bias, datapath, first_channel)
        # Stages that are exact still decide how many products reach the accumulator at once.
        datapath = replace(datapath, dot_width=_group(datapath), stages=())
    bits = reference_bits if datapath.graph else datapath.accumulator_bits
    exact = datapath.graph or datapath.overflow == "wrap"
    if not exact:
        exact = sum_bound(x, w, bias) < 1 << (bits - 1)
    if not exact:
        return _ordered(x, w, bias, datapath, first_channel)
    if bits <= 32:
        out = np.empty((x.shape[0], w.shape[0]), dtype=np.int32)
        _matmul_int32(x, w, bias, out)
        return out if bits == 32 else wrap_array(out, bits)
    wide = np.empty((x.shape[0], w.shape[0]), dtype=np.int64)
    product = _largest(x) * _largest(w)
    _matmul_int64(x, w, bias, max((2**31 - 1) // max(product, 1), 1), wide)
    return wide if bits == 64 else wrap_array(wide, bits)


def _ordered(
    x: NDArray[np.int16],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    datapath: Datapath,
    first_channel: int,
) -> NDArray[Any]:
    saturates = datapath.overflow == "saturate"
    bits = datapath.accumulator_bits
    product = _largest(x) * _largest(w)
    largest_bias = _largest(bias)
    if saturates and max((1 << (bits - 1)) + product * datapath.dot_width, largest_bias) < 2**31:
        narrow = np.empty((x.shape[0], w.shape[0]), dtype=np.int32)
        columns = np.ascontiguousarray(w.T)
        start = bias.astype(np.int32)
        _matmul_saturating32(x, columns, start, datapath.dot_width, bits, narrow)
        return narrow
    out = np.empty((x.shape[0], w.shape[0]), dtype=np.int64)
    first = np.full(3, -1, dtype=np.int64)
    _matmul_ordered(x, w, bias, datapath.dot_width, bits, saturates, out, first)
    first[1] += first_channel
    _trap(first, datapath)
    return out


def _stages_fit(x: NDArray[np.int16], w: NDArray[np.int16], datapath: Datapath) -> bool:
    """True where no stage before the accumulator can leave its width on these operands."""
    bound = _largest(x) * _largest(w)
    for stage in datapath.stages:
        bound *= stage.fan_in
        if bound >= 1 << (stage.bits - 1):
            return False
    return True


def _group(datapath: Datapath) -> int:
    """How many products the stages hand to the accumulator as one sum."""
    return prod(stage.fan_in for stage in datapath.stages)


def _staged(
    x: NDArray[np.int16],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    datapath: Datapath,
    first_channel: int,
) -> NDArray[Any]:
    out = np.empty((x.shape[0], w.shape[0]), dtype=np.int64)
    first = np.full(3, -1, dtype=np.int64)
    overflows = [*(s.overflow for s in datapath.stages), datapath.overflow]
    widths = [*(s.bits for s in datapath.stages), datapath.accumulator_bits]
    _matmul_staged(
        x,
        w,
        bias,
        np.array([s.fan_in for s in datapath.stages], dtype=np.int64),
        np.array(widths, dtype=np.int64),
        np.array([o == "saturate" for o in overflows]),
        out,
        first,
    )
    first[1] += first_channel
    _trap(first, datapath)
    return out


def wrap_array(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """The low `bits` bits of each value as two's complement, in the same dtype."""
    spare = values.dtype.itemsize * 8 - bits
    return (values << spare) >> spare


def _trap(first: NDArray[np.int64], datapath: Datapath) -> None:
    if datapath.overflow == "trap" and first[0] >= 0:
        raise IllegalValues(overflow_message(datapath, *(int(v) for v in first)))


def overflow_message(datapath: Datapath, row: int, channel: int, tap: int) -> str:
    """Where an accumulator that traps overflows first; tap -1 is the bias.

    `tap` is any of those that reach the accumulator as one sum; the first of them is named.
    """
    together = _group(datapath) if datapath.stages else datapath.dot_width
    where = "the bias" if tap < 0 else f"tap {tap - tap % together}"
    return (
        f"the {datapath.accumulator_bits}-bit accumulator overflows at output position {row}, "
        f"channel {channel}, {where}; "
        "widen datapath.accumulator.bits or let it wrap or saturate"
    )


def wraps_in_int32(datapath: Datapath, reference_bits: int) -> bool:
    """True where the sum is one modulo 2^32 or less, whose order cannot matter."""
    if datapath.graph:
        return reference_bits <= 32
    if datapath.stages:
        return False
    return datapath.overflow == "wrap" and datapath.accumulator_bits <= 32
