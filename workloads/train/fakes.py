"""Fake quantization with gradients: reals onto a grid and straight through.

Forward y = s (clamp(round(x / s) + z, low, high) - z), ties to even: Krishnamoorthi 2018 (arXiv
1806.08342) section 2.4, eq. 12-13 with its erratum mended (z is added, and subtracted behind the
clamp). Backward, with x_min = s (low - z) and x_max = s (high - z):

* dy/dx = 1 where x_min <= x <= x_max, else 0 (eq. 14-15); open at both ends for weights (eq. 17).
* dy/ds = round(x / s) - x / s inside; low - z or high - z outside (Nagel et al. 2021, arXiv
  2106.08295, section 4).
* dy/dz = 0 inside, -s outside.
"""

from functools import partial
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from workloads.train.twins import Real


@partial(jax.custom_vjp, nondiff_argnums=(6,))
def on_grid(
    x: Real, steps: Real, scale: Real, zero: Real, low: Real, high: Real, open_gate: bool
) -> Real:
    """The value on the grid whose code is clamp(round(steps) + zero, low, high).

    `steps` is x / scale as the integer network computes it (with noise, for stochastic rounding);
    gradients are those of x / scale. `scale` and `zero` broadcast against x; zero, low and high
    hold integers in float32.
    """
    return scale * jnp.rint(jnp.clip(steps, low - zero, high - zero))


def _forward(
    x: Real, steps: Real, scale: Real, zero: Real, low: Real, high: Real, open_gate: bool
) -> tuple[Real, Any]:
    kept = (x, steps, scale, zero, jnp.float32(low), jnp.float32(high))
    return on_grid(x, steps, scale, zero, low, high, open_gate), kept


def _backward(open_gate: bool, kept: Any, g: Real) -> tuple[Real, ...]:
    x, steps, scale, zero, low, high = kept
    least, most = scale * (low - zero), scale * (high - zero)
    below, above = (x <= least, x >= most) if open_gate else (x < least, x > most)
    # The scale's gradient is clipped where the value is: at an end itself both forms agree.
    under, over = x < least, x > most
    residual = jnp.rint(jnp.clip(steps, low - zero, high - zero)) - x / scale
    by_scale = jnp.where(under, low - zero, jnp.where(over, high - zero, residual))
    by_zero = jnp.where(under | over, -scale, 0.0)
    return (
        jnp.where(below | above, 0.0, g),
        jnp.zeros_like(steps),
        _summed(g * by_scale, scale),
        _summed(g * by_zero, zero),
        jnp.zeros_like(low),
        jnp.zeros_like(high),
    )


on_grid.defvjp(_forward, _backward)


def _summed(gradient: Real, like: Real) -> Real:
    """The gradient of a parameter that was broadcast: summed to its shape."""
    shape = jnp.shape(like)
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    axes = tuple(k for k, n in enumerate(shape) if n == 1 and gradient.shape[k] != 1)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape).astype(jnp.result_type(like))


TINY: Final = float(np.finfo(np.float32).tiny)
"""The least normal float32: no scale is smaller."""


def fake(x: Real, scale: Real, zero: Real, low: Real, high: Real, *, noise: Real = 0.0) -> Real:
    """X on the grid; with noise from [-1/2, 1/2) steps, rounded stochastically.

    Krishnamoorthi 2018 section 2.3 with its erratum mended: the noise is in steps, not in reals.
    """
    low, high = jnp.float32(low), jnp.float32(high)
    return on_grid(x, x / scale + noise, scale, zero, low, high, False)


def fake_weights(w: Real, scale: Real, largest: Real, *, noise: Real = 0.0) -> Real:
    """Weights on the symmetric grid -largest..largest, the gate open at its ends."""
    top, zero = jnp.float32(largest), jnp.zeros_like(scale)
    return on_grid(w, w / scale + noise, scale, zero, -top, top, True)


def rounded(x: Real) -> Real:
    """round(x), ties to even; the gradient passes."""
    return x + jax.lax.stop_gradient(jnp.rint(x) - x)


def codes(x: Real, scale: Real) -> Real:
    """The integer x / scale of a value on a grid of that scale, float32; differentiable in x.

    Exact: the quotient is within a few units in the last place of an integer below 2^22.
    """
    quotient = x / jax.lax.stop_gradient(scale)
    # b - a is exact for neighbours a and b (Sterbenz), and so is a + (b - a).
    return quotient + jax.lax.stop_gradient(jnp.rint(quotient) - quotient)


def largest_code(bits: int) -> int:
    """The greatest code of a symmetric grid without its least code: 2^(bits-1) - 1, 1 at least."""
    return max((1 << (bits - 1)) - 1, 1)


def weight_scale(w: Real, axis: int | None, largest: Real) -> Real:
    """The largest magnitude of each channel (of all, where `axis` is None) at the greatest code.

    Broadcasts against w; 1 for a channel of zeros. No gradient passes.
    """
    axes = tuple(k for k in range(w.ndim) if k != axis)
    bound = jax.lax.stop_gradient(jnp.max(jnp.abs(w), axis=axes, keepdims=True))
    return jnp.where(bound > 0, bound / largest, 1.0).astype(jnp.float32)


def affine_grid(low: Real, high: Real, top: Real) -> tuple[Real, Real]:
    """Scale and zero point of codes 0..top over a range extended to hold 0, float32.

    As `workloads.quantize.affine`: z = round(-low / s), so either end may move by half a step.
    """
    low, high = jnp.minimum(low, 0.0), jnp.maximum(high, 0.0)
    scale = jnp.maximum((high - low) / top, TINY)
    scale = jnp.where(high > low, scale, 1.0).astype(jnp.float32)
    return scale, jnp.clip(jnp.rint(-low / scale), 0, top)
