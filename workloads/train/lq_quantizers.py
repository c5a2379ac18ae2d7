"""Learned quantizers of LQ-Nets in JAX: `simulator.numeric.levels` and `workloads.quantize.lq`.

Zhang et al., ECCV 2018, arXiv 1807.10029, section 3. Rows of values with a basis each; levels,
thresholds and fits in float64, as the engine has them: called with x64 enabled. A float32 below
the least normal number counts as 0 where XLA flushes it.
"""

from typing import Final

import jax
import jax.numpy as jnp
from jax import lax

from simulator.numeric.levels import CodeSet, signs
from workloads.train.twins import Real

SINGULAR: Final = 1e-12
"""As in `workloads.quantize.lq`: below it a fit leaves a direction as it was."""


@jax.custom_vjp
def straight_through(found: Real, real: Real) -> Real:
    """The first value forward; the second one's gradient backward."""
    return found


def _forward(found: Real, real: Real) -> tuple[Real, None]:
    return found, None


def _backward(_: None, g: Real) -> tuple[Real, Real]:
    return jnp.zeros_like(g), g


straight_through.defvjp(_forward, _backward)


def reached(basis: Real, code_set: CodeSet) -> tuple[Real, Real]:
    """Levels (rows, 2^K) of bases (rows, K), ascending, and their codes."""
    each = signs(basis.shape[-1], code_set)
    total = jnp.zeros((*basis.shape[:-1], len(each)), jnp.float64)
    for j in range(basis.shape[-1]):
        # Products with -1, 0 and 1 are exact: one rounding a term, as in the engine.
        total = total + basis[..., j, None] * each[:, j]
    order = jnp.argsort(total, axis=-1, stable=True)
    return jnp.take_along_axis(total, order, axis=-1), order


def encode(x: Real, basis: Real, code_set: CodeSet) -> tuple[Real, Real]:
    """Codes of rows x (rows, values) and their levels, float64; a midpoint belongs below."""
    levels, order = reached(basis, code_set)
    limits, wide = (levels[:, :-1] + levels[:, 1:]) / 2, x.astype(jnp.float64)

    def above(k: Real, place: Real) -> Real:
        return place + (wide > lax.dynamic_slice_in_dim(limits, k, 1, axis=1))

    place = lax.fori_loop(0, limits.shape[1], above, jnp.zeros(x.shape, jnp.int32))
    found = jnp.take_along_axis(levels, place, axis=1)
    return jnp.take_along_axis(order, place, axis=1), found


def planes(codes: Real, bits: int, code_set: CodeSet) -> Real:
    """What each bit of the codes stands for, (bits, *codes), float32."""
    each = jnp.stack([(codes >> j) & 1 for j in range(bits)]).astype(jnp.float32)
    return each if code_set == "binary" else 2 * each - 1


def moments(x: Real, codes: Real, bits: int, code_set: CodeSet) -> tuple[Real, Real]:
    """B'B (rows, K, K) and B'x (rows, K) of the signs B of rows of codes, float64."""
    b = planes(codes, bits, code_set).astype(jnp.float64)
    return jnp.einsum("irm,jrm->rij", b, b), jnp.einsum("irm,rm->ri", b, x.astype(jnp.float64))


def fitted(found: tuple[Real, Real], old: Real, ridge: Real) -> Real:
    """Bases of least squares: (B'B + ridge I) v = B'x + ridge v_old, from `moments`."""
    square = found[0] + ridge * jnp.eye(old.shape[-1])
    gap = found[1] + ridge * old - jnp.einsum("rij,rj->ri", square, old)
    inverse = jnp.linalg.pinv(square, rtol=SINGULAR, hermitian=True)
    return old + jnp.einsum("rij,rj->ri", inverse, gap)


def moved(old: Real, new: Real, decay: Real) -> Real:
    """The moving average of bases."""
    return decay * old + (1 - decay) * new


def gated(x: Real, levels: Real, code_set: CodeSet) -> Real:
    """X up to the top level and no gradient above; on {-1, 1} none below the least level either.

    LQ-Nets section 3.3, whose activations lie behind a ReLU.
    """
    inside = x <= levels.max()
    inside = inside if code_set == "binary" else inside & (x >= levels.min())
    return jnp.where(inside, x, lax.stop_gradient(x))


def rows_of(x: Real, axis: int) -> Real:
    """(channels, values of each)."""
    return jnp.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def shaped(rows: Real, axis: int, shape: tuple[int, ...]) -> Real:
    """Rows of channels in the shape of the weights."""
    sides = [shape[axis], *(n for k, n in enumerate(shape) if k != axis)]
    return jnp.moveaxis(rows.reshape(sides), 0, axis)
