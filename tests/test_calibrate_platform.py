"""`bitlane calibrate` on a platform: a known one comes back from what it would measure."""

import math
from pathlib import Path

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.calibrate import error_percent, fit, left_out, mape
from analysis.calibrated import calibrate_command
from analysis.measurements import Measurement, read
from analysis.parameters import is_count, parameter
from simulator.config import override
from simulator.cost import estimate
from simulator.document import Document
from simulator.errors import BadConfig, BitlaneError
from simulator.machines.registry import machine_from
from tests.ops.build import OneOp, tensor

DISPATCH = "attach.npu.dispatch.cycles"
LINK = "attach.npu.link.bytes_per_cycle"
HOST = "host.kernels.xcube_ai_7_3.integer.per_requantize"
TRUE = {DISPATCH: 1700, LINK: 1.5, HOST: 23.5}
SIZES = {"small": (8, 8), "wide": (64, 3000), "tall": (3000, 64), "square": (600, 600)}
NAMES = (*(f"{name}.tflite" for name in SIZES), "sum.tflite", "zoo:digits")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Fully connected layers for the array, whose copies weigh more or less, and an addition."""
    for name, (taps, filters) in SIZES.items():
        x, w = tensor((1, taps), 0.5), tensor((filters, taps), 0.01)
        y, weights = tensor((1, filters), 0.5), np.ones((filters, taps), np.int8)
        options = {"fused_activation_function": "NONE", "weights_format": "DEFAULT"}
        one = OneOp(
            "FULLY_CONNECTED", options, (x, w, None), y, (None, weights, None), frozenset({1})
        )
        (tmp_path / f"{name}.tflite").write_bytes(one.model())
    kind = tensor((1, 5000), 0.5, 3)
    add = OneOp("ADD", {"fused_activation_function": "NONE"}, (kind, kind), kind, (None, None))
    (tmp_path / "sum.tflite").write_bytes(add.model())
    return tmp_path


def measured(document: Document, folder: Path) -> Path:
    """A CSV of what a platform would measure, two clocks of its host each on its own board."""
    lines = ["model,latency_ms,clock_mhz,device"]
    for clock in (120, 60):
        made = machine_from(document, [("host.clock_mhz", clock)])
        for name in NAMES:
            graph = workloads.load(name if name.startswith("zoo:") else str(folder / name))
            latency = estimate(graph, made).totals.latency_s * 1e3
            lines.append(f"{name},{latency!r},{clock},board at {clock} MHz")
    path = folder / "measured.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_known_platform_comes_back(folder: Path) -> None:
    base = hwconfigs.document("systolic_and_m4")
    rows = read(measured(override(base, list(TRUE.items())), folder), 120, "host.clock_mhz")
    bases = {"": base}
    chosen = [parameter(bases, path) for path in TRUE]
    start = fit(bases, rows, [parameter(bases, LINK, (3.999, 4.001))], math.inf)
    assert mape(error_percent(start.predicted, rows)) > 10
    found = fit(bases, rows, chosen, math.inf)
    assert found.values == pytest.approx(list(TRUE.values()), rel=5e-3)
    assert mape(error_percent(found.predicted, rows)) < 0.1
    # Either board alone says all three.
    predicted = left_out(bases, rows, chosen, [m.device for m in rows], math.inf)
    assert mape(error_percent(predicted, rows)) < 0.2


def test_the_command_writes_a_platform(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = hwconfigs.document("systolic_and_m4")
    truth = override(base, [(LINK, 1.5)])
    out = folder / "mine.yaml"
    calibrate_command("systolic_and_m4", measured(truth, folder), out, [LINK], "2026-11-21")
    assert "device left out" in capsys.readouterr().out
    mine = hwconfigs.load(str(out))
    record = mine.calibration["fit of measured.csv"]
    assert record.fields == (LINK,)
    assert len(record.rows) == 2 * len(NAMES)
    graph = workloads.load(str(folder / "wide.tflite"))
    same = [estimate(graph, m).totals.latency_s for m in (mine, machine_from(truth))]
    assert same[0] == pytest.approx(same[1], rel=0.01)


def test_a_count_stays_a_whole_number() -> None:
    base = hwconfigs.document("systolic_and_m4")
    assert is_count(base, DISPATCH)
    # Written without a point, but a real number all the same.
    assert not is_count(base, LINK)
    low = parameter({"": base}, DISPATCH).low
    assert low == pytest.approx(400 / 16)


def test_what_no_measurement_depends_on(folder: Path) -> None:
    base = hwconfigs.document("systolic_and_m4")
    rows = read(measured(base, folder), 120, "host.clock_mhz")
    other = parameter({"": base}, "host.kernels.cmsis_nn.integer.per_output")
    with pytest.raises(BadConfig, match=r"cmsis_nn\.integer\.per_output: no measurement depends"):
        fit({"": base}, rows, [other])


def test_works_alone_do_not_say_when_an_operator_starts() -> None:
    base = hwconfigs.document("systolic_and_m4")
    row = Measurement("digits", workloads.load("zoo:digits").work, 1e6, "board")
    with pytest.raises(BitlaneError, match="digits: a platform is fitted to graphs"):
        fit({"": base}, [row], [parameter({"": base}, LINK)])


def test_a_platform_has_no_customary_fields(folder: Path) -> None:
    table = measured(hwconfigs.document("systolic_and_m4"), folder)
    with pytest.raises(BitlaneError, match="--fit: name a field to fit; a platform has no "):
        calibrate_command("systolic_and_m4", table, folder / "out.yaml", [], None)
