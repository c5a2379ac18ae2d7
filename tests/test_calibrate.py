"""`bitlane calibrate`: known rates come back, errors are those of refits, bad rows are refused."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwconfigs
import workloads
from analysis.calibrate import error_percent, fit, left_out, mape, with_values
from analysis.calibrated import calibrate_command, default_paths
from analysis.measurements import Measurement, read
from analysis.parameters import parameter
from simulator.config import override
from simulator.designs import evaluate_designs
from simulator.document import Document
from simulator.errors import BadConfig, BitlaneError
from simulator.machines.registry import machine_from
from simulator.work import Work
from tests.cli.command import inside
from tests.machines.works import OPERATORS, conv, gemm

RATES = "kernels.xcube_ai_7_3.integer"
TRUE = {
    f"{RATES}.per_multiply.convolution": 3.3,
    f"{RATES}.per_multiply.depthwise": 6.1,
    f"{RATES}.per_multiply.fully_connected": 2.2,
    f"{RATES}.per_output": 41.0,
}
NETWORKS: dict[str, tuple[Work, ...]] = {
    "dense": (conv((20, 20), 32, (3, 3), 16), conv((20, 20), 24, (5, 5), 8)),
    "separable": tuple(conv((24, 24), 1, (3, 3), 1, groups=n) for n in (16, 64)),
    "perceptron": tuple(gemm(1, n, 500) for n in (64, 300)),
    "shallow": (conv((64, 64), 16, (1, 2), 1), OPERATORS["add"]),
    "mixed": tuple(OPERATORS.values()),
}


def measured(document: Document, clock_mhz: float = 120) -> tuple[Measurement, ...]:
    """What a machine would measure on each network."""
    made = machine_from(document, [("clock_mhz", clock_mhz)])
    return tuple(
        Measurement(
            model=name,
            works=works,
            cycles=float(evaluate_designs(works, [made]).totals[0, 0]),
            device=f"{name}'s board",
            overrides=(("clock_mhz", f"{clock_mhz:g}"),),
        )
        for name, works in NETWORKS.items()
    )


def test_known_rates_come_back() -> None:
    base = hwconfigs.document("cortex_m4")
    truth = override(base, list(TRUE.items()))
    rows = (*measured(truth), *measured(truth, 40))
    bases = {"": base}
    chosen = [parameter(bases, path) for path in TRUE]
    exact = fit(bases, rows, chosen, math.inf)
    assert exact.values == pytest.approx(list(TRUE.values()), rel=1e-3)
    assert mape(error_percent(exact.predicted, rows)) < 0.01
    # A prior a factor of two wide moves what measurements determine by little.
    assert fit(bases, rows, chosen).values == pytest.approx(list(TRUE.values()), rel=0.02)


def test_a_rate_without_measurements_stays() -> None:
    bases = {"": hwconfigs.document("cortex_m4")}
    truth = override(bases[""], list(TRUE.items()))
    rows = [m for m in measured(truth) if m.model == "dense"]
    silent = parameter(bases, f"{RATES}.per_multiply.depthwise")
    found = fit(bases, rows, [parameter(bases, f"{RATES}.per_multiply.convolution"), silent])
    assert found.values[1] == pytest.approx(silent.start, rel=1e-3)


def test_bounds_hold() -> None:
    path = f"{RATES}.per_multiply.convolution"
    truth = override(hwconfigs.document("cortex_m4"), list(TRUE.items()))
    rows, bases = measured(truth), {"": override(truth, [(path, 2.0)])}
    narrow = parameter(bases, path, (1.5, 3.0))
    assert fit(bases, rows, [narrow], math.inf).values[0] == pytest.approx(3.0, rel=1e-6)
    # Without bounds: as far as the machine itself allows, one instruction a product.
    assert parameter(bases, path).low == pytest.approx(1, rel=1e-4)


def test_left_out_is_a_fit_without() -> None:
    base = hwconfigs.document("cortex_m4")
    rows = [
        replace(m, cycles=m.cycles * factor)
        for m, factor in zip(measured(base), (1.2, 0.8, 1.1, 0.9, 1.05), strict=True)
    ]
    bases = {"": base}
    chosen = [parameter(bases, path) for path in TRUE]
    predicted = left_out(bases, rows, chosen, ["a", "a", "b", "c", "d"])
    alone = fit(bases, rows[2:], chosen)
    document = with_values(base, "", alone)
    for row, cycles in zip(rows[:2], predicted[:2], strict=True):
        made = machine_from(document, row.overrides)
        direct = evaluate_designs(row.works, [made]).totals[0, 0]
        assert cycles == pytest.approx(direct, rel=2e-3)


def test_nothing_left_is_no_prediction() -> None:
    bases = {"": hwconfigs.document("cortex_m4")}
    rows = measured(bases[""])
    chosen = [parameter(bases, f"{RATES}.per_output")]
    assert np.isnan(left_out(bases, rows, chosen, ["one"] * len(rows))).all()


def test_the_command_writes_a_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = hwconfigs.load("cortex_m4", [(f"{RATES}.per_multiply.convolution", 5.2)])
    works = workloads.load("zoo:digits").work
    rows = ["model,latency_ms,clock_mhz,device,overrides,source"]
    for number, clock in enumerate((60, 120)):
        made = hwconfigs.load(
            "cortex_m4",
            [("clock_mhz", clock), (f"{RATES}.per_multiply.convolution", 5.2)],
        )
        latency = evaluate_designs(works, [made]).latency_s[0] * 1e3
        rows.append(f"zoo:digits,{latency},{clock},board {number},,by hand {number}")
    table = tmp_path / "measured.csv"
    table.write_text("\n".join(rows) + "\n")
    out = tmp_path / "mine.yaml"
    path = f"{RATES}.per_multiply.convolution"
    calibrate_command("cortex_m4", table, out, [path], "2026-11-21")
    shown = capsys.readouterr().out
    assert "device left out" in shown
    assert shown.endswith(f"written to {out}\n")
    mine = hwconfigs.load(out)
    record = mine.calibration["fit of measured.csv"]
    assert record.date == "2026-11-21"
    assert record.devices == ("board 0", "board 1")
    assert record.rows[1].endswith("by hand 1")
    assert record.error is not None
    assert record.error.fitted_percent < 1
    assert record.error.leave_one_device_out_percent is not None
    same = evaluate_designs(works, [mine, truth]).latency_s
    assert same[0] == pytest.approx(same[1], rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("cortex_m5 --measurements none.csv", "no machine is named 'cortex_m5'; did you mean "),
        (
            "cortex_m4 --measurements none.csv",
            "none.csv: cannot be read: No such file or directory",
        ),
        ("cortex_m4", "Missing option '--measurements'. (see bitlane calibrate --help)"),
    ],
)
def test_the_command_refuses_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = inside(monkeypatch, capsys)("calibrate", *arguments.split(), "--out", "new.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"bitlane: {message}")
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_customary_fields() -> None:
    paths = default_paths(hwconfigs.document("cortex_m4"))
    assert paths == list(TRUE)
    with pytest.raises(BitlaneError, match="name a field to fit; a systolic has no customary ones"):
        default_paths(hwconfigs.document("systolic_16x16"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: needs the columns model and latency_ms (or cycles)"),
        ("model,latency\n", "1: unknown column 'latency'; known: model, latency_ms, cycles, "),
        ("model,cycles,cycles\n", "1: a column is named twice; remove one"),
        ("model,cycles\n", " holds no measurement; add rows under its header"),
        ("model,cycles\nzoo:digits\n", "2: does not have as many values as the header has"),
        ("model,cycles\nzoo:digits,1,2\n", "2: does not have as many values as the header has"),
        ("model,cycles\n,5\n", "2: model: is empty; give a model file or zoo:NAME"),
        ("model,cycles\nzoo:digit,5\n", "2: model: zoo:digit: no such network in the zoo"),
        ("model,cycles\nzoo:digits,\n", "2: give latency_ms or cycles, one of the two; found 0"),
        ("model,cycles\nzoo:digits,-5\n", "2: cycles: must be a number above 0; found '-5'"),
        ("model,cycles\nzoo:digits,nan\n", "2: cycles: must be a number above 0; found 'nan'"),
        (
            "model,cycles,clock_mhz\nzoo:digits,5,fast\n",
            "2: clock_mhz: must be a number above 0; found 'fast'",
        ),
        (
            "model,cycles,overrides\nzoo:digits,5,software\n",
            "2: overrides: write path=value; path=value; found 'software'",
        ),
        (
            "model,cycles,overrides\nzoo:digits,5,clock_mhz=3\n",
            "2: overrides: give the clock in the column clock_mhz",
        ),
    ],
)
def test_a_bad_row_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    table = tmp_path / "measured.csv"
    table.write_text(text)
    with pytest.raises(BitlaneError) as caught:
        read(table, 120)
    assert str(caught.value).startswith(f"{table}:{message}")
    assert "\n" not in str(caught.value)


def test_a_bad_override_is_refused_with_its_line(tmp_path: Path) -> None:
    table = tmp_path / "measured.csv"
    table.write_text("model,cycles,overrides\nzoo:digits,5,software=tlfm\n")
    with pytest.raises(BitlaneError, match=r"measured\.csv:2: .*software: 'tlfm' has no kernels"):
        calibrate_command("cortex_m4", table, tmp_path / "out.yaml", [], None)


def test_a_network_that_does_not_run_is_refused_with_its_line(tmp_path: Path) -> None:
    table = tmp_path / "measured.csv"
    table.write_text("model,cycles,overrides\nzoo:digits,5,datapath.activation_bits=4\n")
    with pytest.raises(BitlaneError) as caught:
        calibrate_command("cortex_m4", table, tmp_path / "out.yaml", [f"{RATES}.per_output"], None)
    assert str(caught.value) == (
        f"{table}:2: model: zoo:digits: does not run on the machine to calibrate; "
        "bitlane estimate says why"
    )


def test_a_date_is_one(tmp_path: Path) -> None:
    with pytest.raises(BitlaneError, match="--date soon: write a date as 2026-11-21"):
        calibrate_command("cortex_m4", tmp_path / "f.csv", tmp_path / "out.yaml", [], "soon")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("core.cpi", "core.cpi: there is no such field to fit"),
        ("software", "software: only a number above 0 can be fitted; found xcube_ai_7_3"),
        ("memory.sram.wait_states", "only a number above 0 can be fitted; found 0"),
    ],
)
def test_what_cannot_be_fitted(path: str, message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        parameter({"": hwconfigs.document("cortex_m4")}, path)
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["per_output=3", "per_output=low:high", "per_output=1:"])
def test_bounds_are_two_numbers(tmp_path: Path, text: str) -> None:
    table = tmp_path / "measured.csv"
    table.write_text("model,cycles\nzoo:digits,5\n")
    with pytest.raises(BitlaneError, match="write PATH or PATH=LOW:HIGH with two numbers"):
        calibrate_command("cortex_m4", table, tmp_path / "out.yaml", [text], None)
