"""`bitlane sweep` and `bitlane report`: a folder of results, and its page."""

import json
import re
from pathlib import Path

import polars as pl
import pytest

import hwconfigs
from simulator.cost import estimate
from tests.cli.command import Run
from tests.cli.workspace import SWEEP, edited
from workloads import load

pytestmark = pytest.mark.usefixtures("workspace")


def test_sweep_keeps_its_results(bitlane: Run, tmp_path: Path) -> None:
    outcome = bitlane("sweep", "sweep.yaml", "--out", tmp_path / "out")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"tiny: 6 points in {tmp_path}/out\n")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("manifest.json", ".lock", "points", "layers")
    }
    points = pl.read_parquet(tmp_path / "out/points/*.parquet")
    assert points["array.rows"].to_list() == [4, 4, 4, 8, 8, 8]
    assert points["array.cols"].to_list() == [4, 8, 16] * 2
    assert points["point"].to_list() == list(range(6))
    best = points.sort("latency_s", "point").row(0, named=True)
    assert re.search(rf"^lowest latency_s +{best['point']} ", outcome.out, re.MULTILINE)


def test_a_finished_sweep_resumes_to_itself(bitlane: Run, tmp_path: Path) -> None:
    first = bitlane("sweep", "sweep.yaml", "--out", tmp_path / "out")
    times = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")}
    again = bitlane("sweep", "sweep.yaml", "--out", tmp_path / "out", "--resume")
    assert again == first
    assert times == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.parquet")}


def test_resume_begins_where_there_is_no_run(bitlane: Run, tmp_path: Path) -> None:
    assert bitlane("sweep", "sweep.yaml", "--out", tmp_path / "out", "--resume").code == 0


def test_files_beside_the_spec_are_found_from_anywhere(bitlane: Run, tmp_path: Path) -> None:
    text = edited(SWEEP, ("systolic_16x16", "mine.yaml"), ("zoo:digits", "net.tflite"))
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    machine = hwconfigs.text("systolic_16x16").split("\n---\n")[0]
    (tmp_path / "mine.yaml").write_text(
        machine.replace("name: systolic_16x16", "name: mine"), encoding="utf-8"
    )
    (tmp_path / "net.tflite").write_bytes(Path("digits.tflite").read_bytes())
    assert bitlane("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out").code == 0
    manifest = json.loads((tmp_path / "out/manifest.json").read_text(encoding="utf-8"))
    assert (manifest["machine"]["name"], manifest["model"]) == ("mine", "net.tflite")


def test_axes_of_integers_and_fractions_in_many_chunks(bitlane: Run, tmp_path: Path) -> None:
    text = edited(SWEEP, ("array.rows: [4, 8]", "memory.dram.bytes_per_cycle: [1, 0.5, 2]"))
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    assert bitlane("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out").code == 0
    points = pl.read_parquet(tmp_path / "out/points/*.parquet")
    assert points["memory.dram.bytes_per_cycle"].unique().sort().to_list() == [0.5, 1.0, 2.0]
    assert bitlane("report", tmp_path / "out").code == 0


def test_refused_designs_are_told_and_cost_nothing(bitlane: Run, tmp_path: Path) -> None:
    text = edited(SWEEP, ("array.rows: [4, 8]", "datapath.weight_bits: [4, 8]"))
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    outcome = bitlane("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out")
    assert outcome.code == 0
    assert "3 points are refused; see the column 'refused'\n" in outcome.out
    points = pl.read_parquet(tmp_path / "out/points/*.parquet")
    refused = points.filter(pl.col("refused").is_not_null())
    assert refused["datapath.weight_bits"].to_list() == [4, 4, 4]
    assert refused["refused"].unique().to_list() == [
        "digits_cnn.tflite, conv_2d_0 (conv_2d) on systolic_16x16: its weights have 8 bits, the "
        "datapath 4; widen datapath.weight_bits or set datapath.narrow: true"
    ]
    costs = ("cycles", "macs", "energy_fj", "latency_s", "energy_j", "power_w", "utilization")
    for name in costs:
        assert refused[name].null_count() == 3
        assert points[name].null_count() == 3
    report = bitlane("report", tmp_path / "out")
    assert report.out.startswith("3 points, ")


def test_no_design_can_run_the_network(bitlane: Run, tmp_path: Path) -> None:
    text = edited(SWEEP, ("array.rows: [4, 8]", "datapath.weight_bits: [4]"))
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    outcome = bitlane("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "no point can run the network")
    report = bitlane("report", tmp_path / "out")
    assert (report.code, report.out.startswith("0 points, 0 on the front")) == (0, True)


def test_report_goes_into_the_folder_or_where_it_is_told(bitlane: Run, tmp_path: Path) -> None:
    bitlane("sweep", "sweep.yaml", "--out", tmp_path / "out")
    inside = bitlane("report", tmp_path / "out")
    elsewhere = bitlane("report", tmp_path / "out", "--out", tmp_path / "page.html")
    assert (inside.code, elsewhere.code) == (0, 0)
    assert inside.out == f"6 points, 5 on the front: written to {tmp_path}/out/report.html\n"
    page = (tmp_path / "page.html").read_bytes()
    assert page == (tmp_path / "out/report.html").read_bytes()
    assert b"<script src=" not in page


def test_a_name_with_markup_of_the_terminal(bitlane: Run, tmp_path: Path) -> None:
    text = edited(SWEEP, ("name: tiny", 'name: "[/bold] <script>"'))
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    outcome = bitlane("sweep", tmp_path / "s.yaml", "--out", tmp_path / "out")
    assert outcome.out.startswith("[/bold] <script>: 6 points in ")
    assert bitlane("report", tmp_path / "out").code == 0
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "[/bold] <script>" not in page
    assert "[/bold] &lt;script&gt;" in page


def test_a_point_is_the_estimate_of_its_machine(bitlane: Run, tmp_path: Path) -> None:
    bitlane("sweep", "sweep.yaml", "--out", tmp_path / "out")
    points = pl.read_parquet(tmp_path / "out/points/*.parquet")
    machine = hwconfigs.load("systolic_16x16", [("array.rows", "8"), ("array.cols", "4")])
    totals = estimate(load("zoo:digits"), machine).totals
    row = points.filter((pl.col("array.rows") == 8) & (pl.col("array.cols") == 4)).row(
        0, named=True
    )
    assert {k: row[k] for k in ("cycles", "energy_fj", "latency_s", "area_mm2")} == {
        k: getattr(totals, k) for k in ("cycles", "energy_fj", "latency_s", "area_mm2")
    }
