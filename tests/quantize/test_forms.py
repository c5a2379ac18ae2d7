"""The grids of the papers from ranges: ends, zero points, scales, layouts, errata."""

from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulator.errors import BadConfig, IllegalValues, Unsupported
from simulator.types import QuantParams
from tests.quantize.oracle import rounded
from workloads.quantize import (
    Grid,
    Layout,
    affine,
    float32_scales,
    from_quant_params,
    per_channel,
    per_group,
    power_of_two,
    quantize_stochastic,
    sim_quant,
    single,
    symmetric,
    to_quant_params,
)
from workloads.quantize.zero_points import max_taps

FINITE = st.floats(-1e30, 1e30, allow_subnormal=False)


@settings(deadline=None)
@given(FINITE, FINITE, st.integers(1, 16), st.booleans())
def test_affine_holds_zero_and_the_range(a: float, b: float, bits: int, signed: bool) -> None:
    low, high = min(a, b), max(a, b)
    grid = affine(low, high, bits=bits, signed=signed)
    (scale,), (zero,) = grid.scale, grid.zero_point
    assert (grid.low, grid.high) == ((-(2 ** (bits - 1)) if signed else 0), grid.low + 2**bits - 1)
    least, most = min(low, 0.0), max(high, 0.0)
    if least < most:
        assert scale == pytest.approx((most - least) / (2**bits - 1), rel=1e-15)
        assert zero - grid.low == rounded(Fraction(-least) / Fraction(scale), "half_even")
    assert grid.fake_quantize(np.zeros(1)) == 0
    bottom, top = (float(v[0]) for v in grid.ends())
    slack = scale / 2 * (1 + 1e-9)
    assert abs(bottom - least) <= slack
    assert abs(top - most) <= slack or least == most == 0


def test_affine_by_hand() -> None:
    """[-1, 2] in 2 bits: step 1, zero point 1; signed codes lie two lower."""
    grid = affine(-1.0, 2.0, bits=2)
    assert (grid.scale, grid.zero_point, grid.low, grid.high) == ((1.0,), (1,), 0, 3)
    x = np.array([-3.0, -1.0, -0.5, 0.5, 1.5, 9.0])
    assert grid.quantize(x).tolist() == [0, 0, 1, 1, 3, 3]
    lower = affine(-1.0, 2.0, bits=2, signed=True)
    assert lower.quantize(x).tolist() == [-2, -2, -1, -1, 1, 1]
    assert lower.fake_quantize(x).tolist() == grid.fake_quantize(x).tolist()


@pytest.mark.parametrize(
    ("options", "codes", "scale"),
    [
        ({"bits": 8}, (-128, 127), 3 / 127),
        ({"bits": 8, "restricted": True}, (-127, 127), 3 / 127),
        ({"bits": 8, "signed": False}, (0, 255), 2 / 255),
        ({"bits": 8, "signed": False, "restricted": True}, (0, 254), 2 / 254),
        ({"bits": 2, "restricted": True}, (-1, 1), 3.0),
        ({"bits": 1}, (-1, 0), 3.0),
        ({"bits": 1, "signed": False}, (0, 1), 2.0),
        ({"bits": 16}, (-32768, 32767), 3 / 32767),
    ],
)
def test_symmetric_ends(options: dict[str, int], codes: tuple[int, int], scale: float) -> None:
    grid = symmetric(-3.0, 2.0, **options)  # type: ignore[arg-type]
    assert ((grid.low, grid.high), grid.scale, grid.zero_point) == (codes, (scale,), (0,))


def test_restricted_pairs_stay_in_16_bits() -> None:
    """Two products of 8-bit codes: 2 * 127 * 128 = 32512 fits int16, 2 * 128 * 128 does not."""
    every = np.arange(-128, 128)
    restricted, full = (symmetric(-1, 1, bits=8, restricted=r) for r in (True, False))
    for grid, fits in ((restricted, True), (full, False)):
        w = np.unique(grid.quantize(np.linspace(-2, 2, 1001)))
        pairs = np.add.outer(np.outer(w, every).reshape(-1)[::7], np.outer(w, every).max())
        assert (max(pairs.max(), 2 * np.outer(w, every).max()) < 2**15) == fits
        assert (max_taps((grid.low, grid.high), (-128, 127), 16) >= 2) == fits


