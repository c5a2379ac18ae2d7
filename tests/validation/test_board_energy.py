"""Leave-one-out power of boards: its arithmetic by hand, and the technology that is its law."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

import hwconfigs
from simulator.technology.laws import CYCLE, look_up
from tests.validation.board_energy import CORE, OTHERS, SUPPLY, Measured, measured, rate
from tests.validation.board_energy import rates_left_out as left_out

PLAIN = Measured("m4", "A v1", "3 V", "board A v1 x", "ad", 100.0, 40.0, 2.0, 80.0)


def board(core: str, submission: str, supply: str, *powers_mw: float) -> list[Measured]:
    made = replace(PLAIN, core=core, submission=submission, supply=supply)
    return [replace(made, power_mw=power) for power in powers_mw]


ROWS = [
    *board("m4", "A v1", "3 V", 40, 42, 50),
    *board("m4", "B v1", "3 V", 60),
    *board("m4", "B v2", "", 10, 20),
    *board("m7", "A v1", "3 V", 90),
    *board("m33", "A v1", "3 V", 30),
]


def test_a_submission_counts_once() -> None:
    # Medians of the three submissions: 42, 60 and 15 mW at 100 MHz.
    assert rate([row for row in ROWS if row.core == "m4"]) == pytest.approx(0.42)
    assert math.isnan(rate([]))


def test_nothing_of_the_submission_is_used() -> None:
    # Of the M4 without A v1: 60 and 15; at 3 V only 60; other cores 90 and 30.
    found = left_out(ROWS[1], ROWS)
    assert found[CORE] == pytest.approx((0.60 + 0.15) / 2)
    assert found[SUPPLY] == pytest.approx(0.60)
    assert found[OTHERS] == pytest.approx((0.90 + 0.30) / 2)
    # Whatever it measured: its own power changes nothing.
    other = [replace(row, power_mw=999.0) if row.submission == "A v1" else row for row in ROWS[:6]]
    assert left_out(other[1], [*other, *ROWS[6:]]) == found


def test_a_supply_not_stated_is_like_no_other() -> None:
    rows = [*ROWS, *board("m4", "C v1", "", 15)]
    assert math.isnan(left_out(rows[-1], rows)[SUPPLY])
    assert left_out(rows[-1], rows)[CORE] == pytest.approx(0.42)


def test_a_core_alone_has_no_power_of_its_own() -> None:
    found = left_out(ROWS[-1], ROWS)
    assert math.isnan(found[CORE])
    assert math.isnan(found[SUPPLY])
    assert found[OTHERS] == pytest.approx((0.42 + 0.90) / 2)


def test_the_rows_are_those_of_the_technology(shared: Path) -> None:
    """The law of `mcu_boards` spans the power of every core; time is in energy mode's."""
    rows = measured()
    assert len(rows) == 90
    for row in rows:
        assert row.power_mw * row.time_ms == pytest.approx(row.energy_uj, rel=0.002), row
    technology = hwconfigs.load_technology("mcu_boards")
    low, high = (look_up(technology.row(bound), CYCLE, 1) for bound in ("low", "high"))
    for core in {row.core for row in rows}:
        assert low <= 1000 * rate([row for row in rows if row.core == core]) <= high, core
