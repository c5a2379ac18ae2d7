"""Fixed-point primitives and transcendental functions against plain integers, whole ranges first.

These are the parts of softmax, log-softmax, recurrent cells and requantizers.
"""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.numeric import functions, rounding
from simulator.numeric.recurrent import evaluate
from simulator.numeric.softmax import FixedPointSoftmax, q5_multiplier
from tests.oracle import primitives as exact
from tests.oracle import softmax
from tests.oracle import unidirectional_sequence_lstm as cell

BOUNDED = settings(max_examples=400, deadline=None, derandomize=True, database=None)
INT32 = (-(2**31), 2**31 - 1)
int32s = st.integers(*INT32) | st.sampled_from([*INT32, -1, 0, 1])
int64s = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize("bits", range(1, 17))
def test_every_16_bit_value_in_every_narrower_register(bits: int) -> None:
    for value in range(-(2**15), 2**15, 3 if bits % 4 else 1):
        assert rounding.wrap(value, bits) == exact.wrap(value, bits)
        assert rounding.saturate(value, bits) == exact.saturate(value, bits)


@BOUNDED
@given(value=int64s, bits=st.integers(1, 64))
def test_registers_up_to_64_bits(value: int, bits: int) -> None:
    assert rounding.wrap(value, bits) == exact.wrap(value, bits)
    assert rounding.saturate(value, bits) == exact.saturate(value, bits)


@BOUNDED
@given(a=int32s, b=int32s)
def test_high_products(a: int, b: int) -> None:
    assert rounding.saturating_rounding_doubling_high_mul(a, b) == exact.srdhm(a, b)


def test_every_byte_by_every_power() -> None:
    """Ties in both signs: away from zero."""
    for value in range(-(2**10), 2**10):
        for exponent in range(12):
            got = rounding.rounding_divide_by_power_of_two(value, exponent)
            assert got == exact.rdbpot(value, exponent)


@BOUNDED
@given(value=int32s, exponent=st.integers(0, 31))
def test_quotients_by_powers_of_two(value: int, exponent: int) -> None:
    got = rounding.rounding_divide_by_power_of_two(value, exponent)
    assert got == exact.rdbpot(value, exponent)


@BOUNDED
@given(value=st.integers(-(2**31), 0) | st.integers(-(2**27), 0))
def test_exponentials_in_q5(value: int) -> None:
    assert functions.exp_on_negative_values(value) == softmax.exp_of(value)


@BOUNDED
@given(value=st.integers(0, 2**31 - 1))
def test_reciprocals_in_q0(value: int) -> None:
    assert functions.one_over_one_plus_x(value) == softmax.reciprocal_of(value)


@pytest.mark.slow
def test_a_million_exponentials_and_reciprocals() -> None:
    """Every 64th code of Q5.26 down to -1, and every 2048th of Q0.31."""
    for value in range(-(2**26), 1, 64):
        assert functions.exp_on_negative_values(value) == softmax.exp_of(value)
    for value in range(0, 2**31, 2048):
        assert functions.one_over_one_plus_x(value) == softmax.reciprocal_of(value)


def test_leading_zeros_of_every_width() -> None:
    for bits in range(33):
        assert functions.count_leading_zeros_32(2**bits // 2) == 32 - bits
        assert functions.count_leading_zeros_32(2**bits - 1) == 32 - bits


def test_softmax_of_every_difference() -> None:
    """Two codes of 8 bits: only their difference matters; and rows of many."""
    rng = Random("differences")
    for _ in range(12):
        scaling = q5_multiplier(2.0 ** rng.uniform(-8, 1))
        assert scaling is not None
        form = FixedPointSoftmax(*scaling, -128, 8, "int8")
        rows = [[127, 127 - d] for d in range(256)]
        expected = [softmax.row_of(row, scaling[0], scaling[1], -128, 127) for row in rows]
        assert form.rows(np.array(rows, dtype=np.int8)).tolist() == expected


FORMS = {"gemmlowp": cell.gemmlowp, "table": cell.interpolated}


def assert_codes(function: str, form: str, power: int, codes: range) -> None:
    x = np.array(codes, dtype=np.int16)
    expected = [FORMS[form](function, code, power) for code in codes]
    assert evaluate(function, form, x, power).tolist() == expected


@pytest.mark.parametrize("function", ["logistic", "tanh"])
@pytest.mark.parametrize("form", FORMS)
def test_gates_of_many_codes(function: str, form: str) -> None:
    """At the power that recurrent cells use, Q3.12: the dense middle and every 37th code."""
    assert_codes(function, form, -12, range(-1500, 1500))
    assert_codes(function, form, -12, range(-(2**15), 2**15, 37))


@pytest.mark.slow
@pytest.mark.parametrize("power", range(-15, -8))
@pytest.mark.parametrize("function", ["logistic", "tanh"])
@pytest.mark.parametrize("form", FORMS)
def test_gates_of_every_code(function: str, form: str, power: int) -> None:
    assert_codes(function, form, power, range(-(2**15), 2**15))
