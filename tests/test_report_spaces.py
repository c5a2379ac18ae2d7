"""`bitlane report` of sweeps over machines, networks and widths, and of damaged folders."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

import hwconfigs
import workloads
from analysis import searches
from analysis.constraints import Sense
from analysis.copied import nested
from analysis.details import layers_of, machine_of
from analysis.page import Objective, Point, ReportData
from analysis.plots import THEMES, bar_look
from analysis.report import report_command, sweep_data
from analysis.searches import SearchRun, problem_of
from analysis.sensitivity import first_order, sensitivity_of
from analysis.space_plots import pareto_figure
from analysis.store import open_store
from simulator.cost import estimate
from simulator.errors import BadFile
from tests.test_report import GRAPH, assert_copies_cost_the_same, swept


def test_layers_of_several_machines_are_those_of_estimate(tmp_path: Path) -> None:
    """Each machine has memories of its own, and a platform has units."""
    bases = ["systolic_and_m4", "cortex_m4", "systolic_16x16"]
    axes = {"array.rows": {"values": [4, 8], "when": {"base": "systolic_16x16"}}}
    data = swept(tmp_path, bases, axes)
    assert {p.machine for p in data.points} == set(bases)
    assert data.axes[0] == "name"
    for point in data.points:
        machine = machine_of(point)
        made = layers_of(estimate(GRAPH, machine), machine)
        kept = point.layers
        assert kept is not None
        assert made.spans == kept.spans or not point.on_front
        for name in ("compute", "stall", "overhead", "macs", "dram_bytes", "peak_macs_per_cycle"):
            assert getattr(kept, name) == getattr(made, name), (point.machine, name)
        assert {k: v for k, v in kept.energy_fj.items() if any(v)} == {
            k: v for k, v in made.energy_fj.items() if any(v)
        }
    assert any("horowitz_45nm" in note for note in data.notes)


def test_costs_of_each_network_are_those_of_estimate(tmp_path: Path) -> None:
    lines = ["Layer, H, W, FH, FW, C, N, Strides,", "conv1, 16, 16, 3, 3, 3, 16, 1,"]
    (tmp_path / "tiny.csv").write_text("\n".join(lines), encoding="utf-8")
    mix = [{"model": "zoo:digits", "weight": 2}, {"model": "tiny.csv"}]
    data = swept(tmp_path, "systolic_16x16", {"array.rows": [4, 8]}, workload=None, workloads=mix)
    tiny = workloads.load(tmp_path / "tiny.csv")
    for point in data.points:
        machine = machine_of(point)
        for title, graph in (("digits", GRAPH), ("tiny", tiny)):
            totals = estimate(graph, machine).totals
            for name in ("latency_s", "energy_j", "cycles", "utilization"):
                assert point.metrics[f"{title}.{name}"] == getattr(totals, name)


def test_costs_of_a_model_are_not_shown_as_joules(tmp_path: Path) -> None:
    axes = {"technology": ["pareto_linear"], "array.rows": [4, 8]}
    data = swept(tmp_path, "systolic_16x16", axes, objectives=["latency_s", "cost"])
    assert len(data.points) == 2
    for point in data.points:
        assert point.metrics["cost"] > 0
        assert point.layers is not None
        assert point.layers.energy_fj == {}
        assert sum(point.layers.compute) > 0


@pytest.mark.parametrize("within", [True, False])
def test_widths_of_classes_of_layers_are_axes_of_the_page(tmp_path: Path, within: bool) -> None:
    """Whether the base has layers of its own or none."""
    shipped = Path(hwconfigs.__file__).parent / "machines" / "bitfusion_16x16.yaml"
    document = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    if within:
        document["datapath"]["layers"] = [{"layer": "last", "weight_bits": 8}]
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    axes = {"datapath.layers.first.weight_bits": [4, 8], "datapath.narrow": [True]}
    data = swept(tmp_path, "base.yaml", axes)
    assert [p.value("datapath.layers.first.weight_bits") for p in data.points] == [4, 8]
    assert all(bool(p.choices) == within for p in data.points)
    found = sensitivity_of(data)
    assert found is not None
    assert found.axes == ("datapath.layers.first.weight_bits",)
    assert_copies_cost_the_same(data, tmp_path)
    for point in data.points:
        if point.on_front:
            assert point.layers is not None
            low, high = point.bounds["energy_j"]
            assert sum(point.layers.energy_fj_low) * 1e-15 == pytest.approx(low, rel=1e-14)
            assert sum(point.layers.energy_fj_high) * 1e-15 == pytest.approx(high, rel=1e-14)


def test_a_design_of_mixed_precision_is_copied_as_layers(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    spec = {
        "name": "widths", "base": "bitfusion_16x16", "workload": "zoo:digits",
        "data": "zoo:digits", "objectives": ["energy_j", "accuracy"],
        "search": {"problem": "mixed_precision", "bits": [4, 8], "evaluations": 4, "population": 4},
    }  # fmt: skip
    path = tmp_path / "widths.yaml"
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    list(searches.run(SearchRun(problem_of(path)), tmp_path / "found", resume=False))
    data = sweep_data(open_store(tmp_path / "found"))
    assert set(data.axes) == set(data.points[0].choices)
    assert_copies_cost_the_same(data, tmp_path)
    layers = nested(data.points[1].config)["datapath"]["layers"]
    assert [entry["weight_bits"] for entry in layers] == list(data.points[1].choices.values())


def test_a_conditional_axis_is_judged_where_it_applies() -> None:
    """Rows 4 and 8 double the latency; the other machine is slower by far and has no rows."""
    objectives = (Objective("latency_s", "Latency", "s"), Objective("energy_j", "Energy", "J"))
    drafts: list[tuple[dict[str, object], float]]
    drafts = [({"name": "a", "rows": 4}, 2.0), ({"name": "a", "rows": 8}, 1.0), ({"name": "b"}, 99)]
    points = tuple(
        Point(i, "m", config, {"latency_s": cost, "energy_j": 1 + i}, on_front=True)
        for i, (config, cost) in enumerate(drafts)
    )
    found = sensitivity_of(ReportData("t", "s", objectives, ("name", "rows"), points))
    assert found is not None
    assert found.partial == ("rows",)
    assert found.shares[1] == (1.0, 1.0)
    assert found.shares[0][0] == pytest.approx(
        first_order(["a", "a", "b"], np.log([2.0, 1.0, 99.0]))
    )


@pytest.mark.parametrize("first", ["min", "max"])
@pytest.mark.parametrize("second", ["min", "max"])
def test_a_staircase_encloses_what_its_points_beat(first: Sense, second: Sense) -> None:
    """No corner between two points of a front is better than both: one of them beats it."""
    signs = [1 if sense == "min" else -1 for sense in (first, second)]
    plane = [(3.0 + signs[0] * d, 3.0 - signs[1] * d) for d in (-1, 0, 1)]
    objectives = (Objective("x", "X", "", first), Objective("y", "Y", "", second))
    points = tuple(
        Point(i, "m", {}, {"x": x, "y": y}, on_front=True) for i, (x, y) in enumerate(plane)
    )
    line = pareto_figure(ReportData("t", "s", objectives, (), points)).data[1]
    assert set(zip(line.x, line.y, strict=True)) == set(plane)
    for (ax, ay), (bx, by) in itertools.pairwise(zip(line.x, line.y, strict=True)):
        # plotly: "hv" goes across first, "vh" up or down first.
        corner = {"hv": (bx, ay), "vh": (ax, by)}[line.line.shape]
        assert any(
            signs[0] * x <= signs[0] * corner[0] and signs[1] * y <= signs[1] * corner[1]
            for x, y in plane
        )


def damage(folder: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = folder / table / "part-00000.parquet"
    change(pl.read_parquet(path)).write_parquet(path)


@pytest.mark.parametrize(
    ("table", "change", "told"),
    [
        ("points", lambda t: t.drop("latency_s"), "points: lacks the column 'latency_s'"),
        ("points", lambda t: t.drop("array.rows"), "points: lacks the column 'array.rows'"),
        ("points", lambda t: t.with_columns(energy_j=pl.lit("x")), "'energy_j' holds no numbers"),
        ("layers", lambda t: t.drop("compute"), "layers: damaged or of another version"),
        ("layers", lambda t: t.drop("point"), "layers: damaged or of another version"),
        ("layers", lambda t: t.head(len(t) - 3), "layers: damaged or of another version"),
        ("layers", lambda t: t.with_columns(macs=pl.lit("x")), "layers: damaged or of another"),
    ],
)
def test_damaged_tables_are_told_in_one_line(
    tmp_path: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame], told: str
) -> None:
    swept(tmp_path, "systolic_16x16", {"array.rows": [4, 8]})
    damage(tmp_path / "run", table, change)
    with pytest.raises(BadFile) as caught:
        report_command(tmp_path / "run", tmp_path / "page.html")
    assert told in str(caught.value)
    assert str(caught.value).endswith("run the sweep again with another --out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("model_sha256", "abc", "the 'model_sha256' in its manifest is damaged"),
        ("machines", {"systolic_16x16": {"name": "x"}}, "the 'machines' in its manifest are"),
        ("machines", [1], "the 'machines' in its manifest are"),
        ("layers", ["conv"], "layers: damaged or of another version"),
    ],
)
def test_damaged_manifests_are_told_in_one_line(
    tmp_path: Path, key: str, value: object, told: str
) -> None:
    swept(tmp_path, "systolic_16x16", {"array.rows": [4, 8]})
    manifest = tmp_path / "run" / "manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps(document | {key: value}), encoding="utf-8")
    with pytest.raises(BadFile, match=told):
        report_command(tmp_path / "run", tmp_path / "page.html")


def test_a_run_of_an_older_version_opens(tmp_path: Path) -> None:
    """Before sweeps over several machines the manifest had the one, and no bounds of energy."""
    whole = swept(tmp_path, "systolic_16x16", {"array.rows": [4, 8]})
    manifest = tmp_path / "run" / "manifest.json"
    document = json.loads(manifest.read_text(encoding="utf-8"))
    del document["machines"], document["technology_documents"]
    manifest.write_text(json.dumps(document), encoding="utf-8")
    damage(tmp_path / "run", "points", lambda t: t.drop("energy_j_low", "energy_j_high"))
    data = sweep_data(open_store(tmp_path / "run"))
    assert [p.metrics for p in data.points] == [p.metrics for p in whole.points]
    assert [p.config for p in data.points] == [p.config for p in whole.points]


def test_parts_of_an_energy_bar_differ() -> None:
    look = THEMES["light"]
    marks = [(m["color"], m["pattern"]["shape"]) for m in (bar_look(i, look) for i in range(24))]
    assert len(set(marks)) == 24
