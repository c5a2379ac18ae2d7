"""Technologies: printed cells come back exactly, laws behave between and outside them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hwconfigs
from simulator.config import parse_yaml, validate
from simulator.errors import BadConfig
from simulator.machines.pricing import datapath_prices
from simulator.technology.laws import (
    AREA_ACTIONS,
    ENERGY_ACTIONS,
    FLOAT_ADD,
    FLOAT_ADD_AREA,
    FLOAT_MULTIPLY,
    FLOAT_MULTIPLY_AREA,
    MULTIPLY_AREA,
    REGISTER_BIT_AREA,
    SRAM_BYTE_AREA,
    SRAM_READ,
    SRAM_WRITE,
    TABLE,
    add_fj,
    dram_byte_fj,
    flash_byte_fj,
    instruction_fj,
    look_up,
    multiply_fj,
    register_byte_fj,
    sram_byte_fj,
)
from simulator.technology.model import Law, Technology

HOROWITZ = hwconfigs.load_technology("horowitz_45nm")
ROW = HOROWITZ.row()


def sram_fj(way: int, size: int) -> float:
    """Femtojoules of a 64-bit access."""
    return float(8 * sram_byte_fj(ROW, way, float(size), 64.0))


def test_printed_cells_of_horowitz_come_back_exactly() -> None:
    # Horowitz, ISSCC 2014, 45 nm 0.9 V table; picojoules.
    assert (multiply_fj(ROW, 8, 8), multiply_fj(ROW, 32, 32)) == (200, 3100)
    assert [add_fj(ROW, bits) for bits in (8, 16, 32)] == [30, 50, 100]
    for way in (SRAM_READ, SRAM_WRITE):
        assert [sram_fj(way, size) for size in (8192, 32768, 1048576)] == [1e4, 2e4, 1e5]
    assert 8 * dram_byte_fj(ROW, 0) == 1_950_000
    assert instruction_fj(ROW) == 70_000
    real = [(FLOAT_ADD, 16), (FLOAT_ADD, 32), (FLOAT_MULTIPLY, 16), (FLOAT_MULTIPLY, 32)]
    assert [look_up(ROW, action, bits) for action, bits in real] == [0.4, 0.9, 1.1, 3.7]
    areas = [(FLOAT_ADD_AREA, 16), (FLOAT_ADD_AREA, 32)]
    areas += [(FLOAT_MULTIPLY_AREA, 16), (FLOAT_MULTIPLY_AREA, 32)]
    assert [look_up(ROW, action, bits) for action, bits in areas] == [1360, 4184, 1640, 7700]
    assert 8 * dram_byte_fj(HOROWITZ.row("low"), 0) == 1_300_000
    assert 8 * dram_byte_fj(HOROWITZ.row("high"), 0) == 2_600_000
    assert [look_up(ROW, MULTIPLY_AREA, bits) for bits in (64, 1024)] == [282, 3495]
    assert [look_up(ROW, MULTIPLY_AREA + 1, bits) for bits in (8, 16, 32)] == [36, 67, 137]


def test_multiplies_between_and_outside_follow_one_power_law() -> None:
    exponent = math.log(3100 / 200) / math.log(1024 / 64)
    for w, a in ((2, 2), (4, 4), (8, 9), (8, 16), (16, 16), (64, 64)):
        expected = 200 * (w * a / 64) ** exponent
        assert multiply_fj(ROW, w, a) == pytest.approx(expected, rel=1e-12)
    assert exponent == pytest.approx(0.9886, abs=1e-4)


def test_adds_are_lines_and_proportional_outside() -> None:
    assert add_fj(ROW, 24) == pytest.approx(75)
    assert add_fj(ROW, 4) == pytest.approx(15)
    assert add_fj(ROW, 48) == pytest.approx(150)


def test_one_printed_word_prices_the_bytes_of_any() -> None:
    for word in (8, 64, 1024):
        assert sram_byte_fj(ROW, SRAM_READ, 8192.0, word) == 1250


def test_memory_between_cells_is_a_line_of_logarithms() -> None:
    assert sram_fj(SRAM_READ, 16384) == pytest.approx(math.sqrt(1e4 * 2e4))
    slope = math.log(100 / 20) / math.log(32)
    assert sram_fj(SRAM_READ, 65536) == pytest.approx(2e4 * 2**slope)
    assert sram_fj(SRAM_READ, 2 * 1048576) == pytest.approx(1e5 * 2**slope)


def test_constants() -> None:
    assert register_byte_fj(ROW, 32) == 72
    assert 8 * flash_byte_fj(ROW) == 100_000
    assert look_up(ROW, REGISTER_BIT_AREA, 1) == 4.522
    assert look_up(ROW, SRAM_BYTE_AREA, 1) == 3.26


def test_a_datapath_is_priced_at_its_widths() -> None:
    import numpy as np

    from simulator.machines.actions import (
        ACCUMULATIONS,
        ACTIONS,
        MULTIPLIER_CYCLES,
        REQUANTIZATIONS,
    )

    prices = np.zeros(ACTIONS)
    wide = hwconfigs.load("systolic_16x16", [("datapath.accumulator.bits", 16)])
    datapath_prices(wide.row(), ROW, prices)
    # An activation less its zero point has one bit more.
    assert prices[MULTIPLIER_CYCLES] == multiply_fj(ROW, 8, 9)
    assert prices[ACCUMULATIONS] == 50
    assert prices[REQUANTIZATIONS] == multiply_fj(ROW, 16, 32) + 2 * 50
    folded = hwconfigs.load("systolic_16x16", [("datapath.zero_point", "folded")])
    datapath_prices(folded.row(), ROW, prices)
    assert prices[MULTIPLIER_CYCLES] == 200


PRICED = [a for a in range(len(ENERGY_ACTIONS + AREA_ACTIONS)) if ROW[a * TABLE]]


@given(st.sampled_from(PRICED), st.integers(1, 2**24))
def test_low_value_and_high_stay_in_order(action: int, size: int) -> None:
    low, value, high = (
        look_up(HOROWITZ.row(bound), action, size) for bound in ("low", "value", "high")
    )
    assert low > 0
    if 8 <= size <= 2**20:
        assert low <= value * (1 + 1e-12)
        assert value <= high * (1 + 1e-12)


def test_compiled_and_plain_functions_agree() -> None:
    for action in range(len(ENERGY_ACTIONS + AREA_ACTIONS)):
        for size in (1, 5, 64, 72, 8192, 65536, 10**7):
            assert look_up(ROW, action, size) == look_up.py_func(ROW, action, size)


def test_extrapolation_is_known() -> None:
    sram = HOROWITZ.energy.sram_read
    assert sram is not None
    outside = [sram.extrapolates(size, 64) for size in (4096, 8192, 65536, 2**21)]
    assert outside == [True, False, False, True]
    add = HOROWITZ.energy.add
    assert add is not None
    assert [add.extrapolates(bits) for bits in (4, 8, 24, 32, 48)] == [True, *[False] * 3, True]


POINT = "{at: 8, value: 1, low: 1, high: 2}"
FAULTY_LAWS = {
    f"law: power\nsource: x\npoints: [{POINT}]": (
        "t.yaml:1: must have one point for 'constant' and more for other laws; found 1 for 'power'"
    ),
    f"law: linear\nsource: x\npoints: [{POINT}, {POINT}]": (
        "t.yaml:1: must have points with increasing 'at'"
    ),
    "law: constant\nsource: x\npoints:\n  - {value: 3, low: 4, high: 5}": (
        "t.yaml:4: points.0: must have low <= value <= high; found 4, 3, 5"
    ),
    "law: constant\nsource: x\npoints:\n  - {value: -3, low: 0, high: .nan}": (
        "t.yaml:4: points.0.high: must be finite; found nan\n"
        "t.yaml:4: points.0.low: must be > 0; found 0\n"
        "t.yaml:4: points.0.value: must be > 0; found -3"
    ),
    f"law: cubic\npoints: [{POINT}]": (
        "t.yaml:1: law: must be 'constant', 'linear', 'power' or 'step'; found 'cubic'\n"
        "t.yaml:1: source: is missing; add it at the top level"
    ),
    "law: constant\nsource: ''\npoints: []": (
        "t.yaml:2: source: must not be empty\nt.yaml:3: points: must not be empty"
    ),
}


@pytest.mark.parametrize("text", FAULTY_LAWS)
def test_faulty_laws_are_refused(text: str) -> None:
    with pytest.raises(BadConfig) as caught:
        validate(parse_yaml(text, "t.yaml"), Law)
    assert str(caught.value) == FAULTY_LAWS[text]


def test_an_unknown_action_is_refused_where_it_stands() -> None:
    with pytest.raises(BadConfig) as caught:
        hwconfigs.load("systolic_16x16", [("technology.energy_pj.multipy", 3)])
    assert str(caught.value) == (
        "--set technology.energy_pj.multipy=3: technology.energy_pj.multipy: unknown field; "
        "did you mean 'multiply'?"
    )


def test_every_law_of_a_shipped_technology_has_a_source() -> None:
    for name in hwconfigs.names("technologies"):
        technology = hwconfigs.load_technology(name)
        assert isinstance(technology, Technology)
        assert technology.name == name
        for part in (technology.energy, technology.area, technology.leakage_uw_per_mm2):
            for action, law in part.given().items() if part else ():
                assert len(law.source) > 20, action
