"""`bitlane diff`: two estimates, layer by layer."""

from pathlib import Path
from typing import Any

import pytest

import hwconfigs
import workloads
from analysis.diff import diff, load_estimate
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
