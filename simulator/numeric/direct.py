"""Convolutions summed straight from the padded input, without patches.

Weights are laid out once for the vector lanes of `simulator.numeric.lanes`; a run centres the
input into an int16 scratch with zeros around it and sums some output rows at a time, so that the
scratch stays small whatever the output. Same bits as `matmul` on patches: a sum modulo 2^32 has no
order, and a sum that saturates keeps that of the taps.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.direct_kernels import (
    LINES,
    SLACK,
    convolve,
    convolve_depthwise,
    convolve_depthwise_ordered,
    convolve_ordered,
)
from simulator.numeric.lanes import LANES
from simulator.numeric.matmul import Window, wrap_array

SUMS_AT_ONCE: Final = 2**16
"""About how many int32 sums are held before they are requantized: 256 KiB."""


@dataclass(frozen=True)
class Accumulator:
    """What sums do that leave `bits` (1 to 32): wrap, or saturate after every `dot_width` products.

    Where it saturates, 2^(bits - 1) and one exact dot product together must stay below 2^31.
    """

    bits: int = 32
    saturates: bool = False
    dot_width: int = 1

    @cached_property
    def limits(self) -> NDArray[np.int32]:
        """The least and the greatest value."""
        return np.array([-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1], dtype=np.int32)

    def start(self, bias: NDArray[Any], size: int) -> NDArray[np.int32]:
        """The bias as the accumulator takes it, zeros behind it up to `size`."""
        wide = np.zeros(size, dtype=np.int32)
        exact = bias.astype(np.int64)
        if self.saturates:
            exact = np.clip(exact, *self.limits.astype(np.int64))
        wide[: bias.size] = exact.astype(np.int32)
        return wide


WRAP_32: Final = Accumulator()


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
    accumulator: Accumulator
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
        ours = (x, self.geometry, self.offsets, self.weights, self.bias, padded)
        rule = self.accumulator
        if self.depthwise:
            lines = (begin // self.unit, end // self.unit)
            if rule.saturates:
                convolve_depthwise_ordered(*ours, *lines, acc, rule.limits, rule.dot_width)
            else:
                convolve_depthwise(*ours, *lines, acc)
        elif rule.saturates:
            convolve_ordered(*ours, starts, begin, end, acc, rule.limits, rule.dot_width)
        else:
            convolve(*ours, starts, begin, end, acc)
        if rule.bits < 32 and not rule.saturates:
            count = (end - begin) * self.channels
            acc[:count] = wrap_array(acc[:count], rule.bits)

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


def reach(window: Window, axis: int, size: int) -> int:
    """Padded size along an axis: as far as the windows reach, and the whole input."""
    spread = (window.output[axis] - 1) * window.stride[axis]
    reach = spread + (window.kernel[axis] - 1) * window.dilation[axis] + 1
    return max(reach, window.padding[axis] + size)


def geometry_of(
    x: tuple[int, ...], window: Window, values: tuple[int, int], outputs: int, run: int
) -> NDArray[np.int64]:
    """The geometry of windows over x (n, h, w, c), as `direct_kernels` reads it.

    `values` are what is subtracted and what pads; `run` the taps side by side.
    """
    n, height, width, channels = x
    lines, columns = reach(window, 0, height), reach(window, 1, width)
    sizes = (n, height, width, channels, *window.padding, lines, columns)
    steps = (*window.output, *window.stride, *values, outputs, run)
    return np.array((*sizes, *steps), dtype=np.int64)


def _ceil(value: int, step: int) -> int:
    return -(-value // step) * step


def direct_convolution(
    x: tuple[int, ...],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    window: Window,
    values: tuple[int, int],
    accumulator: Accumulator = WRAP_32,
) -> Direct:
    """Sums of x (n, h, w, c) with w (filters, ky, kx, c).

    `values` are what is subtracted from x and what pads it.
    """
    filters, ky, kx, channels = w.shape
    (dy, dx), columns = window.dilation, reach(window, 1, x[2])
    whole_line = dx == 1
    runs = (ky, 1, kx * channels) if whole_line else (ky, kx, channels)
    offsets = [
        (i * dy * columns + j * dx) * channels for i in range(runs[0]) for j in range(runs[1])
    ]
    # Multiply-add pairs take two taps at a time; what adds in order takes one.
    together = 1 if accumulator.saturates else 2
    run = -(-runs[2] // together)
    laid = np.zeros((_ceil(filters, LANES), len(offsets), together * run), dtype=np.int16)
    laid[:filters, :, : runs[2]] = w.reshape(filters, len(offsets), runs[2])
    laid = laid.reshape(-1, LANES, len(offsets), run, together).transpose(0, 2, 3, 1, 4)
    geometry = geometry_of(x, window, values, filters, run)
    rows = x[0] * window.output[0] * window.output[1]
    at_once = max(min(rows, SUMS_AT_ONCE // filters), 1)
    return Direct(
        rows=rows,
        channels=filters,
        unit=1,
        at_once=at_once,
        padded_elements=int(x[0] * geometry[LINES] * columns * channels) + SLACK,
        sums_elements=at_once * filters + LANES,
        geometry=geometry,
        offsets=np.array(offsets, dtype=np.int64),
        weights=np.ascontiguousarray(laid).reshape(-1),
        bias=accumulator.start(bias, _ceil(filters, LANES)),
        accumulator=accumulator,
        depthwise=False,
    )


def direct_depthwise(
    x: tuple[int, ...],
    w: NDArray[np.int16],
    bias: NDArray[Any],
    window: Window,
    values: tuple[int, int],
    accumulator: Accumulator = WRAP_32,
) -> Direct:
    """As `direct_convolution`, w (ky, kx, c * multiplier), each channel by itself."""
    ky, kx, outputs = w.shape
    (dy, dx), stride = window.dilation, window.stride[1]
    per_phase = -(-reach(window, 1, x[2]) // stride) * outputs
    offsets = [
        i * dy * per_phase * stride + j * dx % stride * per_phase + j * dx // stride * outputs
        for i in range(ky)
        for j in range(kx)
    ]
    wide = outputs + SLACK
    repeated = np.arange(wide) % outputs
    geometry = geometry_of(x, window, values, outputs, 0)
    (oy, ox), lines = window.output, int(geometry[LINES])
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
        bias=accumulator.start(bias, outputs)[repeated],
        accumulator=accumulator,
        depthwise=True,
    )
