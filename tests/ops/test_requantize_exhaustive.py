"""All requantization kernels against plain Python integers: whole ranges, and Hypothesis.

`test_requantize.py` compares three of them with vectorised forms; here every rounding that a
dialect can name meets an oracle that knows integers alone.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from random import Random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.numeric.dialect import Rounding
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from tests.oracle import primitives, requantizers
from tests.oracle.requantizers import FIXED_POINT, REAL, SHIFTS

INT32 = (-(2**31), 2**31 - 1)
BOUNDED = settings(max_examples=300, deadline=None, derandomize=True, database=None)
MULTIPLIERS = (2**30, 2**30 + 1, 1431655765, 1518500250, 2**30 + 2**16, 0x7FFEFFFF, 2**31 - 1)
"""Ends of the range, odd ones, sqrt(1/2), one whose product ties, and the ends of q15's cut."""

Pair = tuple[int, int]
Rescale = Callable[[int], int]


def fixed_point(rounding: str, pairs: Sequence[Pair]) -> Requantize:
    """One channel a (multiplier, shift); clamped to int32 alone."""
    scales = tuple(m * 2.0 ** (s - 31) for m, s in pairs)
    multipliers, shifts = zip(*pairs, strict=True)
    return Requantize(rounding, scales, multipliers, shifts, 0, *INT32)  # type: ignore[arg-type]


def real(rounding: str, scales: Sequence[float]) -> Requantize:
    """One channel a scale; float32_even clips before it rounds, so at bounds that float32 holds."""
    reach = 2**24 if rounding == "float32_even" else 2**31 - 1
    nothing = (0,) * len(scales)
    return Requantize(rounding, tuple(scales), nothing, nothing, 0, -reach, reach)  # type: ignore[arg-type]


def clamped(value: int, by: Requantize) -> int:
    return by.low if value < by.low else by.high if value > by.high else value


def assert_equal(values: range, by: Requantize, oracles: Sequence[Rescale]) -> None:
    """Every value through every channel of `by`."""
    column = np.arange(values.start, values.stop, values.step, dtype=np.int64)[:, None]
    dtype = np.int64 if max(abs(values.start), abs(values.stop)) > 2**31 else np.int32
    acc = np.repeat(column.astype(dtype), len(oracles), axis=1)
    got = requantize_array(acc, by, "int32").T
    for channel, oracle in enumerate(oracles):
        expected = [clamped(oracle(value), by) for value in values]
        if got[channel].tolist() != expected:
            pairs = zip(values, got[channel].tolist(), expected, strict=True)
            wrong = next((v, g, e) for v, g, e in pairs if g != e)
            pytest.fail(f"{by.rounding} {by.scale[channel]}: value, got, expected: {wrong}")


def of_pairs(rounding: str, pairs: Iterable[Pair]) -> list[Rescale]:
    return [lambda v, p=pair: FIXED_POINT[rounding](v, *p) for pair in pairs]  # type: ignore[misc]


def of_scales(rounding: str, scales: Iterable[float]) -> list[Rescale]:
    return [lambda v, s=scale: REAL[rounding](v, s) for scale in scales]  # type: ignore[misc]


def drawn_pairs(rounding: str, count: int) -> list[Pair]:
    """Random ones, every shift and the corner multipliers among them."""
    rng, shifts = Random(rounding), SHIFTS[rounding]
    drawn = [
        (rng.choice([*MULTIPLIERS, rng.randrange(2**30, 2**31)]), rng.choice(shifts))
        for _ in range(count - 3)
    ]
    return [(2**30, -3), (2**30 + 2**16, -6), (2**31 - 1, 0), *drawn]


def drawn_scales(rounding: str, count: int) -> list[float]:
    """Random doubles and powers of two, whose products tie."""
    rng = Random(rounding)
    drawn = [2.0 ** rng.uniform(-20, 1) for _ in range(count - 3)]
    return [0.5, 2.0**-6, 3 * 2.0**-8, *drawn]


def test_every_rounding_of_a_dialect_has_an_oracle() -> None:
    assert {*FIXED_POINT, *REAL, "none"} == set(get_args(Rounding))


@pytest.mark.parametrize("rounding", FIXED_POINT)
def test_every_16_bit_accumulator(rounding: str) -> None:
    pairs = drawn_pairs(rounding, 5)
    assert_equal(range(-(2**15), 2**15), fixed_point(rounding, pairs), of_pairs(rounding, pairs))


@pytest.mark.parametrize("rounding", REAL)
def test_every_16_bit_accumulator_in_floats(rounding: str) -> None:
    scales = drawn_scales(rounding, 4)
    assert_equal(range(-(2**15), 2**15), real(rounding, scales), of_scales(rounding, scales))


