"""`bitlane estimate`: its documents, that layers add up to totals exactly, --set and --batch."""

import csv
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import hwconfigs
from tests.cli.command import Run
from tests.cli.schemas import ESTIMATE, ON_A_PLATFORM

pytestmark = pytest.mark.usefixtures("workspace")
MACHINES = ("systolic_16x16", "hvx_1024", "cortex_m4")
THREE = tuple(option for name in MACHINES for option in ("--hw", name))


def assert_sums(machine: dict[str, Any]) -> None:
    """Layers add up to the totals exactly, and the totals to each other."""
    totals, layers = machine["totals"], machine["layers"]
    for layer in layers:
        cycles = layer["cycles"]
        assert cycles["total"] == cycles["compute"] + cycles["stall"] + cycles["overhead"]
        assert sum(layer["energy_fj"].values()) > 0
    assert totals["cycles"] == sum(layer["cycles"]["total"] for layer in layers)
    assert totals["energy_fj"] == sum(sum(layer["energy_fj"].values()) for layer in layers)
    assert totals["macs"] == sum(layer["macs"] for layer in layers)
    assert totals["energy_j"] == totals["energy_fj"] * 1e-15
    assert totals["power_w"] == totals["energy_j"] / totals["latency_s"]


def document(bitlane: Run, path: Path, *arguments: str | Path) -> dict[str, Any]:
    """The JSON document of an estimate of the shipped network."""
    outcome = bitlane("estimate", "zoo:digits", *arguments, "--json", path)
    assert (outcome.code, outcome.err) == (0, "")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(found, ESTIMATE)
    return found


def test_a_platform(bitlane: Run, tmp_path: Path) -> None:
    """Starts and a timeline beside what every machine has; layers need not add up to the total."""
    path = tmp_path / "p.json"
    options = ("--hw", "systolic_and_m4", "--set", "units.npu.array.rows=8", "--json", path)
    outcome = bitlane("estimate", "zoo:digits", *options)
    assert (outcome.code, outcome.err) == (0, "")
    found = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(found, ON_A_PLATFORM)
    (machine,) = found["machines"]
    ends = [event["start"] + event["cycles"] for event in machine["timeline"]]
    assert max(ends) == machine["totals"]["cycles"]
    runs = {e["layer"]: e["start"] for e in machine["timeline"] if e["what"] == "run"}
    assert runs == {layer["name"]: layer["start"] for layer in machine["layers"]}
    energy = sum(sum(layer["energy_fj"].values()) for layer in machine["layers"])
    assert energy == machine["totals"]["energy_fj"]
    header = next(line for line in outcome.out.splitlines() if line.startswith("node"))
    assert header.split()[-2:] == ["unit", "start"]


def test_three_machines(bitlane: Run, tmp_path: Path) -> None:
    found = document(bitlane, tmp_path / "e.json", *THREE)
    assert [machine["name"] for machine in found["machines"]] == list(MACHINES)
    for machine in found["machines"]:
        assert_sums(machine)
        clock_hz = hwconfigs.load(machine["name"]).clock_mhz * 1e6
        assert machine["totals"]["latency_s"] == machine["totals"]["cycles"] / clock_hz
        assert machine["totals"]["macs"] == 168_448


def test_the_table_for_a_terminal(bitlane: Run) -> None:
    outcome = bitlane("estimate", "zoo:digits", *THREE)
    assert (outcome.code, outcome.err) == (0, "")
    for name in MACHINES:
        assert f"digits_cnn.tflite on {name}\n" in outcome.out
        assert f"note, {name}: energy is priced in horowitz_45nm" in outcome.out


def test_csv_holds_the_same_numbers(bitlane: Run, tmp_path: Path) -> None:
    table = tmp_path / "e.csv"
    found = document(bitlane, tmp_path / "e.json", *THREE, "--csv", table)
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = [(m["name"], layer) for m in found["machines"] for layer in m["layers"]]
    assert len(rows) == len(expected)
    for row, (machine, layer) in zip(rows, expected, strict=True):
        assert (row["machine"], row["name"], row["op"]) == (machine, layer["name"], layer["op"])
        assert int(row["cycles.total"]) == layer["cycles"]["total"]
        assert float(row["utilization"]) == layer["utilization"]
        for component, value in layer["energy_fj"].items():
            assert int(row[f"energy_fj.{component}"]) == value
        for level, traffic in layer["bytes"].items():
            assert int(row[f"bytes.{level}.read"]) == traffic["read"]


def test_html_is_one_offline_page(bitlane: Run, tmp_path: Path) -> None:
    page = tmp_path / "e.html"
    assert bitlane("estimate", "zoo:digits", *THREE, "--html", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert text.lower().startswith("<!doctype html>")
    assert all(name in text for name in MACHINES)
    assert "<script src=" not in text


def test_set_changes_every_machine(bitlane: Run, tmp_path: Path) -> None:
    (tmp_path / "copy.yaml").write_text(Path("machine.yaml").read_text(encoding="utf-8"))
    both = ("--hw", "systolic_16x16", "--hw", tmp_path / "copy.yaml")
    plain = document(bitlane, tmp_path / "p.json", *both)
    wide = document(bitlane, tmp_path / "w.json", *both, "--set", "array.rows=32")
    last = document(
        bitlane, tmp_path / "l.json", *both, "--set", "array.rows=8", "--set", "array.rows=32"
    )
    first, second = wide["machines"]
    assert first == second
    assert first["totals"]["cycles"] != plain["machines"][0]["totals"]["cycles"]
    assert last == wide


def test_narrow_accumulators_cost_less(bitlane: Run, tmp_path: Path) -> None:
    bits = {
        n: document(
            bitlane,
            tmp_path / f"{n}.json",
            *("--hw", "systolic_16x16", "--set", f"datapath.accumulator.bits={n}"),
        )["machines"][0]["totals"]
        for n in (16, 32)
    }
    assert bits[16]["energy_fj"] < bits[32]["energy_fj"]
    assert bits[16]["area_mm2"] < bits[32]["area_mm2"]
    assert bits[16]["cycles"] == bits[32]["cycles"]


def test_batch(bitlane: Run, tmp_path: Path) -> None:
    one = document(bitlane, tmp_path / "1.json", *THREE)
    ten = document(bitlane, tmp_path / "10.json", *THREE, "--batch", "10")
    assert (one["batch"], ten["batch"]) == (1, 10)
    for single, many in zip(one["machines"], ten["machines"], strict=True):
        assert_sums(many)
        assert many["totals"]["macs"] == 10 * single["totals"]["macs"]
        assert single["totals"]["cycles"] < many["totals"]["cycles"]
        assert many["totals"]["cycles"] <= 10 * single["totals"]["cycles"]
        assert many["totals"]["throughput_per_s"] == 10 / many["totals"]["latency_s"]


def test_the_largest_batch_keeps_every_sum_positive(bitlane: Run, tmp_path: Path) -> None:
    found = document(bitlane, tmp_path / "e.json", *THREE, "--batch", "4096")
    for machine in found["machines"]:
        assert_sums(machine)
        assert machine["totals"]["macs"] == 4096 * 168_448
