"""The compiled loops of `simulator.numeric.direct`: centring an input, walking tiles over it.

`g` is the geometry, indexed by the constants of this module; every other array is flat.
"""

from typing import Any, Final

import numpy as np

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
from simulator.numeric.ordered_lanes import (
    ordered_dot_row,
    ordered_dot_tile,
    ordered_tap_block,
    ordered_tap_tile,
)

SLACK: Final = BLOCKS * LANES
"""Elements that a tile may read or write beyond its last one."""

IMAGES, HEIGHT, WIDTH, CHANNELS, TOP, LEFT, LINES, COLUMNS = range(8)
OY, OX, SY, SX, ZERO, FILL, OUTPUTS, RUN = range(8, 16)
"""Sizes of the input and of the padded one, steps, the value that is subtracted and the one that
pads, output channels, and taps side by side (in pairs where `dot_tile` sums them)."""


@njit
def fill_centred(x: Any, g: Any, pixel: int, phases: int, padded: Any) -> None:
    """X - zero of every image with `fill` around, the columns of one phase of the stride together.

    A pixel takes `pixel` elements: each channel as often as the multiplier says.
    """
    channels = g[CHANNELS]
    multiplier = pixel // channels
    per_phase = (g[COLUMNS] + phases - 1) // phases * pixel
    line = per_phase * phases
    row_length = g[WIDTH] * channels
    for image in range(g[IMAGES]):
        for y in range(g[LINES]):
            start = (image * g[LINES] + y) * line
            row = y - g[TOP]
            source = (image * g[HEIGHT] + row) * row_length
            if row < 0 or row >= g[HEIGHT]:
                padded[start : start + line] = g[FILL]
            elif phases == 1 and multiplier == 1:
                first = start + g[LEFT] * pixel
                padded[start:first] = g[FILL]
                centre(x, source, row_length, g[ZERO], padded, first)
                padded[first + row_length : start + line] = g[FILL]
            else:
                padded[start : start + line] = g[FILL]
                phase = g[LEFT] % phases
                at = start + phase * per_phase + g[LEFT] // phases * pixel
                for _ in range(g[WIDTH]):
                    if multiplier == 1:
                        centre(x, source, channels, g[ZERO], padded, at)
                    else:
                        for c in range(pixel):
                            value = np.int32(x[source + c // multiplier]) - np.int32(g[ZERO])
                            padded[at + c] = np.int16(value)
                    source += channels
                    phase += 1
                    at += per_phase
                    if phase == phases:
                        phase = 0
                        at += pixel - line


@njit
def find_places(g: Any, begin: int, count: int, image: int, width: int, starts: Any) -> None:
    """Where the window of each output position begins in the padded input."""
    x = begin % g[OX]
    line = begin // g[OX]
    b = line // g[OY]
    y = line - b * g[OY]
    step = g[SX] * g[CHANNELS]
    i = 0
    while i < count:
        here = b * image + y * g[SY] * width
        last = min(g[OX] - x, count - i)
        for j in range(last):
            starts[i + j] = here + (x + j) * step
        i += last
        x = 0
        y += 1
        if y == g[OY]:
            y = 0
            b += 1


@njit
def convolve(
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
    """Sums modulo 2^32 of output positions begin..end: acc (end - begin, channels)."""
    if begin == 0:
        fill_centred(tensor.reshape(-1), g, g[CHANNELS], 1, padded)
    width = g[COLUMNS] * g[CHANNELS]
    image = g[LINES] * width
    count = end - begin
    find_places(g, begin, count, image, width, starts)
    pairs, outputs = g[RUN], g[OUTPUTS]
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
def convolve_depthwise(
    tensor: Any, g: Any, taps: Any, w: Any, bias: Any, padded: Any, begin: int, end: int, acc: Any
) -> None:
    """Sums modulo 2^32 of output lines begin..end of all images: acc (lines, ox, channels)."""
    if begin == 0:
        fill_centred(tensor.reshape(-1), g, g[OUTPUTS], g[SX], padded)
    pixel, phases = g[OUTPUTS], g[SX]
    width = (g[COLUMNS] + phases - 1) // phases * pixel * phases
    run = g[OX] * pixel
    step = pixel + SLACK
    for line in range(begin, end):
        image = line // g[OY]
        y = line - image * g[OY]
        x_at = (image * g[LINES] + y * g[SY]) * width
        out_at = (line - begin) * run
        i = 0
        while run - i >= SLACK:
            tap_tile(padded, x_at + i, taps, w, step, bias, i % pixel, acc, out_at + i)
            i += SLACK
        while i < run:
            tap_block(padded, x_at + i, taps, w, step, bias, i % pixel, acc, out_at + i)
            i += LANES


@njit
def convolve_ordered(
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
    limits: Any,
    dot_width: int,
) -> None:
    """Saturating sums of output positions begin..end: acc (end - begin, channels)."""
    if begin == 0:
        fill_centred(tensor.reshape(-1), g, g[CHANNELS], 1, padded)
    width = g[COLUMNS] * g[CHANNELS]
    image = g[LINES] * width
    count = end - begin
    find_places(g, begin, count, image, width, starts)
    taps, outputs = g[RUN], g[OUTPUTS]
    span = segments.size * taps * LANES
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
                ordered_dot_tile(
                    *(padded, here, segments, taps, w, w_at, bias, bias_at, acc, place, outputs),
                    *(limits, dot_width),
                )
                row += ROWS
            else:
                ordered_dot_row(
                    *(padded, here, segments, taps, w, w_at, bias, bias_at, acc, place, outputs),
                    *(limits, dot_width),
                )
                row += 1


@njit
def convolve_depthwise_ordered(
    tensor: Any,
    g: Any,
    taps: Any,
    w: Any,
    bias: Any,
    padded: Any,
    begin: int,
    end: int,
    acc: Any,
    limits: Any,
    dot_width: int,
) -> None:
    """Saturating sums of output lines begin..end of all images: acc (lines, ox, channels)."""
    if begin == 0:
        fill_centred(tensor.reshape(-1), g, g[OUTPUTS], g[SX], padded)
    pixel, phases = g[OUTPUTS], g[SX]
    width = (g[COLUMNS] + phases - 1) // phases * pixel * phases
    run = g[OX] * pixel
    step = pixel + SLACK
    for line in range(begin, end):
        image = line // g[OY]
        y = line - image * g[OY]
        x_at = (image * g[LINES] + y * g[SY]) * width
        out_at = (line - begin) * run
        i = 0
        while run - i >= SLACK:
            ordered_tap_tile(
                *(padded, x_at + i, taps, w, step, bias, i % pixel, acc, out_at + i),
                *(limits, dot_width),
            )
            i += SLACK
        while i < run:
            ordered_tap_block(
                *(padded, x_at + i, taps, w, step, bias, i % pixel, acc, out_at + i),
                *(limits, dot_width),
            )
            i += LANES
