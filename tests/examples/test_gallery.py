"""The gallery's scripts run; what they draw is what they computed."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwconfigs
import workloads
from simulator.cost import estimate
from tests.shared import ROOT

GALLERY = ROOT / "examples" / "gallery"


def script(name: str) -> Any:
    """A script of the gallery as a module."""
    spec = importlib.util.spec_from_file_location(f"gallery_{name}", GALLERY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_names_every_script() -> None:
    page = (GALLERY / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+\.py)`", page, re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in GALLERY.glob("*.py"))


def test_accuracy_and_energy(tmp_path: Path) -> None:
    module = script("accuracy_and_energy")
    designs = module.table()
    assert len(designs) == 72
    drawn = module.figure(designs)
    assert sum(len(trace.x) for trace in drawn.data[:-1]) == 72
    front = list(zip(drawn.data[-1].x, drawn.data[-1].y, strict=True))
    rows = list(zip(designs["energy_j"], designs["accuracy"], strict=True))
    for energy, right in front:
        assert not any((e < energy and r >= right) or (e <= energy and r > right) for e, r in rows)
    assert max(right for _, right in front) >= 358 / 360
    drawn.write_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_narrow_accumulators() -> None:
    module = script("narrow_accumulators")
    found = module.table()
    wraps, saturates = (found.filter(overflow=how) for how in ("wrap", "saturate"))
    for part in (wraps, saturates):
        assert part["bits"].to_list() == list(range(13, 21))
        assert part["accuracy"][-1] == 358 / 360
        assert part["overflow_rate"][0] > 0 == part["overflow_rate"][-1]
    assert (saturates["accuracy"] >= wraps["accuracy"]).all()
    assert [trace.name for trace in module.figure(found).data] == ["wrap", "saturate"]


def test_search_an_array() -> None:
    pytest.importorskip("optuna")
    module = script("search_an_array")
    assert f"{module.SPACE.count / 1e6:.1f} million" in (GALLERY / "README.md").read_text("utf-8")
    designs = module.table()
    assert 0 < len(designs) <= 384
    drawn = module.figure(designs)
    areas, latencies = drawn.data[1].x, drawn.data[1].y
    assert max(areas) <= 1.0
    # Along the front more area buys less time.
    assert list(areas) == sorted(set(areas))
    assert list(latencies) == sorted(set(latencies), reverse=True)
    assert len(drawn.data[0].x) == designs["outside"].is_null().sum()


def test_technologies_of_a_front() -> None:
    module = script("technologies_of_a_front")
    found = module.tables()
    assert [trace.name for trace in module.figure(found).data] == list(module.TECHNOLOGIES)
    for name, designs in found.items():
        assert len(designs) == 48
        row = designs.row(7, named=True)
        pairs = [(path, row[path]) for path in module.SPACE.axes] + [("technology", name)]
        totals = estimate(
            workloads.load("zoo:digits"), hwconfigs.load("systolic_16x16", pairs)
        ).totals
        assert (row["latency_s"], row["energy_j"]) == (totals.latency_s, totals.energy_j)


def test_layers_of_a_machine() -> None:
    drawn = script("layers_of_a_machine").figures()
    found = estimate(workloads.load("zoo:digits"), hwconfigs.load("systolic_16x16"))
    bars = [trace for trace in drawn["energy_by_layer"].data if trace.type == "bar"]
    total = sum(np.asarray(trace.y, float).sum() for trace in bars)
    assert total == pytest.approx(found.totals.energy_fj * 1e-15)
    layers = sum(layer.macs > 0 for layer in found.layers)
    assert sum(len(trace.x) for trace in drawn["roofline"].data[2:]) == layers