@settings(deadline=None)
@given(
    st.floats(1e-30, 1e30), st.integers(2, 16), st.integers(-60, 60), st.sampled_from([-1, 0, 1])
)
def test_power_of_two_is_the_least_that_reaches(
    bound: float, bits: int, exponent: int, beside: int
) -> None:
    top = 2 ** (bits - 1) - 1
    # The bound of a whole number of steps, and the floats beside it.
    exact = top * 2.0**exponent
    whole = exact if not beside else float(np.nextafter(exact, beside * np.inf))
    for high in (bound, whole):
        (scale,) = power_of_two(-high, high, bits=bits).scale
        assert np.frexp(scale)[0] == 0.5
        assert Fraction(scale) * top >= Fraction(high) > Fraction(scale) / 2 * top


def test_no_range_is_exact_on_any_grid() -> None:
    for form in (affine, symmetric, power_of_two):
        grid = form(0.0, 0.0, bits=8)
        assert grid.scale == (1.0,)
        assert grid.fake_quantize(np.zeros(3)).tolist() == [0, 0, 0]


def test_bits_and_ranges_are_checked() -> None:
    with pytest.raises(BadConfig, match="bits must be 1 to 16 for this grid; found 17"):
        affine(0, 1, bits=17)
    with pytest.raises(BadConfig, match="bits must be 2 to 16 for this grid; found 1"):
        symmetric(0, 1, bits=1, restricted=True)
    with pytest.raises(IllegalValues, match="low <= high; found 1 and 0"):
        affine(1, 0, bits=8)
    with pytest.raises(IllegalValues, match="must be finite"):
        symmetric(0, np.inf, bits=8)


@pytest.mark.parametrize("layout", [per_channel(0), per_channel(-1), per_channel(1)])
def test_per_channel_is_per_tensor_of_each_channel(layout: Layout) -> None:
    x = np.random.default_rng(3).standard_normal((4, 3, 5)) * np.array([1, 10, 100])[:, None]
    low, high = layout.reduce(np.minimum, x), layout.reduce(np.maximum, x)
    codes = affine(low, high, bits=4, layout=layout).quantize(x)
    assert layout.axis is not None
    for c in range(x.shape[layout.axis]):
        part = x.take(c, layout.axis)
        alone = affine(part.min(), part.max(), bits=4).quantize(part)
        assert codes.take(c, layout.axis).tolist() == alone.tolist()


@pytest.mark.parametrize(
    ("axis", "group_axis", "size"), [(0, 3, 4), (3, 0, 2), (0, 3, 100), (None, 3, 3), (-4, -1, 1)]
)
def test_per_group_is_per_tensor_of_each_block(
    axis: int | None, group_axis: int, size: int
) -> None:
    x = np.random.default_rng(4).standard_normal((5, 2, 3, 10))
    layout = per_group(axis, group_axis, size)
    low, high = layout.reduce(np.minimum, x), layout.reduce(np.maximum, x)
    grid = symmetric(low, high, bits=3, layout=layout)
    codes = grid.quantize(x)
    front = np.moveaxis(x, (0 if axis is None else axis, group_axis), (0, 1))
    moved = np.moveaxis(codes, (0 if axis is None else axis, group_axis), (0, 1))
    channels = [slice(None)] if axis is None else [slice(c, c + 1) for c in range(x.shape[axis])]
    parameters = 0
    for channel in channels:
        for start in range(0, x.shape[group_axis], size):
            part = front[channel, start : start + size]
            alone = symmetric(part.min(), part.max(), bits=3)
            assert grid.scale[parameters] == alone.scale[0]
            found = moved[channel, start : start + size]
            assert found.tolist() == alone.quantize(part).tolist()
            parameters += 1
    assert parameters == len(grid.scale) == layout.count(x.shape)


