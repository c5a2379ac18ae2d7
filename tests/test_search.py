"""Search: what it reaches of a known space, what it never returns, and that it can be repeated."""

import contextlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import ValidationError

import analysis
from analysis.constraints import parse
from analysis.front import kept, pareto
from analysis.report import sweep_data
from analysis.search_methods import Proposer, Space, first_designs
from analysis.search_scores import REFUSED, losses, violations
from analysis.search_spec import Search
from analysis.searches import SearchRun, problem_of, run, search
from analysis.spec import SweepSpec
from analysis.store import open_store
from analysis.sweeps import Sweep
from simulator.errors import BadConfig, RunFolderBusy
from tests.bench.search import SPACES, Enumerated, space

SMALL: dict[str, Any] = {
    "name": "small",
    "base": "systolic_16x16",
    "workload": "zoo:digits",
    "axes": {
        "array.rows": [2, 4, 8, 16],
        "array.cols": [2, 4, 8, 16],
        "array.dataflow": ["weight_stationary", "output_stationary"],
        "datapath.accumulator.bits": [8, 20, 32],
        "memory.dram.bytes_per_cycle": [1, 2, 4, 8],
    },
    "constraints": ["area_mm2 <= 0.8", "latency_s <= 50us"],
}
"""384 designs, of which some break either constraint."""


def small(**settings: Any) -> SweepSpec:
    own = {"evaluations": 60, "population": 12, "stall": None} | settings
    return SweepSpec(**SMALL, search=Search(**own))


@pytest.mark.parametrize("name", list(SPACES)[:2])
def test_a_tenth_of_the_evaluations_reaches_the_front(name: str) -> None:
    """The ten seeds, and ResNet-8, are in ``python -m tests.bench.search``."""
    spec = space(name)
    assert spec is not None
    every = Enumerated(spec)
    assert 5_000 <= spec.count <= 20_000
    for seed in (0, 1):
        points = every.searched(seed)
        assert len(points) == spec.count // 10
        assert every.found(points).part >= 0.98, seed
        assert every.found(every.drawn(seed)).part < every.found(points).part


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_no_design_is_evaluated_twice_and_none_returned_breaks_a_constraint(method: str) -> None:
    spec = small(method=method)
    points = analysis.search(spec)
    assert len(points) == 60
    assert points.select(list(SMALL["axes"])).is_duplicated().sum() == 0
    front = pareto(kept(points), spec.objectives)
    assert len(front) > 0
    assert front["area_mm2"].max() <= 0.8  # type: ignore[operator]
    assert front["latency_s"].max() <= 50e-6  # type: ignore[operator]
    assert points["outside"].is_not_null().any()


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_the_same_seed_gives_the_same_table(method: str) -> None:
    first = search(small(method=method, seed=3))
    assert_frame_equal(first, search(small(method=method, seed=3)))
    assert not first.equals(search(small(method=method, seed=4)))


def test_a_point_is_the_point_of_the_sweep() -> None:
    spec = small(evaluations=24)
    found, axes = search(spec), list(SMALL["axes"])
    every = Sweep(Path(), spec).tables(spec.choices())[0]
    both = found.drop("point", "generation", "hypervolume").join(
        every.drop("point"), on=axes, how="left", maintain_order="left", suffix="_swept"
    )
    for name in ("cycles", "energy_fj", "area_mm2", "latency_s", "outside"):
        assert both[name].equals(both[f"{name}_swept"], check_names=False), name


