"""`bitlane estimate --constraint`: what a machine holds, in table, JSON and exit code."""

import json
from pathlib import Path

import pytest

from tests.cli.command import Run

HELD, BROKEN = "area_mm2 <= 2.0", "latency_s <= 1us"


def test_table_json_and_exit_code_say_which_constraints_are_met(
    bitlane: Run, tmp_path: Path
) -> None:
    out = tmp_path / "e.json"
    machines = ("--hw", "systolic_16x16", "--hw", "cortex_m4")
    limits = ("--constraint", HELD, "--constraint", BROKEN)
    found = bitlane("estimate", "zoo:digits", *machines, *limits, "--json", out)
    assert (found.code, found.err) == (1, "")
    made = json.loads(out.read_text(encoding="utf-8"))["machines"]
    for machine in made:
        area, latency = machine["constraints"]
        assert area == {
            "constraint": "area_mm2 <= 2.0",
            "metric": "area_mm2",
            "value": machine["totals"]["area_mm2"],
            "met": machine["totals"]["area_mm2"] <= 2.0,
        }
        assert latency["constraint"] == "latency_s <= 1e-06"
        assert latency["value"] == machine["totals"]["latency_s"]
        assert latency["met"] is False
    rows = [line.split() for line in found.out.splitlines() if " <= " in line]
    assert [(row[0], row[-1]) for row in rows] == [
        ("systolic_16x16", "met"),
        ("systolic_16x16", "broken"),
        # 640 KB of SRAM at 3.26 um2 a byte.
        ("cortex_m4", "broken"),
        ("cortex_m4", "broken"),
    ]


def test_constraints_that_all_machines_hold_are_no_failure(bitlane: Run, tmp_path: Path) -> None:
    out = tmp_path / "e.json"
    limits = ("--constraint", HELD, "--constraint", "edp > 0", "--constraint", "cycles < 1M")
    found = bitlane("estimate", "zoo:digits", "--hw", "systolic_16x16", *limits, "--json", out)
    assert (found.code, found.err) == (0, "")
    (machine,) = json.loads(out.read_text(encoding="utf-8"))["machines"]
    totals = machine["totals"]
    values = {verdict["metric"]: verdict["value"] for verdict in machine["constraints"]}
    assert values["edp"] == totals["energy_j"] * totals["latency_s"]
    assert values["cycles"] == totals["cycles"]


def test_a_figure_that_a_cost_model_has_not_breaks_its_constraint(bitlane: Run) -> None:
    model = ("--set", "technology=pareto_linear")
    limit = ("--constraint", "energy_j <= 1")
    found = bitlane("estimate", "zoo:digits", "--hw", "systolic_16x16", *model, *limit)
    assert found.code == 1
    row = next(line.split() for line in found.out.splitlines() if "energy_j <=" in line)
    assert row[-2:] == ["none", "broken"]


@pytest.mark.parametrize("technology", ["pareto_memory", "mcu_boards"])
def test_a_technology_without_areas_breaks_their_constraint(bitlane: Run, technology: str) -> None:
    model = ("--set", f"technology={technology}")
    found = bitlane("estimate", "zoo:digits", "--hw", "cortex_m4", *model, "--constraint", HELD)
    assert found.code == 1
    row = next(line.split() for line in found.out.splitlines() if "area_mm2 <=" in line)
    assert row[-2:] == ["none", "broken"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("area <= 2", "unknown metric 'area'"),
        ("area_mm2 =< 2", "unknown comparison '=<'"),
        ("area_mm2 <= two", "'two' is no number"),
        ("area_mm2 <= 2 ms", "has no unit 'ms'"),
        ("accuracy >= 0.7", "no figure of an estimate"),
        ("", "needs a metric"),
    ],
)
def test_a_constraint_that_says_nothing_is_refused_in_one_line(
    bitlane: Run, text: str, message: str
) -> None:
    found = bitlane("estimate", "zoo:digits", "--hw", "systolic_16x16", "--constraint", text)
    assert (found.code, found.out) == (2, "")
    assert found.err.startswith("bitlane: --constraint: ")
    assert message in found.err
    assert found.err.count("\n") == 1
