"""The requantization kernels, value by value: exhaustive, at ties, and drawn by Hypothesis."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.graph import Array
from simulator.numeric.dialect import Rounding
from simulator.numeric.requantize import Requantize, quantize_multiplier, requantize_array
from tests.oracle import primitives as exact

INT32 = (-(2**31), 2**31 - 1)
BOUNDED = settings(max_examples=300, deadline=None, derandomize=True, database=None)
int32s = st.integers(*INT32) | st.sampled_from([*INT32, -1, 0, 1])
multipliers = st.integers(2**30, 2**31 - 1) | st.sampled_from([2**30, 2**30 + 1, 2**31 - 1])

PAIRS = (
    *((2**30, shift) for shift in (-15, -8, -1, 0, 1, 14, 30)),
    *((2**31 - 1, shift) for shift in (-31, -14, 0, 2)),
    *((1518500250, shift) for shift in (-20, -7, -1, 0, 9)),
    *((2**30 + 2**16, shift) for shift in (-13, -3)),
)


def by_pairs(rounding: Rounding, pairs: tuple[tuple[int, int], ...]) -> Requantize:
    """One channel for every (multiplier, shift), no clamp below int32."""
    scales = tuple(m * 2.0 ** (s - 31) for m, s in pairs)
    return Requantize(
        rounding, scales, tuple(m for m, _ in pairs), tuple(s for _, s in pairs), 0, *INT32
    )


def kernel(values: Array, by: Requantize) -> Array:
    """`values` through every channel of `by`: (values, channels)."""
    acc = np.repeat(values.astype(np.int32)[:, None], len(by.scale), axis=1)
    return requantize_array(acc, by, "int32")


def halves(quotient: Array, doubled_remainder: Array, divisor: int, *, away: bool) -> Array:
    """A floored quotient brought to the nearest: ties up, or away from zero."""
    ties = doubled_remainder == divisor
    up = (doubled_remainder > divisor) | (ties & ((quotient >= 0) | (not away)))
    rounded: Array = quotient + up
    return rounded


def nearest(values: Array, divisor: int, *, away: bool) -> Array:
    quotient, remainder = np.divmod(values, divisor)
    return halves(quotient, 2 * remainder, divisor, away=away)


def wide_double_round(values: Array, multiplier: int, shift: int) -> Array:
    """Both roundings as floored divisions of int64."""
    lifted = (values.astype(np.int64) * 2 ** max(shift, 0) + 2**31) % 2**32 - 2**31
    high = np.minimum(nearest(lifted * multiplier, 2**31, away=False), INT32[1])
    return nearest(high, 2 ** max(-shift, 0), away=True)


def wide_single_round(values: Array, multiplier: int, shift: int) -> Array:
    product = values.astype(np.int64) * multiplier
    total = 31 - shift
    if total <= 61:
        return nearest(product, 2**total, away=False)
    # 2^62: the product is below it, so it rounds to -1, 0 or 1 by comparison with the halves.
    return (product >= 2**61).astype(np.int64) - (product < -(2**61))


def wide_float64_away(values: Array, multiplier: int, shift: int) -> Array:
    product = values.astype(np.float64) * (multiplier * 2.0 ** (shift - 31))
    whole = np.floor(np.abs(product))
    rounded = (whole + (np.abs(product) - whole >= 0.5)) * np.sign(product)
    return rounded.astype(np.int64)


ORACLES = {
    "double_round": wide_double_round,
    "single_round": wide_single_round,
    "float64_away": wide_float64_away,
}


def assert_equal_everywhere(rounding: Rounding, values: Array, pair: tuple[int, int]) -> None:
    expected = np.clip(ORACLES[rounding](values, *pair), *INT32)
    got = kernel(values, by_pairs(rounding, (pair,)))[:, 0]
    assert np.array_equal(got, expected), (rounding, pair, values[got != expected][:3])


@pytest.mark.parametrize("rounding", ORACLES)
def test_every_16_bit_value(rounding: Rounding) -> None:
    values = np.arange(-(2**15), 2**15)
    for pair in PAIRS:
        assert_equal_everywhere(rounding, values, pair)


@pytest.mark.parametrize("rounding", ORACLES)
def test_every_shift(rounding: Rounding) -> None:
    ends = np.array([INT32[0], INT32[1]])
    powers = np.array([2**k for k in range(31)])
    values = np.concatenate([ends, powers, -powers, powers - 1, -powers - 1, 3 * powers[:29]])
    for shift in range(-31, 31):
        for multiplier in (2**30, 2**30 + 1, 1431655765, 2**31 - 1):
            assert_equal_everywhere(rounding, values, (multiplier, shift))


@pytest.mark.slow
@pytest.mark.parametrize("rounding", ORACLES)
@pytest.mark.parametrize("pair", [(2**30, -9), (1518500250, -20), (2**31 - 1, 0), (2**30, 3)])
def test_every_24_bit_value(rounding: Rounding, pair: tuple[int, int]) -> None:
    for start in range(-(2**23), 2**23, 2**20):
        assert_equal_everywhere(rounding, np.arange(start, start + 2**20), pair)


@pytest.mark.slow
@pytest.mark.parametrize("shift", range(-31, 31))
def test_random_values_at_every_shift(shift: int) -> None:
    rng = np.random.default_rng(1000 + shift)
    values = rng.integers(INT32[0], INT32[1] + 1, 2**18)
    for multiplier in (2**30, *map(int, rng.integers(2**30, 2**31, 6)), 2**31 - 1):
        for rounding in ORACLES:
            assert_equal_everywhere(rounding, values, (multiplier, shift))  # type: ignore[arg-type]


def test_the_vectorised_oracles_agree_with_the_exact_ones() -> None:
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.integers(*INT32, 300), np.arange(-40, 40), [*INT32]])
    for multiplier, shift in PAIRS:
        for value, double, single in zip(
            values.tolist(),
            wide_double_round(values, multiplier, shift).tolist(),
            wide_single_round(values, multiplier, shift).tolist(),
            strict=True,
        ):
            assert double == exact.double_round(value, multiplier, shift)
            assert single == exact.single_round(value, multiplier, shift)


@BOUNDED
@given(int32s, multipliers, st.integers(-31, 30))
def test_fixed_point_kernels_are_exact(value: int, multiplier: int, shift: int) -> None:
    for rounding, oracle in (
        ("double_round", exact.double_round),
        ("single_round", exact.single_round),
    ):
        by = by_pairs(rounding, ((multiplier, shift),))  # type: ignore[arg-type]
        expected = exact.clamp(oracle(value, multiplier, shift), *INT32)
        assert kernel(np.array([value]), by).item() == expected


@BOUNDED
@given(int32s, st.floats(2.0**-40, 1.0, exclude_min=True))
def test_the_double_kernel_rounds_the_rounded_product(value: int, scale: float) -> None:
    by = Requantize("float64_away", (scale,), (0,), (0,), 0, *INT32)
    assert kernel(np.array([value]), by).item() == exact.float64_away(value, scale)


TIES = (
    # value, multiplier, shift: 2.5 and -2.5 and so on, exactly.
    (5, 2**30, 0),
    (-5, 2**30, 0),
    (10, 2**30, -1),
    (-10, 2**30, -1),
    (1, 2**30, 0),
    (-1, 2**30, 0),
    (2**20 + 2**19, 2**30, -19),
    (-(2**20) - 2**19, 2**30, -19),
)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        ("double_round", (3, -2, 3, -3, 1, 0, 2, -2)),
        ("single_round", (3, -2, 3, -2, 1, 0, 2, -1)),
        ("float64_away", (3, -3, 3, -3, 1, -1, 2, -2)),
    ],
)
def test_ties_in_both_signs(rounding: Rounding, expected: tuple[int, ...]) -> None:
    """The first rounding of two goes up, the second away; one alone goes up; the double away."""
    for (value, *pair), wanted in zip(TIES, expected, strict=True):
        by = by_pairs(rounding, (tuple(pair),))  # type: ignore[arg-type]
        assert kernel(np.array([value]), by).item() == wanted, (value, pair)


def test_just_below_a_half_stays_below() -> None:
    """Adding 0.5 and flooring would take 0.49999999999999994 to 1."""
    by = Requantize("float64_away", (math.nextafter(0.5, 0),), (0,), (0,), 0, *INT32)
    assert kernel(np.array([1, -1]), by)[:, 0].tolist() == [0, 0]


@pytest.mark.parametrize("rounding", ORACLES)
def test_channels_zero_point_and_clamp(rounding: Rounding) -> None:
    by = Requantize(rounding, (0.5, 0.25), (2**30, 2**30), (0, -1), 7, -5, 90)
    acc = np.array([[100, 100], [1000, 1000], [-1000, -40]], dtype=np.int32)
    assert requantize_array(acc, by, "int8").tolist() == [[57, 32], [90, 90], [-5, -3]]


@BOUNDED
@given(st.floats(min_value=0, exclude_min=True, allow_infinity=False, allow_nan=False))
def test_multiplier_of_any_double(scale: float) -> None:
    assert quantize_multiplier(scale) == exact.multiplier_of(scale)


@BOUNDED
@given(st.integers(2**52, 2**53 - 1), st.integers(-90, -23))
def test_multiplier_is_the_nearest(mantissa: int, exponent: int) -> None:
    """Within half a unit of any scale below 2^30 that is not flushed to zero."""
    scale = mantissa * 2.0**exponent
    multiplier, shift = quantize_multiplier(scale)
    if multiplier:
        assert 2**30 <= multiplier < 2**31
        error = abs(Fraction(multiplier) * Fraction(2) ** (shift - 31) - Fraction(scale))
        assert error <= Fraction(2) ** (shift - 32)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (0.0, (0, 0)),
        (1.0, (2**30, 1)),
        (0.5, (2**30, 0)),
        (0.75, (3 * 2**29, 0)),
        (math.nextafter(1.0, 0.0), (2**30, 1)),
        (1 - 2.0**-31, (2**31 - 1, 0)),
        (1 - 2.0**-32, (2**30, 1)),
        (0.5 + 2.0**-32, (2**30 + 1, 0)),
        (2.0**-32, (2**30, -31)),
        (math.nextafter(2.0**-32, 0.0), (2**30, -31)),
        (2.0**-33, (0, 0)),
        (5e-324, (0, 0)),
        (2.0**30, (2**30, 31)),
        (2.0**31, (2**30, 0)),
        (2.0**40, (2**30, 9)),
    ],
)
def test_multiplier_at_the_edges(scale: float, expected: tuple[int, int]) -> None:
    """Mantissas that round to 1, vanishing scales, and shifts from 32 on, masked as x86 does."""
    assert quantize_multiplier(scale) == expected == exact.multiplier_of(scale)