def test_the_hypervolume_is_that_of_the_allowed_designs_so_far() -> None:
    """The reference is the worst allowed design of the first batch; here two objectives by hand."""
    spec = small().model_copy(update={"objectives": ("latency_s", "area_mm2")})
    points = search(spec)
    costs = np.log10(points.select(spec.objectives).to_numpy())
    allowed = points["outside"].is_null().to_numpy()
    reference = costs[:12][allowed[:12]].max(axis=0)
    assert points["generation"].to_list() == [n // 12 for n in range(60)]
    for count in (12, 30, 60):
        # The staircase of the designs so far, in order of the first objective.
        volume, height = 0.0, reference[1]
        for x, y in sorted(map(tuple, costs[:count][allowed[:count]].tolist())):
            if x < reference[0] and y < height:
                volume += (reference[0] - x) * (height - y)
                height = y
        assert points["hypervolume"][count - 1] == pytest.approx(volume, rel=1e-12)
    assert (points["hypervolume"].diff().drop_nulls() >= 0).all()


def test_a_search_ends_where_it_stalls_or_knows_all(tmp_path: Path) -> None:
    spec = small(evaluations=384, stall={"generations": 2, "gain": 0.05})
    told = SearchRun(problem_of(Path(), spec))
    done = list(run(told, tmp_path / "a", resume=False))
    assert told.ending == "stall"
    assert done[-1] < 384
    manifest = json.loads((tmp_path / "a/manifest.json").read_text())
    assert (manifest["points"], manifest["ended"]["by"]) == (done[-1], "stall")
    history = told.progress.history
    assert history[-1] - history[-3] < 0.05 * history[-1]
    assert list(run(SearchRun(problem_of(Path(), spec)), tmp_path / "a", resume=True)) == done
    everything = SearchRun(problem_of(Path(), small(evaluations=5000)))
    assert sum(len(points) for points, *_ in everything.batches(None)) == 384
    assert everything.ending == "exhausted"


def test_a_stopped_search_resumes_to_the_same_table(tmp_path: Path) -> None:
    spec, whole = small(), tmp_path / "whole"
    list(run(SearchRun(problem_of(Path(), spec)), whole, resume=False))
    expected = open_store(whole)
    for stop in (1, 3):
        folder = tmp_path / str(stop)
        steps = run(SearchRun(problem_of(Path(), spec)), folder, resume=False)
        for _ in range(stop):
            next(steps)
        del steps
        assert open_store(folder).kept == 12 * stop
        resumed = SearchRun(problem_of(Path(), spec))
        list(run(resumed, folder, resume=True))
        assert_frame_equal(open_store(folder).points(), expected.points())
        assert_frame_equal(open_store(folder).layers(), expected.layers())
        assert json.loads((folder / "manifest.json").read_text()) == expected.manifest
    other = SearchRun(problem_of(Path(), small(seed=1)))
    with pytest.raises(RunFolderBusy, match="'spec' is not this one's"):
        list(run(other, whole, resume=True))
    (whole / "points/part-00001.parquet").write_bytes(b"PAR1")
    list(run(SearchRun(problem_of(Path(), spec)), whole, resume=True))
    assert_frame_equal(open_store(whole).points(), open_store(tmp_path / "1").points())


def test_known_batches_are_not_evaluated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    points = search(small())
    monkeypatch.setattr(Sweep, "tables", lambda *_, **__: pytest.fail("evaluated again"))
    again = SearchRun(problem_of(Path(), small())).batches(points)
    assert_frame_equal(pl.concat([made for made, *_ in again]), points)


def test_an_accuracy_is_executed_once_in_all_runs_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes = SMALL["axes"] | {"datapath.accumulator.bits": [14, 20]}
    own = {"objectives": ("accuracy", "energy_j"), "data": "zoo:digits", "axes": axes}
    spec = SweepSpec(**SMALL | own, search=Search(evaluations=30, population=10))
    first = SearchRun(problem_of(Path(), spec))
    with contextlib.closing(cast(Generator[int], run(first, tmp_path, resume=False))) as steps:
        assert next(steps) == 10
    monkeypatch.setattr("analysis.accuracy.evaluate", None)
    again = SearchRun(problem_of(Path(), spec))
    list(run(again, tmp_path, resume=True))
    points = open_store(tmp_path).points()
    assert len(points) == 30
    for _, designs in points.group_by("datapath.accumulator.bits"):
        assert designs["accuracy"].drop_nulls().n_unique() == 1
    assert isinstance(again.sweep, Sweep)
    assert again.sweep.accuracies is not None
    assert (again.sweep.accuracies.evaluated, again.sweep.accuracies.found) == (0, 2)


def test_the_report_opens_a_search(tmp_path: Path) -> None:
    list(run(SearchRun(problem_of(Path(), small())), tmp_path, resume=False))
    data = sweep_data(open_store(tmp_path))
    assert 0 < len(data.points) <= 60
    assert all(point.layers is not None for point in data.points)


def test_constraint_domination_is_by_how_far() -> None:
    table = pl.DataFrame(
        {
            "area_mm2": [1.0, 2.0, 3.0, None],
            "accuracy": [0.5, 0.9, None, None],
            "latency_s": [1e-3, 1e-2, 1.0, None],
            "refused": pl.Series([None, None, None, "too wide"], dtype=pl.String),
        }
    )
    limits = [parse("area_mm2 <= 2.0"), parse("accuracy >= 0.8")]
    found = violations(table, limits)
    assert found == pytest.approx([0.3 / 0.8 + 1e-9, 0.0, 0.5 + 1e6, REFUSED], rel=1e-6)
    assert violations(table, [parse("area_mm2 < 2.0")])[1] > 0
    costs = losses(table, ["latency_s", "accuracy"])
    np.testing.assert_allclose(costs[:2], [[-3, -0.5], [-2, -0.9]], rtol=1e-15)
    assert np.isnan(costs[3]).all()


SPACE = Space((3, 4, 2), (True, True, False), 12, ((), ((0, frozenset({0})),), ()))
"""The second axis applies where the first has its first value: 4 * 2 + 2 * 2 designs."""


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_every_design_is_proposed_once_though_axes_depend_on_others(method: Any) -> None:
    proposer = Proposer(SPACE, Search(evaluations=12, population=4, method=method), 2)
    seen: list[tuple[int, ...]] = []
    while len(batch := proposer.ask(5)):
        seen += map(tuple, batch.tolist())
        rows = batch.astype(np.float64)
        proposer.tell(np.stack([rows.sum(axis=1), -rows[:, 0]], axis=1), np.zeros(len(batch)))
    every = {(0, b, c) for b in range(4) for c in range(2)}
    every |= {(a, -1, c) for a in (1, 2) for c in range(2)}
    assert len(seen) == 12
    assert set(seen) == every


def test_the_first_designs_are_corners_and_fill_the_space() -> None:
    sizes = (5, 7, 2, 1)
    known = Space(sizes, (True,) * 4, 70)
    made = [tuple(row) for row in first_designs(known, 40, seed=5).tolist()]
    assert len(made) == len(set(made)) == 40
    assert made[:2] == [(0, 0, 0, 0), (4, 6, 1, 0)]
    assert {(4, 0, 0, 0), (0, 6, 0, 0), (0, 6, 1, 0), (4, 0, 1, 0)} <= set(made)
    for axis, size in enumerate(sizes):
        assert {row[axis] for row in made} == set(range(size))


def test_a_spec_without_the_section_is_refused() -> None:
    with pytest.raises(BadConfig, match=r"small: has no search section; add one"):
        SearchRun(Sweep(Path(), SweepSpec(**SMALL)))


def test_a_space_beyond_a_sweep_is_searched() -> None:
    sizes = {"range": {"first": 1, "last": 40}}
    bytes_of = {"range": {"first": 4096, "last": 43008, "step": 1024}}
    axes = {"array.rows": sizes, "array.cols": sizes, "memory.dram.bytes_per_cycle": sizes}
    axes |= {f"memory.{name}_sram.bytes": bytes_of for name in ("ifmap", "weight", "ofmap")}
    big = SMALL | {"axes": axes, "constraints": []}
    with pytest.raises(ValidationError, match="shorten an axis"):
        SweepSpec(**big)
    spec = SweepSpec(**big, search=Search(evaluations=30, population=10))
    assert spec.count > 10**9
    assert len(search(spec)) == 30
