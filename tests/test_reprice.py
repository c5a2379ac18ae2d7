"""Sweeps priced again: what a fresh sweep gives, from the kept actions alone."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import hwconfigs
import workloads
from analysis import reprice as repricing
from analysis import sweeps
from analysis.identity import digest
from analysis.report import sweep_data
from analysis.reprice import reprice
from analysis.searches import SearchRun, problem_of
from analysis.searches import run as search
from analysis.spec import SweepSpec
from analysis.store import Store, open_store
from analysis.sweeps import Sweep, run
from simulator import designs, networks
from simulator.cost import count, price
from simulator.errors import BadConfig, BadFile
from simulator.machines.registry import kinds
from tests.test_search import small

AXES: dict[str, dict[str, list[Any]]] = {
    "systolic_16x16": {
        "array.rows": [3, 16],
        "array.dataflow": ["weight_stationary", "output_stationary"],
        "datapath.weight_bits": [4, 8],
        "memory.weight_sram.bytes": [4096, 65536],
    },
    "hvx_1024": {"clock_mhz": [100, 512.5], "datapath.accumulator.bits": [24, 32]},
    "cortex_m4": {"core.simd.int8.dot": [1, 2], "memory.flash.wait_states": [0, 5]},
    "gemm_l1": {"clock_mhz": [100, 200], "memory.1.bits_per_cycle": [64, 512]},
}
WITHOUT_PARTS = ("pareto_quadratic", "mcu_boards")
TECHNOLOGIES = ("scaled_16nm", "synthesized_45nm", *WITHOUT_PARTS)


def machine_file(folder: Path, base: str, technology: str) -> Path:
    """A machine like a shipped one, in another technology."""
    plain = hwconfigs.document(base, [("technology", technology)]).root.plain()
    return written(folder / f"{base}-{Path(technology).stem}.yaml", plain)


def priced_by_technology(folder: Path, technology: str, base: str = "gemm_l1") -> Path:
    """A machine without the prices of its own, so that its search sees the technology's."""
    plain = hwconfigs.document(base, [("technology", technology)]).root.plain()
    plain.pop("mac_pj", None)
    own = ("read_pj", "write_pj")
    plain["memory"] = [{k: v for k, v in m.items() if k not in own} for m in plain["memory"]]
    return written(folder / f"priced-{technology}.yaml", plain)


def written(path: Path, plain: dict[str, Any]) -> Path:
    path.write_text(json.dumps(plain), encoding="utf-8")
    return path


def swept(folder: Path, base: Path | str, axes: dict[str, list[Any]], **fields: Any) -> Store:
    known: dict[str, Any] = {"name": "s", "workload": "zoo:digits", "chunk_points": 3}
    spec = SweepSpec(base=str(base), **known | {"axes": axes} | fields)
    list(run(Sweep(Path(), spec), folder, resume=False))
    return open_store(folder)


def assert_same(found: Store, fresh: Store) -> None:
    assert_frame_equal(found.points(), fresh.points())
    assert_frame_equal(found.layers(), fresh.layers())


@pytest.mark.parametrize("technology", TECHNOLOGIES)
@pytest.mark.parametrize("base", AXES)
def test_the_result_is_a_fresh_sweeps(tmp_path: Path, base: str, technology: str) -> None:
    """Every column of both tables, exactly: refused designs, areas and bounds included."""
    first = machine_file(tmp_path, base, "horowitz_45nm")
    second = machine_file(tmp_path, base, technology)
    cost = technology.startswith("pareto")
    objectives = ("latency_s", "area_mm2") if cost else ("latency_s", "energy_j")
    fields: dict[str, Any] = {"objectives": objectives, "constraints": ["latency_s <= 1e-4"]}
    swept(tmp_path / "a", first, AXES[base], **fields)
    fresh = swept(tmp_path / "b", second, AXES[base], **fields)
    found = reprice(tmp_path / "a", technology, tmp_path / "c")
    if base == "gemm_l1" and technology in WITHOUT_PARTS:
        # Its own picojoules break ties between mappings, and count for nothing in the second.
        assert_frame_equal(found.points(), fresh.points())
    else:
        assert_same(found, fresh)
    for key in ("machine", "technologies", "layers", "versions"):
        assert found.manifest[key] == fresh.manifest[key]
    hashes = [list(store.manifest["machine_sha256"].values()) for store in (found, fresh)]
    assert hashes[0] == hashes[1]
    assert sweep_data(open_store(tmp_path / "c")).axes == tuple(AXES[base])


