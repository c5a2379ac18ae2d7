"""Products of few-bit codes as planes of one-bit products: logic, popcount, a weighted sum.

A code of K bits is K planes; plane j holds bit j of every code. With bases v (weights) and u
(activations) a real dot product is sum_ij v_i u_j (b_i . c_j): K_w K_a integer dots of planes,
weighted by the outer product of the bases (LQ-Nets: Zhang et al., ECCV 2018, section 3.4). A bit
stands for -1 or 1 (`bipolar`) or for 0 or 1 (`binary`). Read next: `bitplane_lanes`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.bitplane_kernels import (
    add_weighted,
    count_both,
    count_differing,
    finish_dots,
    pack_rows,
)
from simulator.numeric.bitplane_lanes import CHANNELS, WORD_BITS
from simulator.numeric.levels import CodeSet
from simulator.numeric.matmul import Window, patches

Words = NDArray[np.uint64]
Dots = NDArray[np.int32]

AT_ONCE: Final = 1 << 16
"""Sums that one step of a weighted sum holds, so that they stay in a cache."""


@dataclass(frozen=True)
class Planes:
    """Rows of codes as planes of 64-bit words along the reduction; plane 0 holds the lowest bits.

    `words` (planes, rows, words) with the first tap lowest; bits without a tap are 0. `taps` are
    the codes of a row. `valid` (rows, words) has the taps set that hold a code; None: all do. The
    others add nothing: a padding of zeros, which {-1, 1} has no code for.
    """

    words: Words
    taps: int
    codes: CodeSet
    valid: Words | None = None

    @property
    def bits(self) -> int:
        """Planes."""
        return len(self.words)

    @property
    def rows(self) -> int:
        """Rows of codes: output positions or output channels."""
        return int(self.words.shape[1])

    @cached_property
    def ones(self) -> Dots:
        """Set bits of every plane and row: (planes, rows)."""
        return np.asarray(np.bitwise_count(self.words).sum(axis=2, dtype=np.int32))

    @cached_property
    def lanes(self) -> Words:
        """The rows as vector lanes: (planes, blocks of channels, words, CHANNELS)."""
        planes, rows, words = self.words.shape
        blocks = -(-rows // CHANNELS)
        wide = np.zeros((planes, blocks * CHANNELS, words), dtype=np.uint64)
        wide[:, :rows] = self.words
        blocked = wide.reshape(planes, blocks, CHANNELS, words).transpose(0, 1, 3, 2)
        return np.ascontiguousarray(blocked)

    def some(self, begin: int, end: int) -> "Planes":
        """The rows from `begin` to `end`."""
        valid = None if self.valid is None else self.valid[begin:end]
        return replace(self, words=self.words[:, begin:end], valid=valid)


def pack(codes: NDArray[np.uint8], bits: int, code_set: CodeSet) -> Planes:
    """Planes of codes (rows, taps), each below 2^bits; bits above are not looked at."""
    rows, taps = codes.shape
    return Planes(_packed(codes, bits, (rows,)), taps, code_set)


def pack_windows(codes: NDArray[np.uint8], bits: int, code_set: CodeSet, window: Window) -> Planes:
    """A row for each window on codes (n, h, w, c), taps in the order ky, kx, c.

    Every pixel's channels are packed once, into whole words, and the words are gathered: what is
    multiplied by them is packed by `pack_filters`. Zeros around the image add nothing.
    """
    n, height, width, channels = codes.shape
    words = _packed(codes, bits, (n, height, width))
    gathered = [patches(plane, window) for plane in words]
    taps = window.kernel[0] * window.kernel[1] * channels
    rows = Planes(np.stack(gathered), taps, code_set)
    if code_set == "binary" or not _reaches_outside(window, height, width):
        return rows
    inside = _packed(np.ones((1, height, width, channels), dtype=np.uint8), 1, (1, height, width))
    valid = patches(inside[0], window)
    return replace(rows, valid=np.tile(valid, (n, 1)))


def pack_filters(codes: NDArray[np.uint8], bits: int, code_set: CodeSet) -> Planes:
    """Planes of weights (filters, ky, kx, c), as `pack_windows` lays out their windows."""
    filters, ky, kx, channels = codes.shape
    words = _packed(codes, bits, (filters, ky * kx))
    return Planes(words.reshape(bits, filters, -1), ky * kx * channels, code_set)


def plane_dots(x: Planes, w: Planes, i: int, j: int) -> Dots:
    """Integer dots of plane i of the rows of w and plane j of those of x: (rows, channels), exact.

    {-1,1} x {-1,1}: 2 popcount(xnor) - N, which is N - 2 popcount(xor); {-1,1} x {0,1}:
    2 popcount(and) - popcount(of the {0,1} plane); {0,1} x {0,1}: popcount(and).
    """
    if x.valid is not None:
        # Where there is a code a bipolar bit is 2 bit - 1, elsewhere 0: 2 planes of {0, 1}.
        where = replace(x, words=x.valid[np.newaxis], codes="binary", valid=None)
        plain = replace(x, codes="binary", valid=None)
        return np.asarray(2 * plane_dots(plain, w, i, j) - plane_dots(where, w, i, 0))
    dots = np.empty((x.rows, w.rows), dtype=np.int32)
    finish_dots(*_counted(x, w, i, j), dots)
    return dots


def weighted_dots(
    x: Planes, w: Planes, x_basis: NDArray[Any], w_basis: NDArray[Any]
) -> NDArray[Any]:
    """Sum over i, j of v_i[c] u_j (w_i . x_j): (rows, channels), in the dtype of the bases.

    `x_basis` (planes of x,) and `w_basis` (channels, planes of w), both float64 or both int64. In
    float64 the terms are added in the order i, then j, each (v_i u_j) dot rounded before.
    """
    factors = w_basis[:, :, np.newaxis] * x_basis
    out = np.zeros((x.rows, w.rows), dtype=factors.dtype)
    none = np.zeros(max(x.rows, w.rows), dtype=np.int32)
    step = max(AT_ONCE // max(w.rows, 1), 64)
    for begin in range(0, x.rows, step):
        part, sums = x.some(begin, min(begin + step, x.rows)), out[begin : begin + step]
        for i in range(w.bits):
            for j in range(x.bits):
                weights = np.ascontiguousarray(factors[:, i, j])
                if part.valid is None:
                    add_weighted(*_counted(part, w, i, j), weights, sums)
                else:
                    add_weighted(plane_dots(part, w, i, j), 1, none, none, weights, sums)
    return out


def _counted(x: Planes, w: Planes, i: int, j: int) -> tuple[Dots, int, Dots, Dots]:
    """Popcounts, and what makes them dots: a factor, and what each row and channel adds."""
    counts = np.empty((x.rows, len(w.lanes[i]) * CHANNELS), dtype=np.int32)
    rows, channels = np.zeros(x.rows, dtype=np.int32), np.zeros(w.rows, dtype=np.int32)
    if x.codes == w.codes == "bipolar":
        count_differing(x.words[j], w.lanes[i], counts)
        return counts, -2, rows + np.int32(x.taps), channels
    count_both(x.words[j], w.lanes[i], counts)
    if w.codes == "bipolar":
        return counts, 2, -x.ones[j], channels
    if x.codes == "bipolar":
        return counts, 2, rows, -w.ones[i]
    return counts, 1, rows, channels


def _packed(codes: NDArray[np.uint8], bits: int, rows: tuple[int, ...]) -> Words:
    """Codes (*rows, taps) as (bits, *rows, words)."""
    taps = codes.shape[-1]
    words = -(-taps // WORD_BITS)
    out = np.empty((bits, int(np.prod(rows)), words), dtype=np.uint64)
    pack_rows(np.ascontiguousarray(codes).reshape(-1), taps, out)
    return out.reshape(bits, *rows, words)


def _reaches_outside(window: Window, height: int, width: int) -> bool:
    """Whether a window has taps without an element of the image."""
    sizes = zip(
        window.kernel,
        window.stride,
        window.dilation,
        window.padding,
        window.output,
        (height, width),
        strict=True,
    )
    return any(
        lead > 0 or (out - 1) * stride + (kernel - 1) * dilation + 1 - lead > size
        for kernel, stride, dilation, lead, out, size in sizes
    )
