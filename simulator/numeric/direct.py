"""Convolutions summed straight from the padded input, without patches, modulo 2^32.

Weights are laid out once for the vector lanes of `simulator.numeric.lanes`; a run centres the
input into an int16 scratch with zeros around it and sums some output rows at a time, so that the
scratch stays small whatever the output. Same bits as `matmul` on patches: a sum modulo 2^32 has no
order.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit
from simulator.numeric.lanes import (
    BLOCKS,
    LANES,
    ROWS,
    centre,
    dot_row,
    dot_tile,
    tap_block,
    tap_tile,
)
from simulator.numeric.matmul import Window

SUMS_AT_ONCE: Final = 2**16
"""About how many int32 sums are held before they are requantized: 256 KiB."""
SLACK: Final = BLOCKS * LANES
"""Elements that a tile may read or write beyond its last one."""

_IMAGES, _HEIGHT, _WIDTH, _CHANNELS, _TOP, _LEFT, _LINES, _COLUMNS = range(8)
_OY, _OX, _SY, _SX, _ZERO, _OUTPUTS, _PAIRS = range(8, 15)


@njit
def _centre(x: Any, g: Any, pixel: int, phases: int, padded: Any) -> None:
    # x - zx of every image in the middle of zeros, a pixel of `pixel` elements, the columns of one
    # phase of the stride together.
    channels = g[_CHANNELS]
    multiplier = pixel // channels
    per_phase = (g[_COLUMNS] + phases - 1) // phases * pixel
    line = per_phase * phases
    row_length = g[_WIDTH] * channels
    for image in range(g[_IMAGES]):
        for y in range(g[_LINES]):
            start = (image * g[_LINES] + y) * line
            row = y - g[_TOP]
            source = (image * g[_HEIGHT] + row) * row_length
            if row < 0 or row >= g[_HEIGHT]:
                padded[start : start + line] = 0
            elif phases == 1 and multiplier == 1:
                first = start + g[_LEFT] * pixel
                padded[start:first] = 0
                centre(x, source, row_length, g[_ZERO], padded, first)
                padded[first + row_length : start + line] = 0
            else:
                padded[start : start + line] = 0
                phase = g[_LEFT] % phases
                at = start + phase * per_phase + g[_LEFT] // phases * pixel
                for _ in range(g[_WIDTH]):
                    if multiplier == 1:
                        centre(x, source, channels, g[_ZERO], padded, at)
                    else:
                        for c in range(pixel):
                            value = np.int32(x[source + c // multiplier]) - np.int32(g[_ZERO])
                            padded[at + c] = np.int16(value)
                    source += channels
                    phase += 1
                    at += per_phase
                    if phase == phases:
                        phase = 0
                        at += pixel - line


@njit
def _places(g: Any, begin: int, count: int, image: int, width: int, starts: Any) -> None:
    # Where the window of each output position begins in the padded input.
    x = begin % g[_OX]
    line = begin // g[_OX]
    b = line // g[_OY]
    y = line - b * g[_OY]
    step = g[_SX] * g[_CHANNELS]
    i = 0
    while i < count:
        here = b * image + y * g[_SY] * width
        last = min(g[_OX] - x, count - i)
        for j in range(last):
            starts[i + j] = here + (x + j) * step
        i += last
        x = 0
        y += 1
        if y == g[_OY]:
            y = 0
            b += 1


@njit
def _convolve(
    tensor: Any,
    g: Any,
    segments: Any,
    w: Any,
    bias: Any,
    padded: Any,
    starts: Any,
    begin: int,
    end: int,
    acc: Any,
) -> None:
    # Output positions begin..end of all channels into acc, (end - begin, channels) side by side.
    if begin == 0:
        _centre(tensor.reshape(-1), g, g[_CHANNELS], 1, padded)
    width = g[_COLUMNS] * g[_CHANNELS]
    image = g[_LINES] * width
    count = end - begin
    _places(g, begin, count, image, width, starts)
    pairs, outputs = g[_PAIRS], g[_OUTPUTS]
    span = segments.size * pairs * 2 * LANES
    blocks = bias.size // LANES
    # The last block of channels first: what its spare lanes write into the next row, the first
    # block overwrites; the rows themselves ascend.
    for i in range(blocks):
        block = blocks - 1 - i
        bias_at, w_at = block * LANES, block * span
        row = 0
        while row < count:
            if count >= ROWS:
                # The last tile steps back and sums some rows a second time.
                row = min(row, count - ROWS)
            place = row * outputs + bias_at
            here = starts[row:]
            if count >= ROWS:
                dot_tile(padded, here, segments, pairs, w, w_at, bias, bias_at, acc, place, outputs)
                row += ROWS
            else:
                dot_row(padded, here, segments, pairs, w, w_at, bias, bias_at, acc, place, outputs)
                row += 1


@njit
def _depthwise(
    tensor: Any, g: Any, taps: Any, w: Any, bias: Any, padded: Any, begin: int, end: int, acc: Any
) -> None:
    # Output lines begin..end (of all images) into acc, (lines, ox, channels) side by side.
    if begin == 0:
        _centre(tensor.reshape(-1), g, g[_OUTPUTS], g[_SX], padded)
    pixel, phases = g[_OUTPUTS], g[_SX]
    width = (g[_COLUMNS] + phases - 1) // phases * pixel * phases
    run = g[_OX] * pixel
    step = pixel + SLACK
    for line in range(begin, end):
        image = line // g[_OY]
        y = line - image * g[_OY]
        x_at = (image * g[_LINES] + y * g[_SY]) * width
        out_at = (line - begin) * run
        i = 0
        while run - i >= SLACK:
            tap_tile(padded, x_at + i, taps, w, step, bias, i % pixel, acc, out_at + i)
            i += SLACK
        while i < run:
            tap_block(padded, x_at + i, taps, w, step, bias, i % pixel, acc, out_at + i)
            i += LANES


@dataclass(frozen=True)
class Direct:
    """A convolution made ready for inputs of one shape; `sums` gives a run of its accumulators.

    `rows` output positions of `channels` sums each; `unit` positions are the least that a call
    sums, `at_once` the most. `padded_elements` int16 of scratch hold the centred input.
    """

    rows: int
    channels: int
    unit: int
    at_once: int
    padded_elements: int
    sums_elements: int
    geometry: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: NDArray[np.int16]
    bias: NDArray[np.int32]
    depthwise: bool

    @cached_property
    def chunks(self) -> tuple[tuple[int, int], ...]:
        """The rows of each call: (begin, end), ascending."""
        starts = range(0, self.rows, self.at_once)
        return tuple((start, min(start + self.at_once, self.rows)) for start in starts)

    def sums(
        self,
        x: NDArray[Any],
        rows: tuple[int, int],
        padded: NDArray[np.int16],
        starts: NDArray[np.int64],
        acc: NDArray[np.int32],
    ) -> None:
        """Fill acc with the sums of some `chunks`; the first chunk of an input comes first.

        `padded` has `padded_elements`, `starts` `at_once`, `acc` `sums_elements`.
        """
        begin, end = rows
        if self.depthwise:
            lines = (begin // self.unit, end // self.unit)
            geometry, weights, bias = self.geometry, self.weights, self.bias
            _depthwise(x, geometry, self.offsets, weights, bias, padded, *lines, acc)
            return
        _convolve(
            *(x, self.geometry, self.offsets, self.weights, self.bias),
            *(padded, starts, begin, end, acc),
        )

    def all_sums(self, x: NDArray[Any]) -> NDArray[np.int32]:
        """Every accumulator: (rows, channels)."""
        padded = np.empty(self.padded_elements, dtype=np.int16)
        starts = np.empty(self.at_once, dtype=np.int64)
        acc = np.empty(self.sums_elements, dtype=np.int32)
        out = np.empty((self.rows, self.channels), dtype=np.int32)
        for begin, end in self.chunks:
            self.sums(x, (begin, end), padded, starts, acc)
            count = (end - begin) * self.channels
            out[begin:end] = acc[:count].reshape(-1, self.channels)
        return out


def _reach(window: Window, axis: int, size: int) -> int:
    """Padded size along an axis: as far as the windows reach, and the whole input."""
    spread = (window.output[axis] - 1) * window.stride[axis]
    reach = spread + (window.kernel[axis] - 1) * window.dilation[axis] + 1
    return max(reach, window.padding[axis] + size)


def _geometry(
    x: tuple[int, ...], window: Window, zero_point: int, outputs: int, pairs: int
) -> NDArray[np.int64]:
    n, height, width, channels = x
    lines, columns = _reach(window, 0, height), _reach(window, 1, width)
    sizes = (n, height, width, channels, *window.padding, lines, columns)
    steps = (*window.output, *window.stride, zero_point, outputs, pairs)
    return np.array((*sizes, *steps), dtype=np.int64)


def _ceil(value: int, step: int) -> int:
    return -(-value // step) * step


def direct_convolution(
    x: tuple[int, ...],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    window: Window,
    zero_point: int,
) -> Direct:
    """Sums of x (n, h, w, c) less its zero point with w (filters, ky, kx, c)."""
    filters, ky, kx, channels = w.shape
    (dy, dx), columns = window.dilation, _reach(window, 1, x[2])
    whole_line = dx == 1
    runs = (ky, 1, kx * channels) if whole_line else (ky, kx, channels)
    offsets = [
        (i * dy * columns + j * dx) * channels for i in range(runs[0]) for j in range(runs[1])
    ]
    pairs = -(-runs[2] // 2)
    laid = np.zeros((_ceil(filters, LANES), len(offsets), 2 * pairs), dtype=np.int16)
    laid[:filters, :, : runs[2]] = w.reshape(filters, len(offsets), runs[2])
    laid = laid.reshape(-1, LANES, len(offsets), pairs, 2).transpose(0, 2, 3, 1, 4)
    geometry = _geometry(x, window, zero_point, filters, pairs)
    rows = x[0] * window.output[0] * window.output[1]
    at_once = max(min(rows, SUMS_AT_ONCE // filters), 1)
    return Direct(
        rows=rows,
        channels=filters,
        unit=1,
        at_once=at_once,
        padded_elements=int(x[0] * geometry[_LINES] * columns * channels) + SLACK,
        sums_elements=at_once * filters + LANES,
        geometry=geometry,
        offsets=np.array(offsets, dtype=np.int64),
        weights=np.ascontiguousarray(laid).reshape(-1),
        bias=_lane_bias(bias, _ceil(filters, LANES)),
        depthwise=False,
    )


def direct_depthwise(
    x: tuple[int, ...],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    window: Window,
    zero_point: int,
) -> Direct:
    """Sums of x (n, h, w, c) less its zero point with w (ky, kx, c * multiplier), by channel."""
    ky, kx, outputs = w.shape
    (dy, dx), stride = window.dilation, window.stride[1]
    per_phase = -(-_reach(window, 1, x[2]) // stride) * outputs
    offsets = [
        i * dy * per_phase * stride + j * dx % stride * per_phase + j * dx // stride * outputs
        for i in range(ky)
        for j in range(kx)
    ]
    wide = outputs + SLACK
    repeated = np.arange(wide) % outputs
    geometry = _geometry(x, window, zero_point, outputs, 0)
    (oy, ox), lines = window.output, int(geometry[_LINES])
    at_once = max(min(x[0] * oy, SUMS_AT_ONCE // max(ox * outputs, 1)), 1) * ox
    return Direct(
        rows=x[0] * oy * ox,
        channels=outputs,
        unit=ox,
        at_once=at_once,
        padded_elements=x[0] * lines * per_phase * stride + SLACK,
        sums_elements=at_once * outputs + SLACK,
        geometry=geometry,
        offsets=np.array(offsets, dtype=np.int64),
        weights=np.ascontiguousarray(w.reshape(ky * kx, outputs)[:, repeated]).reshape(-1),
        bias=_lane_bias(bias, outputs)[repeated],
        depthwise=True,
    )


def _lane_bias(bias: NDArray[Any], size: int) -> NDArray[np.int32]:
    """The bias modulo 2^32, zeros behind it."""
    wide = np.zeros(size, dtype=np.int32)
    wide[: bias.size] = bias.astype(np.int64).astype(np.int32)
    return wide