@pytest.mark.parametrize("rounding", FIXED_POINT)
def test_every_8_bit_accumulator_at_every_shift(rounding: str) -> None:
    pairs = [(m, s) for s in SHIFTS[rounding] for m in MULTIPLIERS]
    assert_equal(range(-128, 128), fixed_point(rounding, pairs), of_pairs(rounding, pairs))


@pytest.mark.parametrize("rounding", FIXED_POINT)
def test_around_every_power_of_two(rounding: str) -> None:
    """Where a product first needs one bit more, up to the ends of int32."""
    rng = Random(f"{rounding} powers")
    pairs = [(rng.choice(MULTIPLIERS), s) for s in SHIFTS[rounding]]
    by, oracles = fixed_point(rounding, pairs), of_pairs(rounding, pairs)
    for k in range(3, 31):
        for centre in (2**k, -(2**k), 3 * 2 ** (k - 2)):
            assert_equal(range(centre - 2, centre + 2), by, oracles)
    assert_equal(range(INT32[0], INT32[0] + 4), by, oracles)
    assert_equal(range(INT32[1] - 3, INT32[1] + 1), by, oracles)


@pytest.mark.slow
@pytest.mark.parametrize("rounding", FIXED_POINT)
def test_every_16_bit_accumulator_by_256_multipliers(rounding: str) -> None:
    """2^24 cases."""
    pairs = drawn_pairs(rounding, 256)
    for first in range(0, 256, 8):
        part = pairs[first : first + 8]
        assert_equal(range(-(2**15), 2**15), fixed_point(rounding, part), of_pairs(rounding, part))


@pytest.mark.slow
@pytest.mark.parametrize("rounding", REAL)
def test_every_16_bit_accumulator_by_128_scales(rounding: str) -> None:
    """2^23 cases."""
    scales = drawn_scales(rounding, 128)
    for first in range(0, 128, 8):
        part = scales[first : first + 8]
        assert_equal(range(-(2**15), 2**15), real(rounding, part), of_scales(rounding, part))


@pytest.mark.slow
@pytest.mark.parametrize("rounding", FIXED_POINT)
def test_every_24_bit_accumulator(rounding: str) -> None:
    """2^24 cases; the shift leaves 8 bits of them."""
    pairs = [(1518500250, -15)]
    by, oracles = fixed_point(rounding, pairs), of_pairs(rounding, pairs)
    for start in range(-(2**23), 2**23, 2**18):
        assert_equal(range(start, start + 2**18), by, oracles)


@pytest.mark.slow
@pytest.mark.parametrize("rounding", REAL)
def test_every_24_bit_accumulator_in_floats(rounding: str) -> None:
    """2^24 cases; in float32 the products of most tie nowhere, and many are rounded twice."""
    scales = [1.1 * 2.0**-16]
    by, oracles = real(rounding, scales), of_scales(rounding, scales)
    for start in range(-(2**23), 2**23, 2**18):
        assert_equal(range(start, start + 2**18), by, oracles)


@pytest.mark.slow
def test_every_multiplier_of_16_bits() -> None:
    """q15_round by every multiplier it can be cut to, 256 accumulators each: 2^22 cases."""
    for first in range(2**14, 2**15 - 1, 2**10):
        pairs = [(m << 16, -4) for m in range(first, min(first + 2**10, 2**15 - 1))]
        assert_equal(
            range(-128, 128), fixed_point("q15_round", pairs), of_pairs("q15_round", pairs)
        )


values = st.integers(*INT32) | st.sampled_from([*INT32, -1, 0, 1])
wide_values = st.integers(-(2**46), 2**46)
multipliers = st.integers(2**30, 2**31 - 1) | st.sampled_from(MULTIPLIERS)
clamps = st.sampled_from([(-128, 127), (0, 255), (-(2**15), 2**15 - 1), INT32])


@BOUNDED
@pytest.mark.parametrize("rounding", FIXED_POINT)
@given(data=st.data(), value=values, multiplier=multipliers)
def test_fixed_point_kernels(
    rounding: str, data: st.DataObject, value: int, multiplier: int
) -> None:
    shift = data.draw(st.sampled_from(SHIFTS[rounding]))
    expected = FIXED_POINT[rounding](value, multiplier, shift)
    by = fixed_point(rounding, [(multiplier, shift)])
    got = requantize_array(np.array([[value]], dtype=np.int32), by, "int32").item()
    assert got == clamped(expected, by)


