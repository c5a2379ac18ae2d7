"""Constraints as text: what they mean, that they read back, and what is refused, word for word."""

import math
from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.constraints import SENSE, Comparison, Constraint, Metric, parse
from simulator.document import Place
from simulator.errors import BadConfig


@pytest.mark.parametrize(
    ("text", "metric", "comparison", "bound"),
    [
        ("area_mm2 <= 2.0", "area_mm2", "<=", 2.0),
        ("area_mm2<=2", "area_mm2", "<=", 2.0),
        ("  accuracy  >=  70 % ", "accuracy", ">=", 0.7),
        ("accuracy > .7", "accuracy", ">", 0.7),
        ("utilization >= 12.5%", "utilization", ">=", 0.125),
        ("overflow_rate <= 0", "overflow_rate", "<=", 0.0),
        ("latency_s < 2.5ms", "latency_s", "<", 0.0025),
        ("latency_s <= 3us", "latency_s", "<=", 3e-6),
        ("latency_s <= 3 µs", "latency_s", "<=", 3e-6),
        ("latency_s <= 3 μs", "latency_s", "<=", 3e-6),
        ("latency_s <= 1e-3 s", "latency_s", "<=", 1e-3),
        ("latency_s <= 1e3ns", "latency_s", "<=", 1e-6),
        ("energy_j <= 0.1uJ", "energy_j", "<=", 1e-7),
        ("energy_j <= 7nJ", "energy_j", "<=", 7e-9),
        ("energy_j <= 3mJ", "energy_j", "<=", 3e-3),
        ("power_w <= 250mW", "power_w", "<=", 0.25),
        ("area_mm2 <= 250000um2", "area_mm2", "<=", 0.25),
        ("cycles <= 1.5M", "cycles", "<=", 1.5e6),
        ("throughput_per_s >= 1k", "throughput_per_s", ">=", 1000.0),
        ("sqnr_db >= -3.5dB", "sqnr_db", ">=", -3.5),
        ("edp <= 2 nJs", "edp", "<=", 2e-9),
        ("cost <= 12", "cost", "<=", 12.0),
        ("peak_macs_per_cycle >= 256", "peak_macs_per_cycle", ">=", 256.0),
        ("tops_per_w > 4", "tops_per_w", ">", 4.0),
    ],
)
def test_a_text_and_its_meaning(
    text: str, metric: Metric, comparison: Comparison, bound: float
) -> None:
    assert parse(text) == Constraint(metric, comparison, bound)


@pytest.mark.parametrize(
    ("text", "value", "broken"),
    [
        ("area_mm2 <= 2", 2.0, False),
        ("area_mm2 <= 2", math.nextafter(2, 3), True),
        ("area_mm2 < 2", 2.0, True),
        ("area_mm2 < 2", math.nextafter(2, 0), False),
        ("accuracy >= 70%", 0.7, False),
        ("accuracy >= 70%", 0.69, True),
        ("accuracy > 70%", 0.7, True),
        ("accuracy > 70%", 0.71, False),
        ("area_mm2 <= 2", None, True),
        ("area_mm2 <= 2", math.nan, True),
        ("accuracy >= 0", None, True),
        ("accuracy >= 0", math.nan, True),
    ],
)
def test_what_breaks_a_constraint(text: str, value: float | None, broken: bool) -> None:
    assert parse(text).broken(value) is broken


@given(
    st.sampled_from([m for m in SENSE if m not in ("utilization", "accuracy", "overflow_rate")]),
    st.sampled_from(get_args(Comparison)),
    st.floats(0, allow_infinity=False),
)
def test_the_text_form_reads_back(metric: Metric, comparison: Comparison, bound: float) -> None:
    constraint = Constraint(metric, comparison, bound)
    assert parse(str(constraint)) == constraint


@given(st.integers(0, 10**6), st.integers(0, 5), st.sampled_from([("ms", 3), ("us", 6), ("ns", 9)]))
def test_a_unit_rounds_once(digits: int, places: int, unit: tuple[str, int]) -> None:
    """The bound is the float nearest the decimal that was written."""
    name, power = unit
    text = f"{digits}e-{places}{name}"
    assert parse(f"latency_s <= {text}").bound == float(Fraction(digits, 10 ** (places + power)))


def test_every_metric_has_a_sense() -> None:
    assert set(SENSE) == set(get_args(Metric))
    assert {m for m, sense in SENSE.items() if sense == "max"} == {
        *("throughput_per_s", "tops_per_w", "utilization", "peak_macs_per_cycle"),
        *("accuracy", "sqnr_db"),
    }


FORM = "write it as 'area_mm2 <= 2.0' or 'latency_s <= 2.5ms'"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", f"constraint '': needs a metric, a comparison and a number; {FORM}"),
        ("area_mm2", f"constraint 'area_mm2': needs a metric, a comparison and a number; {FORM}"),
        ("area_mm2 <=", f"constraint 'area_mm2 <=': '' is no number with a unit; {FORM}"),
        (
            "area_mm <= 2",
            "constraint 'area_mm <= 2': unknown metric 'area_mm'; did you mean 'area_mm2'?",
        ),
        (
            "area_mm2 == 2",
            "constraint 'area_mm2 == 2': unknown comparison '=='; write one of <=, >=, <, >",
        ),
        (
            "latency_s <= 2 MHz",
            "constraint 'latency_s <= 2 MHz': latency_s has no unit 'MHz'; "
            "write one of s, ms, us, µs, ns",
        ),
        (
            "tops_per_w >= 2k",
            "constraint 'tops_per_w >= 2k': tops_per_w has no unit 'k'; give a plain number",
        ),
        (
            "accuracy >= 70",
            "constraint 'accuracy >= 70': accuracy is a fraction, never above 1; write 0.7 or 70%",
        ),
        (
            "energy_j <= -1mJ",
            "constraint 'energy_j <= -1mJ': energy_j is never below 0; give a bound of 0 or more",
        ),
        (
            "cost <= 1e999",
            "constraint 'cost <= 1e999': must be finite; give a smaller number",
        ),
        (
            "cycles <= __import__('os')",
            "constraint \"cycles <= __import__('os')\": '__import__('os')' is no number with a "
            f"unit; {FORM}",
        ),
        (
            "cycles <= 1 < 2",
            f"constraint 'cycles <= 1 < 2': '1 < 2' is no number with a unit; {FORM}",
        ),
        ("cycles <= inf", f"constraint 'cycles <= inf': 'inf' is no number with a unit; {FORM}"),
        (
            "cycles <= " + "9" * 100,
            f"constraint 'cycles <= {'9' * 46}...: is longer than 100 characters; {FORM}",
        ),
    ],
)
def test_faults_are_one_line(text: str, told: str) -> None:
    for place in ("--constraint", Place("sweep.yaml", 7)):
        with pytest.raises(BadConfig) as caught:
            parse(text, place)
        assert str(caught.value) == f"{place}: {told}"
    with pytest.raises(BadConfig) as caught:
        parse(text)
    assert str(caught.value) == told


@given(st.text(max_size=120))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        constraint = parse(text)
    except BadConfig:
        return
    assert constraint.metric in SENSE