def test_a_search_by_latency_breaks_ties_by_price(tmp_path: Path) -> None:
    """Cycles are a fresh search's in any technology, and all else where it breaks ties alike."""
    axes = AXES["gemm_l1"]
    swept(tmp_path / "a", priced_by_technology(tmp_path, "horowitz_45nm"), axes)
    for technology in ("scaled_16nm", "synthesized_45nm"):
        fresh = swept(tmp_path / technology, priced_by_technology(tmp_path, technology), axes)
        assert_same(reprice(tmp_path / "a", technology, tmp_path / f"to-{technology}"), fresh)
    fresh = swept(tmp_path / "b", priced_by_technology(tmp_path, "mcu_boards"), axes)
    found = reprice(tmp_path / "a", "mcu_boards", tmp_path / "c")
    assert_frame_equal(found.points(), fresh.points())
    assert not found.layers().equals(fresh.layers())
    assert found.manifest["mapped_for"]["objective"] == ["latency"]
    assert found.manifest["mapped_for"]["by_price"]


def test_several_machines_and_networks(tmp_path: Path) -> None:
    """Bases of two kinds, axes of only one of them, and a weighted mix of networks."""
    topology = tmp_path / "net.csv"
    topology.write_text(
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, "
        "Num Filter, Strides,\nConv1, 9, 9, 3, 3, 2, 8, 1,\nFC, 1, 1, 1, 1, 8, 4, 1,\n",
        encoding="utf-8",
    )
    networks = [
        {"model": "zoo:digits", "weight": 3.0},
        {"model": str(topology), "weight": 0.5, "name": "net"},
    ]
    known: dict[str, Any] = {
        "name": "s",
        "workloads": networks,
        "base": ["systolic_16x16", "cortex_m4"],
        "axes": {
            "clock_mhz": [80, 160],
            "array.rows": {"values": [4, 8], "when": {"base": "systolic_16x16"}},
            "datapath.weight_bits": [4, 8],
        },
        "constraints": ["energy_j <= 1e-4"],
        "chunk_points": 5,
    }

    def spec(technology: str) -> Sweep:
        axes = known["axes"] | {"technology": [technology]}
        return Sweep(Path(), SweepSpec(**known | {"axes": axes}))

    first = Sweep(Path(), SweepSpec(**known))
    list(run(first, tmp_path / "a", resume=False))
    found = reprice(tmp_path / "a", "scaled_7nm", tmp_path / "b")
    list(run(spec("scaled_7nm"), tmp_path / "c", resume=False))
    fresh = open_store(tmp_path / "c")
    assert_frame_equal(found.points(), fresh.points().drop("technology"))
    assert_frame_equal(found.layers(), fresh.layers())
    assert 0 < found.points()["refused"].null_count() < len(found.points())
    assert found.manifest["mapped_for"]["objective"] == ["none", "traffic"]


LAYERS: dict[str, Any] = {
    "datapath.layers.first.weight_bits": [8],
    "datapath.layers.rest.weight_bits": [2, 4],
    "datapath.layers.last.activation_bits": [4, 8],
    "datapath.narrow": [True],
}


@pytest.mark.parametrize("technology", TECHNOLOGIES[:2])
def test_layers_of_their_own_widths_and_a_labelled_set(tmp_path: Path, technology: str) -> None:
    """A machine is built for its widest layer; what it computes has no price."""
    spec: dict[str, Any] = {
        "name": "s",
        "base": ["systolic_16x16", "bitfusion_16x16"],
        "workload": "zoo:digits",
        "data": "zoo:digits",
        "objectives": ("accuracy", "energy_j"),
        "constraints": ("accuracy >= 95 %", "edp <= 1 Js"),
        "chunk_points": 3,
    }
    axes = LAYERS | {"technology": [technology]}
    list(run(Sweep(Path(), SweepSpec(**spec, axes=LAYERS)), tmp_path / "a", resume=False))
    list(run(Sweep(Path(), SweepSpec(**spec, axes=axes)), tmp_path / "b", resume=False))
    found, fresh = reprice(tmp_path / "a", technology, tmp_path / "c"), open_store(tmp_path / "b")
    assert_frame_equal(found.points(), fresh.points().drop("technology"))
    assert_frame_equal(found.layers(), fresh.layers())
    assert 0 < found.points()["outside"].null_count() < 8


