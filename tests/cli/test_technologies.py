"""Technologies on the command line: listed, shown with citations, checked, chosen, refused."""

import json
from pathlib import Path

import hwconfigs
from tests.cli.command import Run

SHIPPED = Path(hwconfigs.__file__).parent / "technologies"


def test_technologies_are_listed(bitlane: Run) -> None:
    outcome = bitlane("hw", "list", "technologies")
    assert outcome.out.split() == hwconfigs.names("technologies")
    assert bitlane("hw", "list").out.split() == hwconfigs.names()


def test_a_technology_is_shown_with_values_bounds_and_citations(bitlane: Run) -> None:
    outcome = bitlane("hw", "show", "horowitz_45nm")
    assert outcome.code == 0
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["multiply", "64", "product", "bits", "(power)", "0.14", "0.2", "0.79"] in rows
    assert ["8192", "10"] in rows
    assert "multiply: value: Horowitz, ISSCC 2014" in outcome.out


def test_a_technology_file_is_checked(bitlane: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    text = (SHIPPED / "scaled_7nm.yaml").read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    outcome = bitlane("hw", "check", path)
    assert (outcome.code, outcome.out) == (0, f"{path}: scaled_7nm (technology) is valid\n")
    path.write_text(text.replace("value: 0.059,", "value: 0.9,"), encoding="utf-8")
    outcome = bitlane("hw", "check", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.strip() == (
        f"bitlane: {path}:10: scale.area: must have low <= value <= high; found 0.0354, 0.9, 0.0826"
    )


def test_an_estimate_carries_bounds_and_parts_of_the_area(bitlane: Run, tmp_path: Path) -> None:
    out = tmp_path / "e.json"
    arguments = ("estimate", "zoo:digits", "--hw", "systolic_16x16", "--json", out)
    assert bitlane(*arguments, "--set", "technology=scaled_16nm").code == 0
    (entry,) = json.loads(out.read_text(encoding="utf-8"))["machines"]
    totals = entry["totals"]
    assert totals["energy_fj_low"] < totals["energy_fj"] < totals["energy_fj_high"]
    assert totals["area_mm2_low"] < totals["area_mm2"] < totals["area_mm2_high"]
    assert abs(sum(totals["area_parts_mm2"].values()) / totals["area_mm2"] - 1) < 1e-12


def test_costs_are_not_compared_as_joules(bitlane: Run, tmp_path: Path) -> None:
    out = tmp_path / "cost.json"
    arguments = ("estimate", "zoo:digits", "--hw", "systolic_16x16", "--json", out)
    assert bitlane(*arguments, "--set", "technology=pareto_memory").code == 0
    outcome = bitlane("diff", out, out)
    assert (outcome.code, outcome.err.strip()) == (
        2,
        f"bitlane: {out}: holds costs of a model and no joules; estimate in a process's pJ",
    )


def test_a_cost_has_no_page_in_joules(bitlane: Run, tmp_path: Path) -> None:
    arguments = ("estimate", "zoo:digits", "--hw", "systolic_16x16", "--html", tmp_path / "p.html")
    outcome = bitlane(*arguments, "--set", "technology=pareto_linear")
    assert outcome.code == 2
    assert outcome.err.strip() == (
        "bitlane: --html: the page compares joules, and pareto_linear counts multiplication bits; "
        "leave out --html"
    )
    assert not (tmp_path / "p.html").exists()
