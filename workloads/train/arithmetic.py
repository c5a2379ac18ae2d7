"""Steps of the integer network in float32 that holds them exactly.

What the engine's `onnxruntime` rules compute between two grids, on values that are whole numbers of
steps: a training forward pass that rounds the same numbers rounds them the same way. Sums of codes
are exact while they stay below 2^24 (`exact_sums`).
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from simulator.numeric.matmul import Window
from workloads.train.twins import Real, taps

LARGEST_EXACT = 2**24
"""Every integer up to here is a float32."""


def multiplier(x_scale: Real, w_scale: Real, y_scale: Real) -> Real:
    """f32(f32(s_x s_w) / s_y): what a sum of products is multiplied by (MLAS, QLinearConv)."""
    return (x_scale * w_scale) / y_scale


def fused_multiply_add(a: Real, b: Real, c: Real) -> Real:
    """Round a b + c once, to float32, where b is an integer of at most 12 bits.

    a is cut into two halves of 12 bits, whose products with b are exact; the parts are added by
    Knuth's two-sum. The last addition alone rounds, but for 1 in 2^24 of its own last place.
    """
    bits = lax.bitcast_convert_type(jnp.asarray(a, jnp.float32), jnp.int32)
    high = lax.bitcast_convert_type(bits & jnp.int32(-4096), jnp.float32)
    first, second = high * b, (a - high) * b
    total = first + c
    part = total - first
    error = (first - (total - part)) + (c - part)
    return total + (error + second)


def added(codes: tuple[Real, Real], scales: Sequence[Real], zeros: Sequence[Real]) -> Real:
    """The sum of two tensors on the output's grid, a whole number of steps before the zero point.

    `codes` are counted from 0 (zero points not subtracted); scales and zero points are those of
    a, b and y. fma(r_a, a, fma(r_b, b, c)) as `simulator.ops.qlinear_add.FusedSum`.
    """
    ratios = [scale / scales[2] for scale in scales[:2]]
    inner = fused_multiply_add(ratios[1], zeros[1], jnp.float32(0))
    offset = zeros[2] - fused_multiply_add(ratios[0], zeros[0], inner)
    total = fused_multiply_add(ratios[1], codes[1], offset)
    return jnp.rint(fused_multiply_add(ratios[0], codes[0], total)) - zeros[2]


def pooled_globally(steps: Real, x_scale: Real, y_scale: Real) -> Real:
    """The mean over the plane, unrounded: f32(sum) f32(s_x / f32(s_y n)).

    `steps` are codes less the zero point (QLinearGlobalAveragePool).
    """
    count = np.float32(steps.shape[1] * steps.shape[2])
    return steps.sum(axis=(1, 2), keepdims=True) * (x_scale / (y_scale * count))


def pooled(x: Real, over: Window, count: Any, y: tuple[Real, Real]) -> Real:
    """The mean of reals on a grid, in whole steps of `y` = (scale, zero point) less its zero point.

    Added in the order of the window in float32, as QLinearAveragePool.
    """
    real = kept_apart(x)
    total = jnp.zeros((), jnp.float32)
    for tap in taps(real, over, 0.0):
        total = total + tap
    mean = kept_apart(total / count)
    shifted = kept_apart(mean / y[0])
    return jnp.rint(shifted + y[1]) - y[1]


def multiplied(steps: tuple[Real, Real], scales: Sequence[Real], zero: Real) -> Real:
    """The product of two tensors in whole steps of y less its zero point (QLinearMul)."""
    real = kept_apart((steps[0] * steps[1]) * ((scales[0] * scales[1]) / scales[2]))
    return jnp.rint(real + zero) - zero


def exact_sums(w_steps: Any, axis: int, x_steps: int, bias: Any) -> bool:
    """Whether every partial sum of these weights' codes stays exact in float32.

    `x_steps` is the greatest magnitude of an activation's code less its zero point.
    """
    rows = np.abs(np.moveaxis(np.asarray(w_steps, np.float64), axis, 0))
    sums = rows.reshape(len(rows), -1).sum(axis=1) * x_steps + np.abs(np.asarray(bias, np.float64))
    return bool(sums.max(initial=0.0) <= LARGEST_EXACT)


def kept_apart(x: Real) -> Real:
    """The value, stored before it is used: no multiplication is fused with a later addition."""
    return lax.optimization_barrier(x)  # type: ignore[no-untyped-call]
