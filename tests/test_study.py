"""Studies: exact costs of the paper's 36 networks, resuming, fronts, the page."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from analysis import study
from analysis.cli import main as bitlane
from analysis.study import Point, points_of, run
from analysis.study_fronts import told, with_fronts
from analysis.study_page import fronts_figure, page
from analysis.study_spec import StudySpec, study_of
from simulator.config import load_yaml
from simulator.errors import BadConfig, RunFolderBusy
from tests.shared import ROOT
from workloads.zoo.shapes import description_of

RESNET50 = ROOT / "examples" / "pareto_resnet50.yaml"
MULTIPLIERS = (0.5, 0.62, 0.75, 0.87, 1.0, 1.25, 1.5, 1.75, 2.0)
SMALL = """
name: small
study:
  network: "zoo:resnet_digits"
  multipliers: [0.5, 1.0]
  modes:
    bf16: {bits: 16}
    4 bits, ends 8: {bits: 4, ends: 8}
    4 bits: {bits: 4}
  training: {data: digits, seeds: 2}
machines:
  law: {base: systolic_16x16, operands: built, objective: cost, set: {technology: pareto_linear}}
  fixed: {base: systolic_16x16, objective: latency_s}
"""


def spec_of(folder: Path, text: str = SMALL) -> tuple[Path, StudySpec]:
    path = folder / "study.yaml"
    path.write_text(text)
    return path, study_of(load_yaml(path))


def counted(multiplier: float) -> list[tuple[int, int]]:
    """(products, weights) of each convolution and dot of ResNet-50, from its description."""
    network = description_of(f"zoo:resnet50_v1.5,width={multiplier:g}")
    assert network is not None
    found = []
    for layer in network.layers:
        if layer.op in ("CONV_2D", "FULLY_CONNECTED"):
            (weights,) = [w for w in layer.weights if w.role == "filters"]
            outputs = int(np.prod(layer.shape))
            found.append((outputs * weights.elements // weights.shape[0], weights.elements))
    return found


def test_the_36_networks_of_the_paper(tmp_path: Path) -> None:
    spec = study_of(load_yaml(RESNET50))
    assert (spec.study.multipliers, spec.networks) == (list(MULTIPLIERS), 36)
    list(run(RESNET50, spec, tmp_path / "run", None, resume=False))
    table = pl.read_parquet(tmp_path / "run" / "points.parquet")
    costs = {
        (row["multiplier"], row["mode"], row["machine"]): row["value"]
        for row in table.iter_rows(named=True)
    }
    assert len(costs) == 36 * 4
    for multiplier, (name, mode) in product(MULTIPLIERS, spec.study.modes.items()):
        works = counted(multiplier)
        bits = [mode.bits] * len(works)
        if mode.ends:
            bits[0] = bits[-1] = mode.ends
        at = multiplier, name
        linear = sum(n * b for (n, _), b in zip(works, bits, strict=True))
        assert costs[*at, "linear law"] == linear
        squared = sum(n * b * b for (n, _), b in zip(works, bits, strict=True))
        assert costs[*at, "quadratic law"] == squared
        held = sum(n * b for (_, n), b in zip(works, bits, strict=True))
        assert costs[*at, "memory law"] == held
    # Of the paper's published code, all digits.
    assert costs[1.0, "bf16", "quadratic law"] == 1046831169536
    assert costs[1.0, "4 bits", "quadratic law"] == 65426948096
    assert costs[1.0, "4 bits", "memory law"] == 102011648


def fake(spec: StudySpec, point: Point, folder: Path) -> dict[str, Any]:
    """More width and more bits help; one network is as good with fewer bits."""
    bits = spec.study.modes[point.mode].bits
    return {"accuracy": 0.8 + 0.05 * point.multiplier + 0.002 * bits + 0.001 * point.seed}


def test_what_is_trained_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    path, spec = spec_of(tmp_path)
    folder, seen = tmp_path / "run", list[Point]()

    def stopping(spec: StudySpec, point: Point, folder: Path) -> dict[str, Any]:
        if len(seen) == 5:
            raise KeyboardInterrupt
        seen.append(point)
        return fake(spec, point, folder)

    with pytest.raises(KeyboardInterrupt):
        list(run(path, spec, folder, stopping, resume=False))
    with pytest.raises(RunFolderBusy, match="--resume"):
        list(run(path, spec, folder, fake, resume=False))
    damaged = folder / "trained" / f"{seen[0].key}.json"
    damaged.write_text("{")
    again = list[Point]()

    def counting(spec: StudySpec, point: Point, folder: Path) -> dict[str, Any]:
        again.append(point)
        return fake(spec, point, folder)

    list(run(path, spec, folder, counting, resume=True))
    assert set(again) == {*points_of(spec)} - {*seen[1:]}
    whole = tmp_path / "whole"
    list(run(path, spec, whole, fake, resume=False))
    found, wanted = (pl.read_parquet(f / "points.parquet") for f in (folder, whole))
    assert found.equals(wanted)
    other = path.read_text().replace("seeds: 2", "seeds: 3")
    changed, changed_spec = spec_of(tmp_path, other)
    with pytest.raises(RunFolderBusy, match="another training"):
        list(run(changed, changed_spec, folder, fake, resume=True))


def test_processes_give_the_same_table(tmp_path: Path) -> None:
    path, spec = spec_of(tmp_path)
    for count in (1, 2):
        list(run(path, spec, tmp_path / str(count), fake, resume=False, workers=count))
    one, two = (pl.read_parquet(tmp_path / str(n) / "points.parquet") for n in (1, 2))
    assert one.equals(two)


def test_one_writer_a_folder(tmp_path: Path) -> None:
    path, spec = spec_of(tmp_path)
    steps = run(path, spec, tmp_path / "run", fake, resume=False)
    assert next(steps) == 1
    with pytest.raises(RunFolderBusy):
        next(run(path, spec, tmp_path / "run", fake, resume=True))
    assert [*steps][-1] == 12


def failing(spec: StudySpec, point: Point, folder: Path) -> dict[str, Any]:
    raise BadConfig(f"no data for {point.key}")


def test_a_fault_in_a_process_is_told(tmp_path: Path) -> None:
    path, spec = spec_of(tmp_path)
    with pytest.raises(BadConfig, match="no data for"):
        list(run(path, spec, tmp_path / "run", failing, resume=False, workers=2))


def test_fronts_are_those_of_every_pair(tmp_path: Path) -> None:
    path, spec = spec_of(tmp_path)
    list(run(path, spec, tmp_path / "run", fake, resume=False))
    table = pl.read_parquet(tmp_path / "run" / "points.parquet")
    found = with_fronts(table)
    for machine in spec.machines:
        rows = [r for r in found.iter_rows(named=True) if r["machine"] == machine]
        assert len(rows) == 6
        for row in rows:
            better = [
                other
                for other in rows
                if other["value"] is not None
                and row["value"] is not None
                and other["value"] <= row["value"]
                and other["accuracy"] >= row["accuracy"]
                and (other["value"] < row["value"] or other["accuracy"] > row["accuracy"])
            ]
            assert row["front"] == (row["value"] is not None and not better)
            fewer = any(other["bits"] < row["bits"] for other in better)
            assert row["dominated_by_fewer_bits"] == fewer
    lines = "\n".join(told(spec, table))
    assert "law (cost):" in lines
    # An 8-bit multiplier that is not composed takes no 16-bit operands.
    assert "2 not run:" in lines
    assert "16" in lines.split("not run:")[1]


def test_the_page_has_a_panel_a_machine(tmp_path: Path) -> None:
    path, spec = spec_of(tmp_path)
    list(run(path, spec, tmp_path / "run", fake, resume=False))
    table = pl.read_parquet(tmp_path / "run" / "points.parquet")
    figure = fronts_figure(spec, table)
    assert [a.text for a in figure.layout.annotations] == list(spec.machines)
    text = page(spec, table)
    assert text == (tmp_path / "run" / "report.html").read_text()
    assert "http" not in text.split("<script>")[-1]
    assert text.count("<tr") == 1 + 12
    four = [trace for trace in figure.data if trace.name == "4 bits"]
    assert [len(trace.x) for trace in four] == [2, 2]
    assert four[0].y[0] == pytest.approx(100 * (0.8 + 0.025 + 0.008 + 0.0005))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("bits: 4, ends: 8", "bits: 9", "must be 2 to 8, or 16"),
        ("multipliers: [0.5, 1.0]", "multipliers: [0.5, 0.5]", "different from each other"),
        ("objective: cost", "objective: accuracy", "must be latency_s"),
        ("seeds: 2", "sedes: 2", "seeds"),
        ("data: digits", "data: cifar", "digits"),
    ],
)
def test_faults_have_their_line(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in SMALL
    path = tmp_path / "study.yaml"
    path.write_text(SMALL.replace(before, after))
    with pytest.raises(BadConfig, match=said) as caught:
        study_of(load_yaml(path))
    assert f"{path}:" in str(caught.value)


def main(arguments: list[str]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["bitlane", *arguments])
        with pytest.raises(SystemExit) as ended:
            bitlane()
    return int(ended.value.code or 0)


def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = spec_of(tmp_path)
    monkeypatch.setattr(study, "trainer", lambda spec: fake)
    out = str(tmp_path / "run")
    assert main(["sweep", str(path), "--out", out, "--workers", "1"]) == 0
    assert "12 networks on 2 machines" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "run" / "study.json").read_text())
    assert manifest["schema"] == "bitlane.study/1"
    again, table = str(tmp_path / "again.html"), tmp_path / "table.csv"
    assert main(["report", out, "--out", again, "--csv", str(table)]) == 0
    assert Path(again).read_text() == (tmp_path / "run" / "report.html").read_text()
    assert len(table.read_text().splitlines()) == 1 + 24
    (tmp_path / "run" / "points.parquet").write_text("no table")
    assert main(["report", out]) == 2
    assert "damaged" in capsys.readouterr().err
    (tmp_path / "run" / "points.parquet").unlink()
    assert main(["report", out]) == 2
    assert "did not end" in capsys.readouterr().err
    assert main(["sweep", str(path), "--out", out]) == 2
    assert "add --resume" in capsys.readouterr().err
    assert main(["sweep", str(path), "--out", out, "--resume", "--data", "zoo:digits"]) == 2
    assert "--data" in capsys.readouterr().err
    assert main(["sweep", str(path)]) == 2
    (tmp_path / "study.yaml").write_text(
        SMALL.replace("base: systolic_16x16, obj", "base: systol, obj")
    )
    assert main(["sweep", str(path), "--out", str(tmp_path / "b")]) == 2
    assert "machines.fixed" in capsys.readouterr().err
