"""Sums of products in every accumulator a datapath can have, against plain integers: 0 differing.

8 to 40 bits that wrap, saturate or trap; 1 to 32 products at a time; up to three narrow stages
before; zero points subtracted or folded; in the order ky, kx, ic.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import IllegalValues
from simulator.numeric.datapath import Datapath, Stage
from simulator.numeric.matmul import matmul
from tests.ops.mac_cases import (
    MAKERS,
    MacCase,
    datapath_of,
    decoded,
    drawn_node,
    registers,
    seeds,
    summed,
)
from tests.oracle.registers import Narrow, Register
from tests.oracle.terms import Terms

BOUNDED = settings(max_examples=40, deadline=None, derandomize=True, database=None)
TRAP = re.compile(
    r"the (\d+)-bit accumulator overflows at output position (\d+), channel (\d+), "
    r"(the bias|tap \d+); widen datapath\.accumulator\.bits or let it wrap or saturate"
)


@BOUNDED
@pytest.mark.parametrize("kind", MAKERS)
@given(seed=seeds, register=registers, folded=st.booleans())
def test_every_operator_in_any_register(
    kind: str, seed: int, register: Register, folded: bool
) -> None:
    case = decoded(kind, drawn_node(kind, seed))
    got = case.operator.accumulate(case.values, datapath_of(register, folded=folded))
    assert got.tolist() == summed(case.terms(folded=folded), register)


@settings(BOUNDED, max_examples=6)
@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("bits", range(8, 41))
@given(data=st.data(), seed=seeds, dot_width=st.integers(1, 32), folded=st.booleans())
def test_every_width(
    bits: int, overflow: str, data: st.DataObject, seed: int, dot_width: int, folded: bool
) -> None:
    kind = data.draw(st.sampled_from(sorted(MAKERS)))
    case, register = decoded(kind, drawn_node(kind, seed)), Register(bits, overflow, dot_width)
    got = case.operator.accumulate(case.values, datapath_of(register, folded=folded))
    assert got.tolist() == summed(case.terms(folded=folded), register)


def traps_of(terms: Terms, register: Register) -> dict[tuple[int, int], str]:
    """(output position, channel) of every sum that does not fit, and what it says of the tap."""
    found = {}
    for row, line in enumerate(terms):
        for channel, term in enumerate(line):
            place = register.trap(*term)
            if place is not None:
                found[row, channel] = place
    return found


def assert_traps(case: MacCase, register: Register, folded: bool) -> None:
    terms, datapath = case.terms(folded=folded), datapath_of(register, folded=folded)
    traps = traps_of(terms, register)
    if not traps:
        got = case.operator.accumulate(case.values, datapath)
        assert got.tolist() == summed(terms, register)
        return
    with pytest.raises(IllegalValues) as caught:
        case.operator.accumulate(case.values, datapath)
    found = TRAP.fullmatch(str(caught.value))
    assert found, str(caught.value)
    assert int(found[1]) == register.bits
    assert traps.get((int(found[2]), int(found[3]))) == found[4]


@BOUNDED
@pytest.mark.parametrize("kind", MAKERS)
@given(seed=seeds, register=registers, folded=st.booleans())
def test_every_operator_in_a_register_that_traps(
    kind: str, seed: int, register: Register, folded: bool
) -> None:
    assert_traps(decoded(kind, drawn_node(kind, seed)), replace(register, overflow="trap"), folded)


int16s = st.sampled_from([-(2**15), 2**15 - 1, 0, 1, -1]) | st.integers(-(2**15), 2**15 - 1)
bytes_ = st.sampled_from([-255, -128, 0, 127, 255]) | st.integers(-255, 255)


@settings(BOUNDED, max_examples=200)
@given(
    data=st.data(),
    shape=st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(0, 40)),
    operands=st.sampled_from([int16s, bytes_]),
    biases=st.sampled_from([st.integers(-(2**31), 2**31 - 1), st.integers(-(2**39), 2**39)]),
    register=registers,
)
def test_matrices_of_any_operands(
    data: st.DataObject,
    shape: tuple[int, int, int],
    operands: st.SearchStrategy[int],
    biases: st.SearchStrategy[int],
    register: Register,
) -> None:
    """No rows and no taps among them; all of int16 in both operands."""
    rows, channels, taps = shape

    def drawn(strategy: st.SearchStrategy[int], size: int) -> list[int]:
        return data.draw(st.lists(strategy, min_size=size, max_size=size))

    x = [drawn(operands, taps) for _ in range(rows)]
    w = [drawn(operands, taps) for _ in range(channels)]
    bias = drawn(biases, channels)
    got = matmul(
        np.array(x, dtype=np.int16).reshape(rows, taps),
        np.array(w, dtype=np.int16).reshape(channels, taps),
        np.array(bias, dtype=np.int64),
        datapath_of(register),
    )
    expected = [
        [
            register.sum(b, [i * j for i, j in zip(row, line, strict=True)])
            for line, b in zip(w, bias, strict=True)
        ]
        for row in x
    ]
    assert got.shape == (rows, channels)
    assert got.tolist() == expected


@pytest.mark.parametrize("overflow", ["saturate", "trap"])
def test_a_stage_that_never_overflows_still_groups_its_products(overflow: str) -> None:
    """127 * 127 - 127 * 120 = 889 fits 12 bits; its first product alone does not."""
    x, w = np.array([[127, 127]], dtype=np.int16), np.array([[127, -120]], dtype=np.int16)
    bias = np.zeros(1, dtype=np.int32)
    for bits in (15, 20):
        register = Register(12, overflow, 1, (Narrow(2, bits, "saturate"),))
        assert matmul(x, w, bias, datapath_of(register)).tolist() == [[889]]


def test_a_trap_behind_stages_names_the_first_tap_of_the_group() -> None:
    """Whether a stage can overflow on these operands or not."""
    x, w = np.full((1, 12), 100, dtype=np.int16), np.full((1, 12), 100, dtype=np.int16)
    bias = np.zeros(1, dtype=np.int32)
    for bits in (16, 24):
        datapath = Datapath(
            accumulator_bits=17,
            overflow="trap",
            stages=(Stage(2, bits, "saturate"), Stage(2, bits + 1, "saturate")),
        )
        # 40000 a group of four taps fit 17 bits (65535) once.
        with pytest.raises(IllegalValues, match=r"channel 0, tap 4;"):
            matmul(x, w, bias, datapath)
