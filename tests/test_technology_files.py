"""What a technology's YAML may not hold, each refused with file, line and way out."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hwconfigs
from simulator.errors import BadConfig, BadFile

HOROWITZ = Path(hwconfigs.__file__).parent / "technologies" / "horowitz_45nm.yaml"


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def refused(tmp_path: Path, old: str, new: str, place: str = "") -> str:
    """The fault of Horowitz's file with `old` replaced, after ``t.yaml:line`` of `place`."""
    text = HOROWITZ.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    changed = text.replace(old, new, 1)
    path = tmp_path / "t.yaml"
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(BadConfig) as caught:
        hwconfigs.load_technology(path)
    message = str(caught.value)
    start = f"{path}:{line_of(changed, place or new)}: "
    assert message.startswith(start), message
    assert "\n" not in message
    return message.removeprefix(start)


def test_a_missing_citation(tmp_path: Path) -> None:
    old = HOROWITZ.read_text(encoding="utf-8").split("  add:\n")[1].split("points:")[0]
    found = refused(tmp_path, old, "    law: linear\n    ", "  add:")
    assert found == "energy_pj.add.source: is missing; add it under 'energy_pj.add'"


def test_an_empty_citation(tmp_path: Path) -> None:
    text = HOROWITZ.read_text(encoding="utf-8")
    old = next(line for line in text.splitlines() if "D flip-flop" in line)
    found = refused(tmp_path, old, '    source: ""')
    assert found == "area_um2.register_bit.source: must not be empty"