def test_a_sample_of_the_designs(tmp_path: Path) -> None:
    axes: dict[str, Any] = {"array.rows": list(range(1, 60)), "array.cols": [4, 8]}
    sample = {"points": 10, "seed": 2}
    swept(tmp_path / "a", "systolic_16x16", axes, sample=sample)
    fresh = swept(
        tmp_path / "b", "systolic_16x16", axes | {"technology": ["scaled_7nm"]}, sample=sample
    )
    found = reprice(tmp_path / "a", "scaled_7nm", tmp_path / "c")
    assert_frame_equal(found.points(), fresh.points().drop("technology"))
    assert_frame_equal(found.layers(), fresh.layers())


def test_what_the_other_technology_has_no_figure_of(tmp_path: Path) -> None:
    axes = {"array.rows": [8, 16]}
    swept(tmp_path / "a", "systolic_16x16", axes)
    with pytest.raises(BadConfig, match="objectives name 'energy_j', and pareto_linear counts"):
        reprice(tmp_path / "a", "pareto_linear", tmp_path / "c")
    fields = {"objectives": ("latency_s", "area_mm2"), "constraints": ["power_w <= 9"]}
    swept(tmp_path / "b", "systolic_16x16", axes, **fields)
    with pytest.raises(BadConfig, match="constraints name 'power_w', and pareto_linear counts"):
        reprice(tmp_path / "b", "pareto_linear", tmp_path / "c")
    swept(tmp_path / "e", "systolic_16x16", axes, constraints=["area_mm2 <= 2"])
    with pytest.raises(BadConfig, match="e: the sweep's constraints: mcu_boards gives no area"):
        reprice(tmp_path / "e", "mcu_boards", tmp_path / "c")
    cost = machine_file(tmp_path, "systolic_16x16", "pareto_linear")
    swept(tmp_path / "d", cost, axes, objectives=("latency_s", "cost"))
    with pytest.raises(BadConfig, match="'cost', and scaled_7nm counts pJ; run a sweep with 'ene"):
        reprice(tmp_path / "d", "scaled_7nm", tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_there_and_back_again(tmp_path: Path) -> None:
    first = swept(tmp_path / "a", "systolic_16x16", AXES["systolic_16x16"])
    there = reprice(tmp_path / "a", "scaled_7nm", tmp_path / "b")
    back = reprice(tmp_path / "b", "horowitz_45nm", tmp_path / "c")
    assert_same(back, first)
    energies = ("energy_fj", "energy_j_low", "energy_j_high", "area_mm2")
    assert (there.points().select(energies) != first.points().select(energies)).to_numpy().any()
    assert there.manifest["repriced_from"] == digest(first.manifest)
    assert back.manifest["repriced_from"] == digest(there.manifest)
    mapped_for = {"objective": ["traffic"], "technology": "horowitz_45nm", "by_price": False}
    assert there.manifest["mapped_for"] == back.manifest["mapped_for"] == mapped_for
    assert first.manifest["machine"] == back.manifest["machine"]


def test_nothing_is_counted_or_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for base, axes in AXES.items():
        swept(tmp_path / base, base, axes)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("counted again")

    for kind in kinds().values():
        if "evaluate" in vars(kind):
            monkeypatch.setattr(kind, "evaluate", staticmethod(refuse))
    for module, names in {
        designs: ("evaluate_designs", "evaluate_rows", "work_rows"),
        networks: ("evaluate_network", "evaluate_chained", "evaluate_designs", "works_on"),
        sweeps: ("evaluate_network", "evaluate_platforms", "evaluate_layered"),
    }.items():
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr("workloads.load", refuse)
    with pytest.raises(AssertionError, match="counted again"):
        swept(tmp_path / "again", "cortex_m4", AXES["cortex_m4"])
    for base in AXES:
        found = reprice(tmp_path / base, "scaled_16nm", tmp_path / f"{base}-16nm")
        assert found.kept == found.manifest["points"]


def test_mappings_found_by_energy_stay_and_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The old mapping at new prices, where a fresh search finds another one."""
    axes: dict[str, list[Any]] = {"mapping.objective": ["energy"], "clock_mhz": [100, 200]}
    base = priced_by_technology(tmp_path, "horowitz_45nm", "gemmini_like")
    first = swept(tmp_path / "a", base, axes)
    fresh = swept(
        tmp_path / "b", priced_by_technology(tmp_path, "mcu_boards", "gemmini_like"), axes
    )
    repricing.reprice_command(tmp_path / "a", "mcu_boards", tmp_path / "c", False)
    found = open_store(tmp_path / "c")
    assert "mappings are those found for energy in horowitz_45nm" in capsys.readouterr().out
    assert found.manifest["mapped_for"] == {
        "objective": ["energy"],
        "technology": "horowitz_45nm",
        "by_price": True,
    }
    same = ("point", "latency_s", "cycles", "macs", "utilization", *axes)
    assert_frame_equal(found.points().select(same), first.points().select(same))
    assert (found.points()["cycles"] != fresh.points()["cycles"]).all()
    graph, technology = workloads.load("zoo:digits"), hwconfigs.load_technology("mcu_boards")
    machine = hwconfigs.load(base, [("mapping.objective", "energy"), ("clock_mhz", "100")])
    energies = price(count(graph, machine), machine, technology)
    layers = found.layers().filter(pl.col("point") == 0)
    for at, energy in enumerate(energies):
        assert {name: layers[f"{name}_fj"][at] for name in energy} == energy
    total = sum(sum(layer.values()) for layer in energies)
    assert found.points()["energy_fj"][0] == total


def test_costs_beyond_what_is_counted(tmp_path: Path) -> None:
    """A technology in which layers pass 2^63 refuses designs, in the words of a fresh sweep.

    Priced again from there, what it refused has no actions left.
    """
    dear = hwconfigs.technology("pareto_linear").plain() | {"name": "dear"}
    dear["cost"]["multiply"]["points"] = [
        {"at": bits, "value": value, "low": 1, "high": 1e12}
        for bits, value in ((4, 1), (8, 1e10), (16, 1e12))
    ]
    path = written(tmp_path / "dear.yaml", dear)
    axes: dict[str, list[Any]] = {
        "datapath.weight_bits": [4, 8, 16],
        "datapath.activation_bits": [4, 8, 16],
        "datapath.narrow": [True],
    }
    fields = {"objectives": ("latency_s", "area_mm2"), "data": "zoo:digits"}
    swept(tmp_path / "a", "systolic_16x16", axes, **fields)
    fresh = swept(
        tmp_path / "b", machine_file(tmp_path, "systolic_16x16", str(path)), axes, **fields
    )
    found = reprice(tmp_path / "a", str(path), tmp_path / "c")
    refused = found.points()["refused"].is_not_null().sum()
    assert 0 < refused < 9
    assert_same(found, fresh)
    with pytest.raises(BadFile, match="refused for its energy in dear and keeps no layers"):
        reprice(tmp_path / "c", "horowitz_45nm", tmp_path / "d")


def test_what_cannot_be_priced_again(tmp_path: Path) -> None:
    axes: dict[str, list[Any]] = {"clock_mhz": [100, 200]}
    swept(tmp_path / "bare", "cortex_m4", axes, keep_layers=False)
    with pytest.raises(BadFile, match="holds no actions to price; run the sweep again with keep"):
        reprice(tmp_path / "bare", "scaled_7nm", tmp_path / "x")
    swept(tmp_path / "two", "cortex_m4", {"technology": ["horowitz_45nm", "scaled_7nm"]})
    with pytest.raises(BadConfig, match="'technology' is an axis"):
        reprice(tmp_path / "two", "scaled_16nm", tmp_path / "x")
    swept(tmp_path / "both", "systolic_and_m4", {"host.clock_mhz": [100, 200]})
    with pytest.raises(BadConfig, match="a platform's units have technologies of their own"):
        reprice(tmp_path / "both", "scaled_16nm", tmp_path / "x")
    found = SearchRun(problem_of(Path(), small()))
    list(search(found, tmp_path / "found", resume=False))
    with pytest.raises(BadConfig, match="holds a search, which goes where prices lead it"):
        reprice(tmp_path / "found", "scaled_16nm", tmp_path / "x")
    store = swept(tmp_path / "part", "cortex_m4", {"clock_mhz": [100, 200, 300, 400]})
    (store.folder / "points/part-00001.parquet").unlink()
    with pytest.raises(BadFile, match="3 of 4 points are kept; finish the sweep by --resume"):
        reprice(store.folder, "scaled_16nm", tmp_path / "x")
    with pytest.raises(BadConfig, match="no technology is named 'scaled_15nm'"):
        reprice(tmp_path / "bare", "scaled_15nm", tmp_path / "x")
    with pytest.raises(BadFile, match="holds the sweep itself"):
        reprice(tmp_path / "bare", "scaled_7nm", tmp_path / "." / "bare")
    with pytest.raises(BadFile, match="no such folder"):
        reprice(tmp_path / "nowhere", "scaled_7nm", tmp_path / "x")
