"""Convolutions and matrix products of real values.

Of float32, added as MLAS adds them on x86-64. Of float64, by the linear algebra of NumPy, in an
order that nothing is promised of.
"""

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.float_depthwise import depthwise_fours
from simulator.numeric.float_sums import PACKED_BLOCK, SumOrder, block_of, multiply_add
from simulator.numeric.float_windows import float_patches, taps_of
from simulator.numeric.matmul import Window

Float32s = NDArray[np.float32]
Reals = NDArray[Any]


def convolve(x: Reals, w: Reals, over: Window) -> Reals:
    """Sums of x (n, h, w, c) with w (filters, ky, kx, c / groups): (n, oy, ox, filters)."""
    return convolve_float32(x, w, over) if x.dtype == np.float32 else _convolve_wide(x, w, over)


def multiply(
    x: Reals, w: Reals, c: Reals | None, factors: tuple[float, float], *, packed: bool, turned: bool
) -> Reals:
    """The product alpha x @ w + beta c; `packed` and `turned` as in `matmul_float32`."""
    if x.dtype == np.float32:
        return matmul_float32(x, w, c, factors, packed=packed, turned=turned)
    y = factors[0] * (x @ w)
    return y if c is None else y + factors[1] * c


def _convolve_wide(x: Reals, w: Reals, over: Window) -> Reals:
    filters, each = w.shape[0], w.shape[3]
    groups = x.shape[3] // each
    block = filters // groups
    y = np.zeros((x.shape[0], *over.output, filters), x.dtype)
    if each == block == 1:
        for i, j, pixels in taps_of(x, over):
            y += pixels * w[:, i, j, 0]
        return y
    rows = np.empty((*y.shape[:3], *over.kernel, x.shape[3]), x.dtype)
    for i, j, pixels in taps_of(x, over):
        rows[:, :, :, i, j] = pixels
    for g in range(groups):
        taps = rows[..., g * each : (g + 1) * each].reshape(-1, w[0].size)
        mine = slice(g * block, (g + 1) * block)
        y[..., mine] = (taps @ w[mine].reshape(block, -1).T).reshape(*y.shape[:3], block)
    return y


def convolve_float32(x: Float32s, w: Float32s, over: Window) -> Float32s:
    """Sums of x (n, h, w, c) with w (filters, ky, kx, c / groups): (n, oy, ox, filters).

    Taps are added in the order ic, ky, kx (convolve.cpp); a group of one filter is a product of
    one row.
    """
    filters, each = w.shape[0], w.shape[3]
    groups = x.shape[3] // each
    block, taps = filters // groups, each * w.shape[1] * w.shape[2]
    if each == block == 1:
        return depthwise_fours(x, w, over)
    pixels = over.output[0] * over.output[1]
    order = SumOrder("fused", block_of(pixels, taps)) if block > 1 else SumOrder("fours")
    columns = w.transpose(3, 1, 2, 0).reshape(taps, filters)
    y = np.empty((x.shape[0], pixels, filters), dtype=np.float32)
    for g in range(groups):
        rows = float_patches(x[..., g * each : (g + 1) * each], over)
        mine = slice(g * block, (g + 1) * block)
        for image in range(x.shape[0]):
            y[image, :, mine] = multiply_add(rows[image], columns[:, mine], order)
    return y.reshape(x.shape[0], *over.output, filters)


def matmul_float32(
    x: Float32s,
    w: Float32s,
    c: Float32s | None,
    factors: tuple[float, float],
    *,
    packed: bool,
    turned: bool,
) -> NDArray[Any]:
    """The product alpha x @ w + beta c, stacks as in NumPy's matmul; `factors` are alpha and beta.

    `packed`: the weights were known ahead; `turned`: they lie transposed (sgemm.cpp).
    """
    stack = np.broadcast_shapes(x.shape[:-2], w.shape[:-2])
    start = None if c is None else np.float32(factors[1]) * c
    plain = not packed and factors[0] == 1.0 and factors[1] in (0.0, 1.0)

    def one(rows: Float32s, matrix: Float32s, begin: Float32s | None) -> Float32s:
        block = PACKED_BLOCK if packed else block_of(matrix.shape[1], len(matrix))
        if plain and rows.shape[0] == 1:
            return multiply_add(rows, matrix, SumOrder("lanes" if turned else "fours"), begin)
        if plain and matrix.shape[1] == 1 and not turned:
            # A column times a matrix is the same as a row times the other one.
            across = None if begin is None else np.broadcast_to(begin, (len(rows), 1)).T
            return multiply_add(matrix.T, rows.T, SumOrder("lanes"), across).T
        return multiply_add(rows, matrix, SumOrder("fused", block), begin, np.float32(factors[0]))

    if prod(w.shape[:-2]) == 1:
        y = one(x.reshape(-1, x.shape[-1]), w.reshape(w.shape[-2:]), start)
    else:
        left = np.broadcast_to(x, (*stack, *x.shape[-2:]))
        right = np.broadcast_to(w, (*stack, *w.shape[-2:]))
        y = np.array([one(left[i], right[i], None) for i in np.ndindex(stack)])
    return y.reshape(*stack, x.shape[-2], w.shape[-1])
