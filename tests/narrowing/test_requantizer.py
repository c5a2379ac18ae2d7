"""A machine's requantizer: multipliers of any width, against integers of that width."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.numeric.datapath import Datapath, Requantizer
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.numeric.requantizer import override

SCALES = st.floats(2.0**-12, 0.49)
SUMS = st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=8)


def multiplier(scale: float, bits: int) -> tuple[int, int]:
    """(m, n) with scale ~ m / 2^n, m of `bits` with its sign: 2^(bits - 2) <= m < 2^(bits - 1)."""
    n = 0
    exact = Fraction(scale)
    while exact * 2**n < 2 ** (bits - 2):
        n += 1
    m = floor(exact * 2**n + Fraction(1, 2))
    return (m, n) if m < 2 ** (bits - 1) else (m // 2, n - 1)


def away(value: Fraction) -> int:
    """The nearest integer, ties away from zero."""
    return floor(value + Fraction(1, 2)) if value >= 0 else -floor(-value + Fraction(1, 2))


def graphs_own(scale: float) -> Requantize:
    """What a graph might name."""
    return make_requantize("double_round", (scale,), 3, -128, 127)


@given(SCALES, SUMS, st.integers(2, 32))
@settings(max_examples=200, deadline=None)
def test_single_rounding_of_any_width(scale: float, sums: list[int], bits: int) -> None:
    found = override(graphs_own(scale), Requantizer(bits, "single_round"))
    m, n = multiplier(scale, bits)
    expected = [min(max(((acc * m + (1 << (n - 1))) >> n) + 3, -128), 127) for acc in sums]
    got = requantize_array(np.array([sums], np.int64).T, found, "int8")
    assert got.ravel().tolist() == expected


@given(SCALES, SUMS, st.integers(2, 32))
@settings(max_examples=200, deadline=None)
def test_double_rounding_of_any_width(scale: float, sums: list[int], bits: int) -> None:
    found = override(graphs_own(scale), Requantizer(bits, "double_round"))
    m, n = multiplier(scale, bits)
    # The first rounding keeps the bits above the multiplier's fraction, ties up.
    high = [(acc * m + (1 << (bits - 2))) >> (bits - 1) for acc in sums]
    expected = [away(Fraction(h, 2 ** (n - bits + 1))) for h in high]
    got = requantize_array(np.array([sums], np.int64).T, found, "int8")
    assert got.ravel().tolist() == [min(max(y + 3, -128), 127) for y in expected]


@pytest.mark.parametrize("rounding", ["float32_even", "float64_away", "q15_round", "double_round"])
def test_the_rounding_alone(rounding: str) -> None:
    by = Requantizer(32, rounding)  # type: ignore[arg-type]
    expected = make_requantize(rounding, (0.0123, 0.5), 3, -128, 127)  # type: ignore[arg-type]
    own = make_requantize("single_round", (0.0123, 0.5), 3, -128, 127)
    assert override(own, by) == expected


def test_raw_sums_stay_raw_and_the_graphs_rounding_stays() -> None:
    raw = make_requantize("none", (1.0,), 0, -(2**31), 2**31 - 1)
    assert override(raw, Requantizer(4, "single_round")) is raw
    assert override(graphs_own(0.1), Requantizer(32)) == graphs_own(0.1)
    assert override(graphs_own(0.1), Requantizer(9)).rounding == "double_round"
    assert override(graphs_own(0.75), Requantizer(2)).scale == (1.0,)


@pytest.mark.parametrize(
    ("bits", "rounding"), [(1, None), (33, "single_round"), (16, "float32_even")]
)
def test_widths_that_no_multiplier_has(bits: int, rounding: str | None) -> None:
    with pytest.raises(ValueError, match=r"multiplier_bits must be 2\.\.32"):
        Requantizer(bits, rounding)  # type: ignore[arg-type]


def test_a_32_bit_multiplier_takes_no_wider_sum() -> None:
    with pytest.raises(ValueError, match="takes accumulators of up to 32 bits; found 33"):
        Datapath(accumulator_bits=33, requantize=Requantizer(16, "single_round"))
    assert Datapath(accumulator_bits=48, requantize=Requantizer(32, "q15_round"))
