"""`bitlane report`: what the page says of a sweep is what `estimate` says of the copied machine."""

import csv
import itertools
import json
import math
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import hwconfigs
import workloads
from analysis import exported, report
from analysis.copied import configs, copied_yaml, dotted, nested
from analysis.page import ReportData
from analysis.report import estimate_data, oriented, report_command, sweep_data
from analysis.sensitivity import first_order, sensitivity_of
from analysis.space_plots import plane_front, sampled
from analysis.store import open_store
from analysis.sweeps import Sweep, run
from simulator.cost import estimate
from simulator.errors import Unsupported
from simulator.memory import peak_memory_bytes

GRAPH = workloads.load("zoo:digits")
SYSTOLIC = {
    "array.rows": [3, 16, 40],
    "array.dataflow": ["weight_stationary", "output_stationary", "input_stationary"],
    "memory.weight_sram.bytes": [1000, 65536],
    "technology": ["horowitz_45nm", "scaled_7nm"],
}


def swept(folder: Path, base: str | list[str], axes: Mapping[str, Any], **more: Any) -> ReportData:
    """The page's data of a sweep whose spec is a file in `folder`."""
    path = folder / "space.yaml"
    spec = {"name": "s", "base": base, "workload": "zoo:digits", "axes": dict(axes), **more}
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    list(run(Sweep(path), folder / "run", resume=False))
    return sweep_data(open_store(folder / "run"))


def assert_copies_cost_the_same(data: ReportData, folder: Path, count: int = 6) -> None:
    """Sampled points' YAML, as the page copies it, estimated as a file: the stored numbers."""
    for point in random.Random(7).sample(data.points, min(count, len(data.points))):
        path = folder / f"copied-{point.id}.yaml"
        path.write_text(copied_yaml(point.config), encoding="utf-8")
        totals = estimate(GRAPH, hwconfigs.load(path)).totals
        for name in ("latency_s", "energy_j", "area_mm2", "power_w", "cycles", "utilization"):
            assert getattr(totals, name) == point.metrics[name], (point.id, name)


def test_copied_machines_cost_what_the_table_says(tmp_path: Path) -> None:
    data = swept(tmp_path, "systolic_16x16", SYSTOLIC)
    assert_copies_cost_the_same(data, tmp_path, 12)
    config = nested(data.points[0].config)
    assert config["technology"] == "horowitz_45nm"
    assert config["source"] == hwconfigs.document("systolic_16x16").root.plain()["source"]


def test_copies_stand_alone_with_files_of_their_own(tmp_path: Path) -> None:
    """A base and technologies that lie beside the spec, under a shipped technology's name."""
    shipped = Path(hwconfigs.__file__).parent
    technology = (shipped / "technologies" / "horowitz_45nm.yaml").read_text(encoding="utf-8")
    ours = technology.replace("{at: 64, value: 0.2, low", "{at: 64, value: 0.21, low")
    assert ours != technology
    (tmp_path / "mine.yaml").write_text(ours, encoding="utf-8")
    base = (shipped / "machines" / "systolic_16x16.yaml").read_text(encoding="utf-8")
    (tmp_path / "base.yaml").write_text(base.replace("horowitz_45nm", "mine.yaml"), "utf-8")
    axes = {"technology": ["mine.yaml", "scaled_7nm"], "array.rows": [4, 8]}
    data = swept(tmp_path, "base.yaml", axes)
    (tmp_path / "mine.yaml").unlink()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert_copies_cost_the_same(data, elsewhere)
    assert {type(nested(p.config)["technology"]) for p in data.points} == {dict, str}


def test_copies_of_a_platform(tmp_path: Path) -> None:
    axes = {"host.clock_mhz": [80, 160], "units.npu.array.rows": [4, 16]}
    data = swept(tmp_path, "systolic_and_m4", axes)
    for point in data.points:
        path = tmp_path / "copied.yaml"
        path.write_text(copied_yaml(point.config), encoding="utf-8")
        assert estimate(GRAPH, hwconfigs.load(path)).totals.energy_j == point.metrics["energy_j"]


