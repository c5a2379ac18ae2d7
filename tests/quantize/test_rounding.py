"""Codes against rational arithmetic: 0 mismatches, on ties and one float beside them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulator.errors import BadConfig, IllegalValues
from simulator.numeric.rounding import round_half_away, round_half_even
from tests.quantize.oracle import code
from workloads.quantize import ROUNDINGS, Grid, Rounding
from workloads.quantize.rounding import round_product, round_quotient

SCALES = (2.0**-7, 0.1, float(np.float32(1 / 3)), 1.7e-310)


def edges(scale: float, low: int, high: int) -> NDArray[np.float64]:
    """The floats at, just below and just above every whole and half step from low to high."""
    steps = np.arange(2 * low - 3, 2 * high + 4) / 2
    with np.errstate(under="ignore"):
        near = steps * scale
    return np.concatenate([np.nextafter(near, -np.inf), near, np.nextafter(near, np.inf)])


@pytest.mark.parametrize("bits", range(2, 17))
def test_every_code_and_tie_is_that_of_the_rationals(bits: int) -> None:
    low = -(2 ** (bits - 1)) if bits % 2 else 0
    high, zero = low + 2**bits - 1, low + 2**bits // 3
    for scale in SCALES if bits <= 10 else SCALES[bits % 3 :: 3]:
        x = edges(scale, low - zero, high - zero)
        ratios = [v.as_integer_ratio() for v in x.tolist()]
        over, under = scale.as_integer_ratio()
        # floor and rest of x / scale = (n under) / (d over), once for the four rules.
        parts = [(*divmod(n * under, d * over), d * over) for n, d in ratios]
        for rule in ROUNDINGS:
            found = Grid((scale,), (zero,), low, high, rule).quantize(x)
            wanted = [by(whole, 2 * rest, whole_step, rule) for whole, rest, whole_step in parts]
            assert found.tolist() == np.clip(np.array(wanted) + zero, low, high).tolist()


def by(whole: int, twice: int, step: int, rule: str) -> int:
    """Whole + twice / (2 step) rounded by a rule, on integers."""
    if rule == "floor" or twice < step:
        return whole
    if twice > step:
        return whole + 1
    up = {"half_even": whole % 2 == 1, "half_away": whole >= 0, "half_up": True}[rule]
    return whole + up


def test_float_division_alone_would_err() -> None:
    """Why the remainder is looked at: the quotient of two floats falls on ties that are none."""
    x = edges(0.1, 0, 255)
    exact = Grid((0.1,), (0,), 0, 255, "half_even").quantize(x)
    naive = np.clip(np.rint(x / 0.1), 0, 255)
    assert np.count_nonzero(exact != naive) > 50


@settings(max_examples=500, deadline=None)
@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(5e-324, 1.7e308),
    st.sampled_from(ROUNDINGS),
    st.integers(-128, 127),
)
def test_any_floats(x: float, scale: float, rule: Rounding, zero: int) -> None:
    """Subnormal and huge ones: quotients that underflow, and that overflow, keep their sign."""
    grid = Grid((scale,), (zero,), -128, 127, rule)
    assert grid.quantize(np.array([x])).tolist() == [code(x, scale, zero, -128, 127, rule)]


@settings(max_examples=300, deadline=None)
@given(st.integers(-300, 300), st.floats(1e-300, 1e300), st.sampled_from(ROUNDINGS))
def test_any_scale_near_its_ties(half_steps: int, scale: float, rule: Rounding) -> None:
    near = half_steps / 2 * scale
    x = np.array([near, np.nextafter(near, np.inf), np.nextafter(near, -np.inf)])
    wanted = [code(v, scale, 0, -200, 200, rule) for v in x.tolist()]
    assert Grid((scale,), (0,), -200, 200, rule).quantize(x).tolist() == wanted


def test_the_rules_are_those_of_the_engine() -> None:
    halves = np.arange(-9, 10) / 2
    one = np.array(1.0)
    even, away = (round_quotient(halves, one, r) for r in ("half_even", "half_away"))
    assert even.tolist() == [round_half_even(v) for v in halves]
    assert away.tolist() == [round_half_away(v) for v in halves]
    assert round_quotient(halves, one, "half_up").tolist() == np.floor(halves + 0.5).tolist()
    assert round_product(halves, one, "floor").tolist() == np.floor(halves).tolist()


def test_infinity_saturates_and_nan_is_refused() -> None:
    grid = Grid((1e-3,), (3,), -128, 127)
    assert grid.quantize(np.array([-np.inf, np.inf])).tolist() == [-128, 127]
    with pytest.raises(IllegalValues, match="NaN has no code"):
        grid.quantize(np.array([0.0, np.nan]))


def test_a_grid_that_is_none_is_refused() -> None:
    with pytest.raises(BadConfig, match="half_even, half_away, half_up, floor; found 'nearest'"):
        Grid((1.0,), (0,), 0, 1, "nearest")  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="positive and finite; found 0"):
        Grid((1.0, 0.0), (0, 0), 0, 1)
    with pytest.raises(BadConfig, match="1 scales and 2 zero points"):
        Grid((1.0,), (0, 0), 0, 1)
    with pytest.raises(BadConfig, match="ascend"):
        Grid((1.0,), (0,), 1, 0)
