"""Fake quantizers: forward against `Grid`, gradients against the papers' formulas and numbers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("jax", reason="training is tried where the extra `train` is installed")

import jax
import jax.numpy as jnp

from workloads.quantize import Grid, affine, sim_quant, single
from workloads.train.arithmetic import added, fused_multiply_add
from workloads.train.fakes import affine_grid, fake, fake_weights, largest_code, weight_scale

SCALE, ZERO, TOP = np.float32(0.25), np.float32(3), 15
X = np.array([-9, -0.76, -0.75, -0.7, 0.0, 0.1, 0.126, 2.9, 3.0, 3.01, 50], np.float32)
"""Reals on, at and off the ends of the grid -0.75..3."""


def singles(low: float, high: float) -> Any:
    """Normal float32 numbers."""
    return st.floats(low, high, width=32, allow_subnormal=False)


def gradient(function: Any, *at: Any) -> Any:
    """Of the sum of its values, by each argument."""
    every = tuple(range(len(at)))
    return jax.grad(lambda *given: function(*given).sum(), argnums=every)(*at)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_values_are_those_of_the_grid(bits: int) -> None:
    """The erratum of eq. 13 is mended: `sim_quant` as printed differs."""
    draw = np.random.default_rng(bits)
    top = 2**bits - 1
    grid = Grid((0.125,), (top // 3,), 0, top)
    x = draw.normal(0, 3, 1000).astype(np.float32)
    found = fake(x, jnp.float32(0.125), jnp.float32(top // 3), 0, top)
    np.testing.assert_array_equal(np.asarray(found, np.float64), grid.fake_quantize(x))
    assert (sim_quant(x, grid, erratum_eq13=True) != np.asarray(found)).any()


def test_the_gate_is_closed_for_activations_and_open_for_weights() -> None:
    """Krishnamoorthi 2018 eq. 14-15: x_min <= x <= x_max; eq. 17: w in (w_min, w_max)."""
    by_x = gradient(lambda x: fake(x, SCALE, ZERO, 0, TOP), X)[0]
    np.testing.assert_array_equal(by_x, (X >= -0.75) & (X <= 3.0))
    w = np.array([[-1.76, -1.75, -1.7, 0.3, 1.74, 1.75, 1.8]], np.float32)
    by_w = gradient(lambda w: fake_weights(w, np.full((1, 1), SCALE), 7), w)[0]
    np.testing.assert_array_equal(by_w, (w > -1.75) & (w < 1.75))


def test_scale_and_zero_point_have_the_gradients_of_the_papers() -> None:
    """Nagel et al. 2021 section 4: round(x/s) - x/s inside, n or p outside; -s for z outside."""
    inside = (X >= -0.75) & (X <= 3.0)
    ends = np.where(X < 0, 0 - ZERO, TOP - ZERO)
    for i, x in enumerate(X):
        _, by_scale, by_zero = gradient(lambda x, s, z: fake(x, s, z, 0, TOP), x, SCALE, ZERO)
        expected = np.rint(x / SCALE) - x / SCALE if inside[i] else ends[i]
        assert by_scale == pytest.approx(expected, abs=1e-6)
        assert by_zero == (0 if inside[i] else -SCALE)


@settings(deadline=None)
@given(singles(-6, 6), singles(0.0625, 1.5), st.integers(0, 15))
def test_gradients_are_numeric_off_the_grid(x: float, s: float, z: int) -> None:
    """Along (x, s) -> (x (1 + h), s (1 + h)) no code changes: the function is smooth there.

    Its derivative is the value itself, and must be x dy/dx + s dy/ds. At the ends, where x is
    clamped, the function of s alone is smooth, and its derivative is dy/ds.
    """

    def value(x: float, s: float) -> float:
        return float(s * (np.clip(np.rint(x / s) + z, 0, 15) - z))

    by_x, by_s, _ = gradient(
        lambda x, s, z: fake(x, s, z, 0, 15), jnp.float32(x), jnp.float32(s), jnp.float32(z)
    )
    h = 1e-4
    together = (value(x * (1 + h), s * (1 + h)) - value(x * (1 - h), s * (1 - h))) / (2 * h)
    low, high = s * (0 - z), s * (15 - z)
    margin = 1e-3 * (1 + abs(x))
    if min(abs(x - low), abs(x - high)) < margin:
        return
    quotient = x / s
    if abs(quotient - np.floor(quotient) - 0.5) < 1e-3:
        return
    if low <= x <= high:
        assert x * float(by_x) + s * float(by_s) == pytest.approx(together, abs=1e-3)
    else:
        alone = (value(x, s * (1 + h)) - value(x, s * (1 - h))) / (2 * h * s)
        assert float(by_x) == 0
        assert float(by_s) == pytest.approx(alone, abs=2e-3)


def test_a_shared_scale_adds_its_gradients_up() -> None:
    """A scale for each channel takes those of its channel, one for all those of all."""
    draw = np.random.default_rng(0)
    w = draw.normal(0, 1, (3, 4, 5)).astype(np.float32)
    rows = np.array([0.1, 0.2, 0.3], np.float32).reshape(3, 1, 1)
    by_rows = gradient(lambda s: fake_weights(w, s, 7), rows)[0]
    assert by_rows.shape == (3, 1, 1)
    single = [gradient(lambda s, k=k: fake_weights(w[k], s, 7), rows[k])[0].sum() for k in range(3)]
    np.testing.assert_allclose(np.asarray(by_rows).reshape(-1), single, rtol=1e-5)


def test_stochastic_rounding_is_unbiased() -> None:
    """The noise is in steps (erratum of section 2.3); the mean of many is the value."""
    x = jnp.full(40_000, 0.30, jnp.float32)
    noise = jax.random.uniform(jax.random.key(0), x.shape, minval=-0.5, maxval=0.5)
    y = np.asarray(fake(x, SCALE, ZERO, 0, TOP, noise=noise))
    assert set(np.unique(y).tolist()) == {0.25, 0.5}
    # Of 40 000 values 0.25 or 0.5 with a deviation of 0.1: 5 sigma of the mean.
    assert y.mean() == pytest.approx(0.30, abs=5 * 0.1 / 200)


@settings(deadline=None)
@given(singles(-40, 40), singles(0, 40), st.sampled_from([2, 4, 8]))
def test_ranges_make_the_grids_of_the_post_training_quantizer(
    low: float, width: float, bits: int
) -> None:
    """`affine`, in float32: the scale to rounding, the zero point but for a tie."""
    ends = np.array([low, low + width], np.float32)
    scale, zero = affine_grid(ends[0], ends[1], 2**bits - 1)
    grid = single(affine(float(ends[0]), float(ends[1]), bits=bits))
    assert float(scale) == pytest.approx(grid.scale[0], rel=1e-6, abs=0)
    assert abs(float(zero) - grid.zero_point[0]) <= (abs(-ends[0] / scale % 1 - 0.5) < 1e-3)


def test_weight_scales_reach_the_greatest_code() -> None:
    w = np.array([[0.5, -1.5], [0, 0]], np.float32)
    scale = weight_scale(w, 0, largest_code(3))
    np.testing.assert_array_equal(np.asarray(scale), np.array([[0.5], [1]], np.float32))
    assert [largest_code(b) for b in (2, 4, 8)] == [1, 7, 127]


def test_products_are_fused_with_sums() -> None:
    """Against the exact rational sum, rounded once: 0 of 50 000 differ."""
    from simulator.numeric.float32 import fused_multiply_add as reference

    draw = np.random.default_rng(5)
    a, c = (draw.normal(0, 3, 50_000).astype(np.float32) for _ in range(2))
    b = draw.integers(0, 256, 50_000).astype(np.float32)
    found = np.asarray(jax.jit(fused_multiply_add)(a, b, c))
    np.testing.assert_array_equal(found, reference(a, b, c))


def test_sums_are_those_of_the_engines_operator() -> None:
    """Every pair of codes on grids of many scales."""
    from simulator.ops.qlinear_add import FusedSum

    draw = np.random.default_rng(6)
    a, b = (v.reshape(-1).astype(np.float32) for v in np.meshgrid(np.arange(256), np.arange(256)))
    compiled = jax.jit(added)
    for _ in range(20):
        scales = draw.uniform(0.01, 0.1, 3).astype(np.float32)
        zeros = draw.integers(0, 256, 3).astype(np.float32)
        found = np.asarray(compiled((a, b), tuple(scales), tuple(zeros))) + zeros[2]
        by = FusedSum.of(
            tuple(map(float, scales)),  # type: ignore[arg-type]
            tuple(map(int, zeros)),  # type: ignore[arg-type]
            swapped=False,
        )
        expected = by.add(a.astype(np.int64), b.astype(np.int64))
        np.testing.assert_array_equal(found, expected)