@pytest.mark.parametrize("name", hwconfigs.names())
def test_a_shipped_machine_is_copied_from_an_estimate(name: str, tmp_path: Path) -> None:
    machine = hwconfigs.load(name)
    path = tmp_path / "copied.yaml"
    path.write_text(copied_yaml(report.config_of(machine)), encoding="utf-8")
    assert hwconfigs.load(path).model_dump() == machine.model_dump()


def test_an_axis_inside_a_technology_writes_its_table_out() -> None:
    machine = {"name": "m", "technology": {"name": "horowitz_45nm", "leakage": {"a": 1, "b": 2}}}
    rows: list[dict[str, Any]] = [{"technology.leakage.a": 5}, {"technology.leakage.a": None}]
    first, second = configs({"m": machine}, rows, ["technology.leakage.a"], {})
    assert nested(first)["technology"] == {"name": "horowitz_45nm", "leakage": {"a": 5, "b": 2}}
    assert nested(second)["technology"]["leakage"] == {"a": 1, "b": 2}
    assert machine["technology"]["leakage"]["a"] == 1  # type: ignore[index]


def test_nested_is_the_way_back_from_dotted() -> None:
    document = {
        "source": {"": "x", "array.rows": "y"},
        "a": {"b": {"c": 1}, "empty": {}, "list": [{"d.e": 1}]},
        "dots": {"x.y": 1, "z": 2},
    }
    assert nested(dotted(document)) == document
    assert yaml.safe_load(copied_yaml(dotted(document))) == document
    assert list(dotted(document))[-1] == "source"


