"""`bitlane diff`: two estimates, layer by layer."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hwconfigs
import workloads
from analysis.diff import diff, differences, load_estimate
from analysis.estimate import document
from simulator.cost import estimate
from simulator.errors import BadFile

GRAPH = workloads.load("zoo:digits")


def estimated(*overrides: tuple[str, str]) -> dict[str, Any]:
    machine = hwconfigs.load("systolic_16x16", overrides)
    return document(GRAPH, [estimate(GRAPH, machine)], 1)


def test_equal_estimates_say_so() -> None:
    text = diff(estimated(), estimated())
    assert "every layer costs the same" in text
    assert "1.000" in text


def test_changed_layers_are_named_with_both_sides() -> None:
    before, after = estimated(), estimated(("memory.dram.bytes_per_cycle", "1"))
    text = diff(before, after)
    a, b = before["machines"][0], after["machines"][0]
    for x, y in zip(a["layers"], b["layers"], strict=True):
        changed = x["cycles"] != y["cycles"] or x["energy_fj"] != y["energy_fj"]
        row = next((line for line in text.splitlines() if line.startswith(x["name"] + " ")), None)
        assert (row is not None) == changed
        if row is not None:
            cells = row.split()
            assert cells[1:3] == [str(x["cycles"]["total"]), str(y["cycles"]["total"])]


def test_another_document_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"schema": "bitlane.inspect/1"}', encoding="utf-8")
    with pytest.raises(BadFile) as caught:
        load_estimate(path)
    assert str(caught.value) == (
        f"{path}: schema must be bitlane.estimate/1; found bitlane.inspect/1; "
        "estimate the model again"
    )


def damaged(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = copy.deepcopy(estimated())
    change(document)
    return document


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["machines"].clear(),
        lambda d: d.update(machines={}),
        lambda d: d["machines"][0]["layers"][0]["cycles"].update(total=None),
        lambda d: d["machines"][0]["layers"][0]["cycles"].update(total="9"),
        lambda d: d["machines"][0]["layers"][0].pop("energy_fj"),
        lambda d: d["machines"].append(3),
    ],
)
def test_a_damaged_estimate_is_refused_in_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(damaged(change)), encoding="utf-8")
    with pytest.raises(BadFile, match="damaged, lacks what estimate --json writes"):
        load_estimate(path)


def test_layers_of_one_name_are_kept_apart() -> None:
    before = estimated()
    layers = before["machines"][0]["layers"]
    layers[3]["name"] = layers[2]["name"]
    after = copy.deepcopy(before)
    after["machines"][0]["layers"][2]["cycles"]["total"] += 1
    (machine,) = differences(before, after)["machines"]
    assert len(machine["layers"]) == len(layers)
    changed = [layer["name"] for layer in machine["layers"] if not layer["same"]]
    assert changed == [layers[2]["name"]]
    assert f"{layers[2]['name']} (2)" in [layer["name"] for layer in machine["layers"]]


def test_machines_of_other_kinds_are_compared() -> None:
    platform = document(GRAPH, [estimate(GRAPH, hwconfigs.load("systolic_and_m4"))], 1)
    text = diff(estimated(), platform)
    assert "systolic_16x16 -> systolic_and_m4" in text
    (machine,) = differences(estimated(), platform)["machines"]
    own = platform["machines"][0]["layers"]
    link = sum(layer["energy_fj"]["link"] for layer in own)
    assert machine["energy_fj"]["link"] == [None, link]