def test_a_negative_energy(tmp_path: Path) -> None:
    found = refused(tmp_path, "{at: 64, value: 0.2, low: 0.14", "{at: 64, value: 0.2, low: -0.14")
    assert found == "energy_pj.multiply.points.0.low: must be > 0; found -0.14"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "{at: 64, value: 0.2, low: 0.14, high: 0.79}",
            "{at: 64, value: 0.0002, low: 0.0001, high: 0.79}",
            "energy_pj.multiply.points.0.value: must be 0.00667 to 6 pJ, what this can be at "
            "45 nm; found 0.0002: is it in another unit?",
        ),
        (
            "{value: 70, low: 31, high: 140}",
            "{value: 70000, low: 31, high: 140000}",
            "energy_pj.instruction.points.0.value: must be 2.33 to 2.1e+03 pJ, what this can be "
            "at 45 nm; found 70000: is it in another unit?",
        ),
        (
            "{value: 1950, low: 1300, high: 2600}",
            "{value: 1.95, low: 1.3, high: 2.6}",
            "energy_pj.dram.unnamed.points.0.value: must be 25.6 to 2.3e+04 pJ, what this can be "
            "at 45 nm; found 1.95: is it in another unit?",
        ),
        (
            "{at: 1024, value: 3495, low: 2272, high: 5377}",
            "{at: 1024, value: 3.495, low: 2.272, high: 5.377}",
            "area_um2.multiply.points.1.value: must be 150 to 1.35e+05 um2, what this can be at "
            "45 nm; found 3.495: is it in another unit?",
        ),
    ],
)
def test_a_slip_of_the_unit(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert refused(tmp_path, old, new) == message


def test_a_slip_of_the_unit_in_a_table(tmp_path: Path) -> None:
    old = "values: [[10], [20], [100]]\n    low: [[6.14]"
    new = "values: [[0.01], [20], [100]]\n    low: [[0.00614]"
    assert refused(tmp_path, old, new) == (
        "energy_pj.sram_read.values.0.0: must be 0.242 to 218 pJ, what this can be at 45 nm; "
        "found 0.01: is it in another unit?"
    )


def slipped(value: Any, factor: float) -> Iterator[tuple[str, Any]]:
    """The document with one point's figures in another unit, for each point of each law."""
    for key, below in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(below, dict) and {"at", "value", "low", "high"} <= set(below):
            other = {name: below[name] * factor for name in ("value", "low", "high")}
            yield str(key), [*value[:key], below | other, *value[key + 1 :]]
        elif isinstance(below, dict | list):
            for path, made in slipped(below, factor):
                whole = list(value) if isinstance(value, list) else dict(value)
                whole[key] = made
                yield f"{key}.{path}", whole


@pytest.mark.parametrize("factor", [1e-3, 1e3])
@pytest.mark.parametrize("name", ["horowitz_45nm", "synthesized_45nm"])
def test_every_thousandfold_slip_of_every_figure_is_caught(
    name: str, factor: float, tmp_path: Path
) -> None:
    document = hwconfigs.technology(name).plain()
    tried = 0
    for group in ("energy_pj", "area_um2"):
        for path, made in slipped(document[group], factor):
            file = tmp_path / "t.yaml"
            file.write_text(json.dumps(document | {group: made}), encoding="utf-8")
            with pytest.raises(BadConfig, match="another unit") as caught:
                hwconfigs.load_technology(file)
            assert f"{group}.{path}" in str(caught.value)
            tried += 1
    assert tried > 20


def test_an_unknown_action(tmp_path: Path) -> None:
    found = refused(
        tmp_path, "  register_bit:\n    law", "  regster_bit:\n    law", "  regster_bit:"
    )
    assert found == "energy_pj.regster_bit: unknown field; did you mean 'register_bit'?"


def test_an_action_that_machines_count_and_nothing_prices(tmp_path: Path) -> None:
    text = HOROWITZ.read_text(encoding="utf-8")
    old = text[text.index("  flash:") : text.index("  dram:")]
    assert refused(tmp_path, old, "", "energy_pj:") == (
        "energy_pj.flash: is missing; give its law, or say why not under 'unpriced'"
    )
    said = "  unpriced: {actions: [flesh], why: x}\n"
    assert refused(tmp_path, old, said, "actions") == (
        "energy_pj.unpriced.actions.0: 'flesh' is no law that is missing; did you mean 'flash'?"
    )


def test_bounds_that_do_not_hold_a_cell_of_a_table(tmp_path: Path) -> None:
    found = refused(tmp_path, "low: [[6.14], [17.0]", "low: [[6.14], [27.0]", "values: [[10]")
    assert found == (
        "energy_pj.sram_read.values.1.0: must have low <= value <= high; found 27, 20, 40"
    )


def test_a_scaled_technology_is_that_of_a_file_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    shipped = (HOROWITZ.parent / "scaled_7nm.yaml").read_text(encoding="utf-8")
    path.write_text(shipped.replace("scaled_from: synthesized_45nm", "scaled_from: ./base.yaml"))
    with pytest.raises(BadFile, match=r"mine.yaml:6: scaled_from: .*base.yaml: no such file"):
        hwconfigs.load_technology(path)
    (tmp_path / "base.yaml").write_text(HOROWITZ.read_text(encoding="utf-8"))
    scaled = hwconfigs.load_technology(path)
    assert scaled.scaled_from is not None
    assert scaled.scaled_from.name == "horowitz_45nm"


def test_a_machine_names_what_its_technology_does_not_price() -> None:
    with pytest.raises(BadConfig, match="horowitz_45nm prices no DRAM of type 'lpddr4'"):
        hwconfigs.load("systolic_16x16", [("memory.dram.type", "lpddr4")])
    with pytest.raises(BadConfig, match="horowitz_45nm prices no wires"):
        hwconfigs.load("systolic_16x16", [("wire_mm", 1)])
    with pytest.raises(BadConfig, match="must be 'lpddr4', 'lpddr', 'ddr3'"):
        hwconfigs.load("systolic_16x16", [("memory.dram.type", "ddr9")])


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("{value: 70, low: 0.031, high: 140}", "found 0.031, 70, 140"),
        ("{value: 70, low: 31, high: 140000}", "found 31, 70, 140000"),
    ],
)
def test_a_slip_of_the_unit_in_a_bound_alone(tmp_path: Path, new: str, message: str) -> None:
    found = refused(tmp_path, "{value: 70, low: 31, high: 140}", new)
    assert found == (
        "energy_pj.instruction.points.0: must have low and high within 100 times of the value; "
        f"{message}: is one in another unit?"
    )


def test_a_slip_of_the_unit_in_the_bounds_of_a_table(tmp_path: Path) -> None:
    text = HOROWITZ.read_text(encoding="utf-8").split("  sram_write:")[0].split("  sram_read:")[1]
    slipped = text.replace("[93.5]", "[0.0935]")
    found = refused(tmp_path, text, slipped, "values: [[10], [20], [100]]")
    assert found.startswith("energy_pj.sram_read.values.2.0: must have low and high within 100 ")


def test_a_derived_law_has_no_points(tmp_path: Path) -> None:
    points = "    law: derived\n    points: [{value: 1, low: 1, high: 1}]\n"
    found = refused(tmp_path, "    law: derived\n", points, "    points: [{value: 1,")
    assert found == "energy_pj.requantize.points: unknown field; known: law, source"


def test_only_a_requantization_is_derived(tmp_path: Path) -> None:
    found = refused(
        tmp_path, "  add:\n    law: linear", "  add:\n    law: derived", "    law: derived"
    )
    assert found == (
        "energy_pj.add.law: must be 'constant', 'linear', 'power' or 'step'; found 'derived'"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected a mapping of fields"),
        ("- 1\n", "must be a mapping of fields (name: value); found a list"),
    ],
)
def test_files_that_hold_no_technology(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadConfig, match=re.escape(message)):
        hwconfigs.load_technology(path)


def test_a_folder_is_no_technology(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="is a directory; give a YAML file"):
        hwconfigs.load_technology(tmp_path)
