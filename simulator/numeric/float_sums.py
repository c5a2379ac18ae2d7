"""Sums of float32 products in the order in which MLAS adds them on x86-64 with FMA.

A float32 sum depends on its order, and a rounding to an integer grid that follows makes the last
bit visible: so the order is data (`SumOrder`), as a rounding is. Facts: onnxruntime
core/mlas/lib/sgemm.cpp, convolve.cpp, x86_64/SgemmKernelM1Avx.S, SgemmKernelM1TransposeBAvx.S.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from simulator.jit import FUSED_MULTIPLY_ADD, njit
from simulator.numeric.float_lanes import fused_sums, lane_weights

Float32s = NDArray[np.float32]

PACKED_BLOCK: Final = 256
"""Taps that are added before the output is touched where the weights were packed ahead."""


ONE: Final = np.float32(1)


@dataclass(frozen=True)
class SumOrder:
    """``fused``: fma(x, w, sum) tap by tap, every `block` of taps from 0, the blocks then added.

    ``fours``: products rounded, four neighbours added, then onto the output (the rest in two and
    one). ``lanes``: eight sums, tap k in lane k mod 8, then added up across.
    """

    form: Literal["fused", "fours", "lanes"]
    block: int = PACKED_BLOCK


def block_of(columns: int, taps: int) -> int:
    """How many taps MLAS adds at a time for a product with `columns` output columns (sgemm.cpp)."""
    wide, deep = 128, 128
    if columns >= taps:
        while deep // 2 >= taps:
            deep //= 2
    else:
        while wide > 16 and wide // 2 >= columns:
            deep, wide = 2 * deep, wide // 2
    return deep


@njit
def _fuse(product: float, sum32: Any) -> Any:
    # float32(product + sum32) of an exact double product, rounded once. Only where the double sum
    # lies half way between two float32 values can the first rounding mislead the second: then the
    # part that it lost says which one is nearer (Knuth's TwoSum); without a loss the tie is true.
    total = product + np.float64(sum32)
    near = np.float32(total)
    gap = total - np.float64(near)
    other = np.float64(near) + gap + gap
    if gap == 0.0 or np.float64(np.float32(other)) != other:
        return near
    part = total - product
    error = (product - (total - part)) + (np.float64(sum32) - part)
    if error == 0.0:
        return near
    return np.float32(max(np.float64(near), other) if error > 0.0 else min(np.float64(near), other))


@njit
def _fused(x: Any, w: Any, block: int, alpha: float, acc: Any, out: Any) -> None:
    # As `_fuse`, without its branches: steps in which some sum lies half way are taken again.
    taps, columns = w.shape
    fresh = np.empty(columns, dtype=np.float32)
    for row in range(x.shape[0]):
        for start in range(0, taps, block):
            acc[:] = np.float32(0)
            for k in range(start, min(start + block, taps)):
                value = np.float64(x[row, k])
                weights = w[k]
                halfway = 0
                for o in range(columns):
                    total = value * np.float64(weights[o]) + np.float64(acc[o])
                    near = np.float32(total)
                    gap = total - np.float64(near)
                    other = np.float64(near) + gap + gap
                    halfway += (gap != 0.0) & (np.float64(np.float32(other)) == other)
                    fresh[o] = near
                if halfway:
                    for o in range(columns):
                        fresh[o] = _fuse(value * np.float64(weights[o]), acc[o])
                acc[:] = fresh
            for o in range(columns):
                scaled = np.float64(alpha) * np.float64(acc[o])
                out[row, o] = _fuse(scaled, out[row, o])


@njit
def _fours(x: Any, w: Any, acc: Any, out: Any) -> None:
    taps, columns = w.shape
    for row in range(x.shape[0]):
        k = 0
        while k < taps:
            size = 4 if taps - k >= 4 else 2 if taps - k >= 2 else 1
            for o in range(columns):
                acc[o] = np.float32(x[row, k] * w[k, o])
            for j in range(k + 1, k + size):
                for o in range(columns):
                    acc[o] = np.float32(acc[o] + np.float32(x[row, j] * w[j, o]))
            for o in range(columns):
                out[row, o] = np.float32(acc[o] + out[row, o])
            k += size


def _lanes(x: Float32s, w: Float32s) -> Float32s:
    """One row times w (taps, columns) in eight lanes."""
    taps, columns = w.shape
    padded = np.zeros((-(-taps // 8) * 8, columns), dtype=np.float32)
    padded[:taps] = x.reshape(-1, 1) * w
    lanes = np.zeros((8, columns), dtype=np.float32)
    for part in padded.reshape(-1, 8, columns):
        lanes += part
    a, b, c, d, e, f, g, h = lanes
    # Columns come in fours, then two, then one, each with its own tree.
    by_four = (((a + b) + c) + d) + (((e + f) + g) + h)
    by_two = ((c + a) + (g + e)) + ((d + b) + (h + f))
    by_one = ((a + b) + (c + d)) + ((e + f) + (g + h))
    sums = by_four
    whole = columns // 4 * 4
    pair = whole + 2 if columns - whole >= 2 else whole
    sums[whole:pair] = by_two[whole:pair]
    sums[pair:] = by_one[pair:]
    return sums


def multiply_add(
    x: Float32s,
    w: Float32s,
    order: SumOrder,
    start: Float32s | None = None,
    alpha: np.float32 = ONE,
) -> Float32s:
    """The matrix start + alpha x @ w of x (rows, taps) and w (taps, columns), added in `order`.

    Only ``fused`` sums are scaled: each block, as it is added. Raises ValueError otherwise.
    """
    if alpha != ONE and order.form != "fused":
        raise ValueError(f"a sum in {order.form} has no factor")
    rows, columns = x.shape[0], w.shape[1]
    out = np.zeros((rows, columns), dtype=np.float32)
    if start is not None:
        out[...] = start
    x, w = np.ascontiguousarray(x), np.ascontiguousarray(w)
    if order.form == "lanes":
        for row in range(rows):
            out[row] += _lanes(x[row], w)
    elif order.form == "fours":
        _fours(x, w, np.empty(columns, dtype=np.float32), out)
    elif FUSED_MULTIPLY_ADD:
        starts = np.arange(rows, dtype=np.int64) * w.shape[0]
        offsets = np.arange(w.shape[0], dtype=np.int64)
        fused_sums(x.reshape(-1), starts, offsets, lane_weights(w), order.block, alpha, out)
    else:
        _fused(x, w, order.block, alpha, np.empty(columns, dtype=np.float32), out)
    return out
