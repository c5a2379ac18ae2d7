"""Sums as the engine adds them, in JAX: planes of codes, and float32 products in MLAS's order.

A learned quantizer turns a last bit into another level where a value lies beside a threshold. So
the sums before it are added here in the engine's own order and precision; x64 must be enabled.
"""

from functools import partial
from math import prod
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from simulator.numeric.float_sums import PACKED_BLOCK, block_of
from workloads.train.arithmetic import kept_apart
from workloads.train.twins import SUMS, Real, taps, window_counts

UNROLLED: Final = 16
"""Pairs of planes that are added without a loop."""


def plane_sums(op: Any, x: Real, w: Real, bases: tuple[Real, Real], bias: Real | None) -> Real:
    """Sum over i, j of v_i[c] u_j (w_i . x_j) + bias[c], rounded once to float32.

    Planes x (K_x, *shape) and w (K_w, *shape) of whole numbers in float32, in which every dot is
    exact below 2^24 taps; bases u (K_x,) and v (channels, K_w). In float64 in the order i, j as
    `simulator.numeric.bitplane.weighted_dots`.
    """
    u, v = bases
    each = jax.vmap(partial(SUMS[op.kind], op), (0, None))
    dots = jax.vmap(each, (None, 0))(x, w)
    pairs, shape = len(w) * len(x), dots.shape[2:]
    factors = kept_apart(v.T[:, None, :] * u[None, :, None]).reshape(pairs, -1)

    def add(total: Real, pair: tuple[Real, Real]) -> tuple[Real, None]:
        return total + kept_apart(pair[0] * pair[1].astype(jnp.float64)), None

    start = jnp.zeros(shape, jnp.float64)
    given = (factors, dots.reshape(pairs, *shape))
    total, _ = lax.scan(add, start, given, unroll=min(pairs, UNROLLED))
    total = total if bias is None else total + bias.reshape(-1).astype(jnp.float64)
    return total.astype(jnp.float32)


def ordered(op: Any, x: Real, w: Real, bias: Real | None) -> Real:
    """A float layer's sums and bias in the engine's order.

    Where that is not one sum after another (depthwise filters, products that were not packed):
    in float64, rounded once.
    """
    if op.kind == "float_conv_2d":
        filters, ky, kx, each = w.shape
        groups = x.shape[3] // each
        if filters == groups:
            return _rounded_once(op, x, w, bias)
        over = op.windows.over(x.shape)
        block = block_of(prod(over.output), ky * kx * each)
        windows = jnp.stack(taps(x, over, 0.0), axis=-1)
        own = [
            fused(
                windows[..., g * each : (g + 1) * each, :].reshape(*windows.shape[:3], -1),
                w[g * filters // groups : (g + 1) * filters // groups]
                .transpose(3, 1, 2, 0)
                .reshape(-1, filters // groups),
                block,
            )
            for g in range(groups)
        ]
        y = jnp.concatenate(own, axis=-1)
        return y if bias is None else y + bias
    if op.kind == "float_matmul" and not op.packed:
        return _rounded_once(op, x, w, bias)
    matrix = w if op.kind == "float_matmul" else w.T
    y = fused(x.reshape(-1, len(matrix)), matrix, PACKED_BLOCK, bias)
    return y.reshape(SUMS[op.kind](op, x, w).shape)


def fused(x: Real, w: Real, block: int, start: Real | None = None) -> Real:
    """Start + x @ w of x (.., taps), w (taps, columns): `SumOrder("fused", block)` in float32."""
    shape = (*x.shape[:-1], w.shape[1])
    y = jnp.zeros(shape, jnp.float32) if start is None else jnp.broadcast_to(start, shape)
    for first in range(0, len(w), block):
        part = jnp.moveaxis(x[..., first : first + block], -1, 0)

        def add(total: Real, tap: tuple[Real, Real]) -> tuple[Real, None]:
            return fused_multiply_add(tap[0][..., None], tap[1], total), None

        sums, _ = lax.scan(add, jnp.zeros(shape, jnp.float32), (part, w[first : first + block]))
        y = y + sums
    return y


def fused_multiply_add(a: Real, b: Real, c: Real) -> Real:
    """Round a b + c of float32 once, to float32.

    The product is exact in float64; the sum is rounded to odd there (Boldo and Melquiond 2008),
    which a second rounding cannot mislead.
    """
    product, addend = a.astype(jnp.float64) * b.astype(jnp.float64), c.astype(jnp.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = lax.bitcast_convert_type(total, jnp.int64)
    step = jnp.where((error > 0) == (total > 0), 1, -1)
    odd = jnp.where((error != 0) & (bits & 1 == 0), bits + step, bits)
    return lax.bitcast_convert_type(odd, jnp.float64).astype(jnp.float32)


def averaged(op: Any, x: Real) -> Real:
    """The mean of each window, added in the order of the window in float32, then divided."""
    over = op.windows.over(x.shape)
    total = jnp.zeros((), jnp.float32)
    for tap in taps(x, over, 0.0):
        total = total + tap
    count: Any = np.float32(prod(over.kernel))
    if not op.count_padding:
        with jax.ensure_compile_time_eval():
            count = window_counts(x.shape, over)
    # XLA divides float32 by one number as it multiplies by the reciprocal: round twice, innocently.
    wide = total.astype(jnp.float64) / jnp.asarray(count).astype(jnp.float64)
    return wide.astype(jnp.float32)


def _rounded_once(op: Any, x: Real, w: Real, bias: Real | None) -> Real:
    y = SUMS[op.kind](op, x.astype(jnp.float64), w.astype(jnp.float64))
    return (y if bias is None else y + bias.astype(jnp.float64)).astype(jnp.float32)