def test_front_points_carry_bounds_folds_and_arenas(tmp_path: Path) -> None:
    data = swept(tmp_path, "systolic_16x16", SYSTOLIC)
    detailed = [p for p in data.points if p.mapped]
    assert 0 < len(detailed) <= 32
    assert {p.id for p in detailed} <= {p.id for p in data.points if p.on_front}
    for point in detailed:
        assert point.layers is not None
        assert point.mapped is not None
        low, high = point.bounds["energy_j"]
        assert sum(point.layers.energy_fj_low) * 1e-15 == pytest.approx(low, rel=1e-14)
        assert sum(point.layers.energy_fj_high) * 1e-15 == pytest.approx(high, rel=1e-14)
        assert low <= point.metrics["energy_j"] <= high
        assert point.mapped.arena == 0
        assert [bool(text) for text in point.mapped.texts] == [m > 0 for m in point.layers.macs]
    ends = [b.offset + b.bytes for b in data.arenas[0]]
    # The extent is rounded up to the arena's alignment of 16 bytes.
    assert -(-max(ends) // 16) * 16 == peak_memory_bytes(GRAPH)


def test_folds_are_those_of_the_closed_form(tmp_path: Path) -> None:
    """Weight stationary: ceil(taps / rows) row folds."""
    axes = {"array.rows": [4, 8]}
    data = swept(tmp_path, "systolic_16x16", axes, objectives=["latency_s", "area_mm2"])
    layer = next(i for i, node in enumerate(GRAPH.nodes) if node.name == "fully_connected_7")
    taps = GRAPH.work[layer].ic
    seen = {p.config["array.rows"]: p.mapped for p in data.points if p.mapped}
    assert seen
    for rows, mapped in seen.items():
        assert mapped is not None
        assert f"\n{math.ceil(taps / int(str(rows)))} row folds" in mapped.texts[layer]


def test_nests_of_a_spatial_machine_are_those_of_estimate() -> None:
    machine = hwconfigs.load("eyeriss_like")
    found = estimate(GRAPH, machine)
    (point,) = estimate_data(GRAPH, [machine], [found], 1).points
    assert point.mapped is not None
    assert found.nests is not None
    assert point.mapped.texts == tuple("" if n is None else n.to_text() for n in found.nests)


def test_without_the_network_a_note_says_so(tmp_path: Path) -> None:
    swept(tmp_path, "systolic_16x16", {"array.rows": [4, 8]})
    manifest = tmp_path / "run" / "manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    document["model_sha256"] = ["of another file"]
    manifest.write_text(json.dumps(document), encoding="utf-8")
    data = sweep_data(open_store(tmp_path / "run"))
    assert any("Loop nests need the network's file" in note for note in data.notes)
    assert all(p.mapped is None for p in data.points)


def test_first_order_is_the_closed_form() -> None:
    """Y = 2 a + b on {0, 1} x {0, 1, 2}: variances 4/4 and 2/3, and a product has interactions."""
    grid = list(itertools.product((0, 1), (0, 1, 2)))
    y = np.array([2 * a + b for a, b in grid], np.float64)
    shares = [first_order([row[axis] for row in grid], y) for axis in (0, 1)]
    assert shares == pytest.approx([1 / (1 + 2 / 3), (2 / 3) / (1 + 2 / 3)])
    product = np.array([(2 * a - 1) * (b - 1) for a, b in grid], np.float64)
    assert [first_order([row[axis] for row in grid], product) for axis in (0, 1)] == [0, 0]
    with pytest.raises(ValueError, match="does not vary"):
        first_order([1, 2], np.ones(2))


def test_sensitivity_of_a_sweep(tmp_path: Path) -> None:
    """Latency is cycles / clock: where cycles do not move, the clock explains all of its logarithm.

    A wider accumulator moves no cycle and the clock no area.
    """
    axes = {"clock_mhz": [200, 400, 800], "datapath.accumulator.bits": [24, 32]}
    found = sensitivity_of(swept(tmp_path, "systolic_16x16", axes))
    assert found is not None
    assert found.axes == tuple(axes)
    assert found.whole_grid
    assert (found.points, found.logarithmic) == (6, (True, True, True))
    latency, _, area = zip(*found.shares, strict=True)
    assert latency == pytest.approx((1, 0), abs=1e-12)
    assert area == pytest.approx((0, 1), abs=1e-12)
    assert found.together[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("period", [2, 3, 5, 8, 25])
def test_a_sample_keeps_every_value_of_an_axis(period: int) -> None:
    mask = sampled(100_000, 4000)
    counts = np.bincount(np.flatnonzero(mask) % period)
    assert 3900 <= counts.sum() <= 4100
    assert counts.min() > 0.9 * counts.max()
    assert sampled(7, 7).all()


def test_maximised_objectives_change_their_sign() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert oriented(values, ["latency_s", "accuracy"]).tolist() == [[1, -2], [3, -4]]
    assert plane_front([1, 2, 3], [1, 3, 2], ("min", "max")) == [0, 1]


def test_csv_holds_every_point(tmp_path: Path) -> None:
    data = swept(tmp_path, "systolic_16x16", SYSTOLIC)
    target = tmp_path / "points.csv"
    report_command(tmp_path / "run", tmp_path / "page.html", csv=target)
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(data.points)
    for row, point in zip(rows, data.points, strict=True):
        assert int(row["point"]) == point.id
        assert float(row["energy_j"]) == point.metrics["energy_j"]
        assert row["array.dataflow"] == point.config["array.dataflow"]
        assert row["on_front"] == str(point.on_front).lower()


def test_more_points_than_the_page_holds_are_sampled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = swept(tmp_path, "systolic_16x16", SYSTOLIC)
    monkeypatch.setattr(report, "SHOWN_POINTS", 10)
    data = sweep_data(open_store(tmp_path / "run"))
    assert len(data.points) < len(whole.points)
    front = [p.id for p in whole.points if p.on_front]
    assert [p.id for p in data.points if p.on_front] == front
    assert any("36 points: the page holds" in note for note in data.notes)


def test_a_figure_without_its_exporter_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(tmp_path, "systolic_16x16", {"array.rows": [4, 8]})
    monkeypatch.setattr(exported, "find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"^--svg: needs kaleido, .*'bitlane\[figures\]'"):
        report_command(tmp_path / "run", tmp_path / "page.html", svg=tmp_path / "f.svg")
    assert not (tmp_path / "page.html").exists()


def test_figures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("kaleido", reason="kaleido is not installed")
    swept(tmp_path, "systolic_16x16", {"array.rows": [4, 8]})
    report_command(tmp_path / "run", tmp_path / "page.html", svg=tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text(encoding="utf-8")
    assert text.startswith("<svg")
    assert "Latency [s]" in text
    assert "<image" not in text
