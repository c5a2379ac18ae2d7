"""A requantizer's stages: the last is the engine's kernel, each follows from the one before."""

from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.golden_corners import corner_accumulators
from analysis.golden_stages import stages
from simulator.numeric.dialect import Rounding
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from tests.oracle import primitives as exact

ROUNDINGS = [r for r in get_args(Rounding) if r != "none"]
FIXED = [r for r in ROUNDINGS if not r.startswith("float")]
BOUNDED = settings(max_examples=200, deadline=None, derandomize=True, database=None)
scales = st.floats(2.0**-24, 2.0**3) | st.sampled_from([2.0**-1, 2.0**-7, 2.0**-20, 1.0, 4.0])
int32s = st.integers(-(2**31), 2**31 - 1) | st.integers(-40000, 40000)


@st.composite
def requantizers(draw: st.DrawFn) -> Requantize:
    low = draw(st.integers(-128, 0))
    chosen = tuple(draw(st.lists(scales, min_size=1, max_size=4)))
    zero_point = draw(st.integers(-128, 127))
    return make_requantize(draw(st.sampled_from(ROUNDINGS)), chosen, zero_point, low, 127)


@BOUNDED
@given(requantizers(), st.data())
def test_the_last_stage_is_the_engine_s_output(by: Requantize, data: st.DataObject) -> None:
    channels = len(by.scale)
    row = st.lists(int32s, min_size=channels, max_size=channels)
    drawn = np.array(data.draw(st.lists(row, min_size=1, max_size=20)), dtype=np.int64)
    for accumulators in (drawn, corner_accumulators(by, 32)):
        found = stages(accumulators, by, 8)
        assert np.array_equal(found[-1].values, requantize_array(accumulators, by, "int64"))
        assert (found[-1].name, found[-1].bits) == ("clamped", 8)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_16_bit_accumulator_comes_out_as_the_engine_s(rounding: Rounding) -> None:
    """All 65536 of them, through scales with and without ties."""
    by = make_requantize(rounding, (2.0**-8, 0.0123, 2.0**-15, 0.37, 1.7), -7, -128, 127)
    every = np.arange(-(2**15), 2**15, dtype=np.int64)[:, None].repeat(5, axis=1)
    found = stages(every, by, 8)
    assert np.array_equal(found[-1].values, requantize_array(every, by, "int64"))


def test_wide_accumulators_of_16_bit_activations() -> None:
    by = make_requantize("q15_round", (2.0**-20, 3.1e-7), 0, -(2**15), 2**15 - 1)
    rng = np.random.default_rng(2)
    wide = rng.integers(-(2**46), 2**46, (500, 2))
    assert np.array_equal(stages(wide, by, 16)[-1].values, requantize_array(wide, by, "int64"))


@BOUNDED
@given(st.integers(-(2**31), 2**31 - 1), scales, st.integers(-128, 127))
def test_stages_of_the_double_rounding_by_their_definition(
    acc: int, scale: float, zero_point: int
) -> None:
    by = make_requantize("double_round", (scale,), zero_point, -128, 127)
    found = {s.name: int(s.values[0, 0]) for s in stages(np.array([[acc]]), by, 8)}
    multiplier, shift = exact.multiplier_of(scale)
    shifted = exact.wrap(acc * 2 ** max(shift, 0), 32)
    high = exact.srdhm(shifted, multiplier)
    rounded = exact.rdbpot(high, max(-shift, 0))
    assert found == {
        "shifted": shifted,
        "product": shifted * multiplier,
        "high": high,
        "rounded": rounded,
        "offset": rounded + zero_point,
        "clamped": exact.clamp(rounded + zero_point, -128, 127),
    }


@BOUNDED
@given(requantizers(), st.integers(-(2**31), 2**31 - 1))
def test_every_stage_fits_the_bits_it_states(by: Requantize, acc: int) -> None:
    for stage in stages(np.full((1, len(by.scale)), acc), by, 8):
        if stage.values.dtype.kind == "f":
            assert stage.bits == 8 * stage.values.dtype.itemsize
        else:
            half = 2 ** (stage.bits - 1)
            assert -half <= int(stage.values.min())
            assert int(stage.values.max()) < half


@pytest.mark.parametrize("scale", [2.0**-9, 0.00371, 0.0009, 2.0**-13 * 1.5])
@pytest.mark.parametrize("rounding", ["double_round", "double_round_up"])
def test_corners_hold_ties_of_the_second_rounding(rounding: Any, scale: float) -> None:
    """For any multiplier, of either sign, inside the clamps; there the two tie rules part."""
    by = make_requantize(rounding, (scale,), 3, -128, 127)
    corners = corner_accumulators(by, 32)
    named = {s.name: s.values[:, 0] for s in stages(corners, by, 8)}
    right = -by.shift[0]
    tie = named["high"] % 2**right == 2 ** (right - 1)
    inside = (named["clamped"] > -128) & (named["clamped"] < 127)
    assert (tie & inside & (named["high"] > 0)).any()
    assert (tie & inside & (named["high"] < 0)).any()
    away = rounding == "double_round"
    for high, rounded in zip(named["high"][tie], named["rounded"][tie], strict=True):
        real = Fraction(int(high), 2**right)
        assert rounded == (exact.half_away(real) if away else exact.half_up(real))


@pytest.mark.parametrize("rounding", FIXED)
def test_corners_hold_ties_of_the_product_s_rounding(rounding: Any) -> None:
    """An accumulator of 32 bits holds one wherever the multiplier has few enough odd bits."""
    by = make_requantize(rounding, (2.0**-9 * 1.25,), 0, -128, 127)
    by = Requantize(rounding, by.scale, by.multiplier, by.shift, 0, -(2**31), 2**31 - 1)
    corners = corner_accumulators(by, 32)
    named = {s.name: s.values[:, 0] for s in stages(corners, by, 32)}
    bits = {"double_round": 31, "double_round_up": 31, "q15_round": 15 - by.shift[0]}
    total = bits.get(rounding, 31 - by.shift[0])
    ties = corners[:, 0][named["product"] % 2**total == 2 ** (total - 1)]
    assert {1, -1} <= set(np.sign(ties).tolist())


def test_sums_that_are_the_output_have_no_stages() -> None:
    by = make_requantize("none", (1.0,), 0, -(2**31), 2**31 - 1)
    assert stages(np.array([[5]]), by, 32) == ()
