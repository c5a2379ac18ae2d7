"""docs/sweeps.md: its examples run and give what the page says; so does the sweep that ships."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import analysis
import hwconfigs
from analysis.axes import members_of
from analysis.cli import app
from analysis.constraints import SENSE, parse
from analysis.spec import SweepSpec, load_spec
from analysis.store import open_store
from analysis.sweeps import Sweep, run
from simulator.config import parse_yaml

PAGE = (Path(__file__).parents[1] / "docs/sweeps.md").read_text(encoding="utf-8")
YAMLS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
READING, PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_whole_example(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(YAMLS[0], encoding="utf-8")
    spec, _ = load_spec(tmp_path / "space.yaml")
    grid, sample = re.findall(r"These are (\d+) designs, of which (\d+) are taken", PAGE)[0]
    assert (spec.layout.grid.count, spec.count) == (int(grid), int(sample))
    table = analysis.sweep(tmp_path / "space.yaml")
    assert len(table) == spec.count
    assert table["refused"].null_count() == len(table)
    for text in spec.constraints:
        limit = parse(text)
        inside = table.filter(pl.col("outside").is_null())[limit.metric]
        assert not any(limit.broken(value) for value in inside)
    assert {"digits.latency_s", "resnet50.energy_j"} <= set(table.columns)
    assert len(analysis.pareto(table, spec.objectives)) > 3


def test_the_widths_of_classes_of_layers() -> None:
    axes = parse_yaml(YAMLS[1], "page").root.plain()["axes"]
    spec = SweepSpec(name="s", base="systolic_16x16", workload="zoo:digits", axes=axes)
    assert spec.count == 6
    machines = [Sweep(Path(), spec).machine(values) for values in spec.designs()]
    assert [m.datapath.weight_bits for m in machines] == [2, 4, 8] * 2
    assert {o.layer for m in machines for o in m.datapath.layers} == {"first", "last", "depthwise"}


def test_the_python_example() -> None:
    names: dict[str, object] = {}
    exec(compile(PYTHON, "docs/sweeps.md", "exec"), names)
    front = names["front"]
    assert isinstance(front, pl.DataFrame)
    assert 1 <= len(front) <= 2


FIELDS = re.findall(r"^\| `(\w+)` \|", PAGE.split("## Fields")[1].split("## Axes")[0], re.MULTILINE)


def test_every_field_is_in_the_table() -> None:
    assert sorted(FIELDS) == sorted(SweepSpec.model_fields)


def test_a_store_is_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parts, what reads them, and that the commands of the section run."""
    axes: dict[str, Any] = {"array.rows": [4, 8], "array.cols": [4, 8]}
    spec = SweepSpec(
        name="sides",
        base="systolic_16x16",
        workload="zoo:digits",
        axes=axes,
        chunk_points=3,
        data="zoo:digits",
    )
    list(run(Sweep(tmp_path / "space.yaml", spec), tmp_path / "results", resume=False))
    found = {path.relative_to(tmp_path / "results").parts[0]
             for path in (tmp_path / "results").rglob("*") if path.is_file()}  # fmt: skip
    section = PAGE.split("## The store")[1].split("## In Python")[0]
    told = re.findall(r"^\| `([^`/]+)", section, re.MULTILINE)
    assert found - {".lock"} == set(told)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(READING, "docs/sweeps.md", "exec"), names)
    points = open_store(tmp_path / "results").points()
    assert_frame_equal(names["best"], points.sort("energy_j"))
    assert (points["energy_j_low"] < points["energy_j"]).all()
    assert (points["energy_j"] < points["energy_j_high"]).all()
    (command,) = re.findall(r"^bitlane (reprice .*)$", section, re.MULTILINE)
    outcome = CliRunner().invoke(app, command.split())
    assert outcome.exit_code == 0, outcome.output
    repriced = open_store(tmp_path / "results-7nm")
    assert set(repriced.manifest["mapped_for"]) == {"objective", "technology", "by_price"}
    assert len(repriced.points()) == 4


ROWS = [
    (line.split("|")[1].strip().strip("`"), line.split("|")[2].strip())
    for line in PAGE.split("## Axes")[1].split("`when` names")[0].splitlines()
    if line.startswith("| `")
]


@pytest.mark.parametrize(
    ("written", "values"),
    [
        (ROWS[0][0], [(4,), (8,), (12,)]),
        (ROWS[1][0], [(4,), (8,), (12,), (16,)]),
        (ROWS[2][0], [(3,), (6,), (12,), (24,)]),
        (ROWS[4][0], [(4, 8), (8, 16)]),
        (ROWS[5][0], [(4, 8), (8, 4)]),
    ],
)
def test_each_way_to_write_an_axis(written: str, values: list[tuple[int, ...]]) -> None:
    axes = parse_yaml(written, "page").root.plain()
    spec = SweepSpec(name="s", base="systolic_16x16", workload="zoo:digits", axes=axes)
    assert spec.designs() == values
    ((name, axis),) = spec.axes.items()
    assert list(zip(*members_of(name, axis).values(), strict=True)) == values


def test_every_metric_and_unit_of_the_page() -> None:
    told = set()
    for line in PAGE.split("| metric |")[1].split("A constraint is")[0].splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for metric in re.findall(r"`(\w+)`", cells[0]):
            told.add(metric)
            assert SENSE[metric] == {"less": "min", "more": "max"}[cells[1]]
            for unit in filter(None, cells[2].split(", ")):
                assert parse(f"{metric} <= 0.5{unit}").metric == metric
    assert told == set(SENSE)


def test_the_shipped_sweep_is_made_of_every_kind_of_axis() -> None:
    spec, _ = load_spec(hwconfigs.sweep_path("machines_and_widths"))
    systolic = 4 * 2 * 4 * 2
    assert spec.layout.grid.count == 2 * (
        # By dataflow: weights in either of two buffers, or as they are. One machine in two widths.
        (systolic // 2 * 3) + (systolic // 2 // 2 * 3) + 4 * 2
    )
    table = analysis.sweep(hwconfigs.sweep_path("machines_and_widths"))
    assert table["refused"].null_count() == len(table) == 200
    assert 0 < table["outside"].null_count() < 200
