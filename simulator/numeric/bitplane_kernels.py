"""Loops over tiles of one-bit products: codes into words, words into plane dots."""

from typing import Any

import numpy as np

from simulator.jit import njit
from simulator.numeric.bitplane_lanes import (
    BLOCKS,
    CHANNELS,
    ROWS,
    WORD_BITS,
    both_block,
    both_column,
    both_row,
    both_tile,
    differ_block,
    differ_column,
    differ_row,
    differ_tile,
    pack_words,
)


@njit
def pack_rows(codes: Any, taps: int, out: Any) -> None:
    """Bit p of every code of rows of `taps` codes (flat, uint8) into out (planes, rows, words)."""
    planes, rows, words = out.shape
    flat = out.reshape(-1)
    full = taps // WORD_BITS
    for plane in range(planes):
        for row in range(rows):
            first, place = row * taps, (plane * rows + row) * words
            pack_words(codes, first, full, plane, flat, place)
            if full < words:
                # The bits behind the last tap stay 0, in both operands.
                word = np.uint64(0)
                for k in range(full * WORD_BITS, taps):
                    bit = np.uint64((np.int64(codes[first + k]) >> plane) & 1)
                    word |= bit << np.uint64(k - full * WORD_BITS)
                flat[place + full] = word


@njit
def count_both(x: Any, w: Any, out: Any) -> None:
    """Taps where both bits are set: x (rows, words), w (blocks, words, CHANNELS), out int32."""
    rows, words = x.shape
    blocks = w.shape[0]
    a, b, c, span, columns = x.reshape(-1), w.reshape(-1), out.reshape(-1), words * 8, blocks * 8
    high, wide = rows >= ROWS, blocks >= BLOCKS
    row = 0
    while row < rows:
        # The last tile steps back and counts some rows, or blocks, a second time.
        row = min(row, rows - ROWS) if high else row
        block = 0
        while block < blocks:
            block = min(block, blocks - BLOCKS) if wide else block
            x_at, w_at, at = row * words, block * span, row * columns + block * CHANNELS
            if high and wide:
                both_tile(a, x_at, words, words, b, w_at, span, c, at, columns)
            elif high:
                both_column(a, x_at, words, words, b, w_at, span, c, at, columns)
            elif wide:
                both_row(a, x_at, words, words, b, w_at, span, c, at, columns)
            else:
                both_block(a, x_at, words, words, b, w_at, span, c, at, columns)
            block += BLOCKS if wide else 1
        row += ROWS if high else 1


@njit
def count_differing(x: Any, w: Any, out: Any) -> None:
    """Taps whose bits differ; as `count_both`."""
    rows, words = x.shape
    blocks = w.shape[0]
    a, b, c, span, columns = x.reshape(-1), w.reshape(-1), out.reshape(-1), words * 8, blocks * 8
    high, wide = rows >= ROWS, blocks >= BLOCKS
    row = 0
    while row < rows:
        row = min(row, rows - ROWS) if high else row
        block = 0
        while block < blocks:
            block = min(block, blocks - BLOCKS) if wide else block
            x_at, w_at, at = row * words, block * span, row * columns + block * CHANNELS
            if high and wide:
                differ_tile(a, x_at, words, words, b, w_at, span, c, at, columns)
            elif high:
                differ_column(a, x_at, words, words, b, w_at, span, c, at, columns)
            elif wide:
                differ_row(a, x_at, words, words, b, w_at, span, c, at, columns)
            else:
                differ_block(a, x_at, words, words, b, w_at, span, c, at, columns)
            block += BLOCKS if wide else 1
        row += ROWS if high else 1


@njit
def finish_dots(counts: Any, factor: int, of_rows: Any, of_channels: Any, dots: Any) -> None:
    """dots[r, c] = factor counts[r, c] + of_rows[r] + of_channels[c]; int32, |dot| <= taps."""
    rows, channels = dots.shape
    for row in range(rows):
        added = np.int64(of_rows[row])
        for c in range(channels):
            total = factor * np.int64(counts[row, c]) + added + np.int64(of_channels[c])
            dots[row, c] = np.int32(total)


@njit
def add_weighted(
    counts: Any, factor: int, of_rows: Any, of_channels: Any, weights: Any, out: Any
) -> None:
    """out[r, c] += weights[c] dot[r, c], dots as above, in the dtype of `out`: int64 or float64.

    In float64 the product is rounded, then the sum.
    """
    rows, channels = out.shape
    for row in range(rows):
        added = np.int64(of_rows[row])
        for c in range(channels):
            total = factor * np.int64(counts[row, c]) + added + np.int64(of_channels[c])
            out[row, c] += weights[c] * np.int32(total)