@BOUNDED
@pytest.mark.parametrize("rounding", ["double_round", "single_round"])
@given(data=st.data(), value=values, multiplier=multipliers)
def test_negative_multipliers(
    rounding: str, data: st.DataObject, value: int, multiplier: int
) -> None:
    """A leaky RELU may have a negative slope."""
    shift = data.draw(st.sampled_from(SHIFTS[rounding]))
    by = fixed_point(rounding, [(-multiplier, shift)])
    got = requantize_array(np.array([[value]], dtype=np.int32), by, "int32").item()
    assert got == clamped(FIXED_POINT[rounding](value, -multiplier, shift), by)


@BOUNDED
@given(value=wide_values, multiplier=multipliers, shift=st.sampled_from(SHIFTS["q15_round"]))
def test_wide_accumulators_by_16_bit_multipliers(value: int, multiplier: int, shift: int) -> None:
    """Sums of int16 activations fill 47 bits; the result wraps at 32."""
    by = fixed_point("q15_round", [(multiplier, shift)])
    got = requantize_array(np.array([[value]], dtype=np.int64), by, "int32").item()
    assert got == requantizers.q15_round(value, multiplier, shift)


@BOUNDED
@pytest.mark.parametrize("rounding", REAL)
@given(value=values | wide_values, scale=st.floats(2.0**-40, 4.0), zero=st.integers(-128, 127))
def test_float_kernels_round_every_step(rounding: str, value: int, scale: float, zero: int) -> None:
    low, high = (-128, 127) if rounding == "float32_even" else INT32
    by = make_requantize(rounding, (scale,), zero, low, high)  # type: ignore[arg-type]
    got = requantize_array(np.array([[value]], dtype=np.int64), by, "int32").item()
    assert got == clamped(REAL[rounding](value, scale) + zero, by)


@settings(BOUNDED, max_examples=150)
@given(
    rounding=st.sampled_from([*FIXED_POINT, *REAL]),
    rows=st.integers(1, 4),
    scales=st.lists(st.floats(2.0**-18, 2.0**-3), min_size=1, max_size=5),
    zero=st.integers(-100, 100),
    clamp=clamps,
    seed=st.integers(0, 2**32 - 1),
)
def test_whole_arrays(
    rounding: str, rows: int, scales: list[float], zero: int, clamp: Pair, seed: int
) -> None:
    """Channels lie along the last axis; zero point, then clamp; the output's dtype holds it."""
    dtype = {-128: "int8", 0: "uint8", -(2**15): "int16"}.get(clamp[0], "int32")
    if rounding == "float32_even" and dtype == "int32":
        clamp = (-(2**23), 2**23)
    by = make_requantize(rounding, tuple(scales), zero, *clamp)  # type: ignore[arg-type]
    acc = np.random.default_rng(seed).integers(-(2**24), 2**24, (rows, 2, len(scales)))
    got = requantize_array(acc, by, dtype)
    assert got.dtype == dtype
    expected = [
        clamped(whole(rounding, value, scales[k]) + zero, by)
        for row in acc.reshape(-1, len(scales)).tolist()
        for k, value in enumerate(row)
    ]
    assert got.reshape(-1).tolist() == expected


def whole(rounding: str, value: int, scale: float) -> int:
    if rounding in REAL:
        return REAL[rounding](value, scale)
    return FIXED_POINT[rounding](value, *primitives.multiplier_of(scale))


@BOUNDED
@given(value=st.integers(-(2**62), 2**62), dtype=st.sampled_from(["int8", "int16", "int32"]))
def test_no_rescaling_wraps_to_the_output(value: int, dtype: str) -> None:
    by = make_requantize("none", (1.0,), 0, *INT32)
    got = requantize_array(np.array([[value]]), by, dtype).item()
    assert got == requantizers.wrapped(value, np.iinfo(dtype).bits)


@BOUNDED
@given(
    value=values, multiplier=multipliers, shift=st.integers(-31, 7), scale=st.floats(2.0**-40, 4.0)
)
def test_both_forms_of_the_oracles_agree(
    value: int, multiplier: int, shift: int, scale: float
) -> None:
    """Floored divisions of integers here, rationals there."""
    for rounding in ("double_round", "single_round"):
        rational = getattr(primitives, rounding)
        assert FIXED_POINT[rounding](value, multiplier, shift) == rational(value, multiplier, shift)
    assert requantizers.float64_away(value, scale) == primitives.float64_away(value, scale)
    real_product = Fraction(value * multiplier) * Fraction(2) ** (shift - 31)
    for rounding in ("double_round", "double_round_up", "tosa_double_round"):
        lifted = value * 2 ** max(shift, 0)
        if primitives.wrap(lifted, 32) == lifted:
            # Two roundings stray by less than one and a half units in all.
            assert abs(FIXED_POINT[rounding](value, multiplier, shift) - real_product) < 1.5