def test_a_layout_that_does_not_fit_is_refused() -> None:
    grid = symmetric(np.zeros(3), np.ones(3), bits=8, layout=per_channel(0))
    with pytest.raises(IllegalValues, match="3 parameters for a tensor of shape"):
        grid.quantize(np.zeros((4, 3)))
    with pytest.raises(BadConfig, match="groups need a group_axis and a group_size"):
        Layout(0, group_size=3)
    with pytest.raises(BadConfig, match="axes of their own; found 1 twice"):
        per_group(1, 1, 4)


def test_erratum_of_equation_13() -> None:
    """As printed, s clamp(round(x/s) - z, 0, N-1): another function but where z = 0."""
    x = np.linspace(-3, 3, 61)
    grid = affine(-1.0, 2.0, bits=4)
    (s,), (z,) = grid.scale, grid.zero_point
    printed = sim_quant(x, grid, erratum_eq13=True)
    assert printed.tolist() == (s * np.clip(grid_steps(x, s) - z, 0, 15)).tolist()
    right = sim_quant(x, grid)
    assert right.tolist() == (s * (np.clip(grid_steps(x, s) + z, 0, 15) - z)).tolist()
    inside = (x >= -1) & (x <= 2)
    assert np.abs(right - x)[inside].max() <= s / 2 * 1.001
    assert np.abs(printed - x)[inside].max() >= 1
    relu = affine(0.0, 2.0, bits=4)
    assert sim_quant(x, relu, erratum_eq13=True).tolist() == sim_quant(x, relu).tolist()


def grid_steps(x: NDArray[np.float64], scale: float) -> NDArray[np.int64]:
    return np.array([rounded(Fraction(v) / Fraction(scale), "half_even") for v in x.tolist()])


def test_stochastic_rounding_is_unbiased_and_seeded() -> None:
    grid = symmetric(-1, 1, bits=4)
    (s,) = grid.scale
    x = np.repeat([0.3 * s, 2.5 * s, -5.1 * s], 40000).reshape(3, -1)
    codes = quantize_stochastic(x, grid, np.random.default_rng(7))
    assert codes.tolist() == quantize_stochastic(x, grid, np.random.default_rng(7)).tolist()
    assert codes.tolist() != quantize_stochastic(x, grid, np.random.default_rng(8)).tolist()
    # Neighbours alone, in shares of the distance: 5 standard errors of the mean of 40 000.
    assert np.abs(codes - x / s).max() < 1
    assert np.abs(codes.mean(axis=1) - [0.3, 2.5, -5.1]).max() < 5 * 0.5 / 200


def test_erratum_of_the_stochastic_quantizer() -> None:
    """As printed the noise is not in units of a step: right at scale 1, too wide below, none above.

    At scale 4 a value of 0.3 steps never moves, though it should go up three times in ten.
    """
    x = np.full(1000, 1.2)

    def spread(scale: float, erratum: bool) -> set[int]:
        grid = Grid((scale,), (0,), -128, 127)
        generator = np.random.default_rng(1)
        return set(quantize_stochastic(x, grid, generator, erratum_noise=erratum).tolist())

    assert spread(1.0, True) == spread(1.0, False) == {1, 2}
    assert spread(4.0, False) == {0, 1}
    assert spread(4.0, True) == {0}
    assert len(spread(0.1, False)) <= 2
    assert len(spread(0.1, True)) == 11


def test_to_and_from_the_grid_of_a_tensor() -> None:
    form = partial(affine, bits=8, signed=True, layout=per_channel(0))
    grid = form(np.array([-1.0, -0.1]), np.array([2.0, 0.3]))
    with pytest.raises(Unsupported, match="scales are float32"):
        to_quant_params(grid)
    params = to_quant_params(single(grid))
    assert params == QuantParams(single(grid).scale, grid.zero_point, 0)
    assert from_quant_params(params, -128, 127) == single(grid)
    made = float32_scales(partial(affine, bits=8, signed=True))
    assert made(np.array([-1.0, -0.1]), np.array([2.0, 0.3]), layout=per_channel(0)) == single(grid)
    assert single(symmetric(0, 1e-50, bits=8)).scale == (float(np.finfo(np.float32).tiny),)
    with pytest.raises(Unsupported, match="per group"):
        to_quant_params(Grid((1.0,), (0,), 0, 1, layout=per_group(0, 1, 2)))
