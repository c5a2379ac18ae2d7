"""Bad input of every kind: exit code 2, the pinned line, no traceback, nothing written."""

import importlib.util
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.store import locked
from tests.cli import cases_inputs, cases_stepper, cases_yaml
from tests.cli.command import Outcome, Run, files_of, outside

CASES = {
    **cases_inputs.USAGE,
    **cases_inputs.MODELS,
    **cases_inputs.ARRAYS,
    **cases_inputs.OPTIONS,
    **cases_inputs.DOCUMENTS,
    **cases_stepper.TOPOLOGIES,
    **cases_stepper.STEPPER,
    **cases_yaml.YAMLS,
    **cases_yaml.FOLDERS,
}
IN_A_PROCESS = (
    "bogus",
    "inspect empty.tflite",
    "exec zoo:digits --inputs objects.npz --out out.npz",
    "validate zoo:digits --against litert-ref --samples -3",
    "estimate zoo:digits --hw systolic_16x15",
    "hw check five.yaml",
    "sweep impossible.yaml --out new",
    "report run_cut",
)
"""One of each room of the program, run as a user does."""

requires_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None,
    reason="ai_edge_litert (extra 'reference') is not installed",
)


def assert_refused(outcome: Outcome, message: str) -> None:
    assert outcome == Outcome(2, "", f"bitlane: {message}\n")


@pytest.fixture
def untouched(workspace: Path) -> Iterator[Path]:
    """The workspace; the test fails where a file or folder in it appears, goes or changes."""
    before = dict(files_of(workspace)), set(workspace.rglob("*"))
    yield workspace
    assert before == (dict(files_of(workspace)), set(workspace.rglob("*")))


def test_there_are_enough() -> None:
    assert len(CASES) > 100
    assert set(IN_A_PROCESS) <= set(CASES)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("arguments", CASES)
def test_refused_in_one_line(arguments: str, bitlane: Run) -> None:
    outcome = bitlane(*shlex.split(arguments))
    written = CASES[arguments].count("\n") + 1
    assert outcome.err == f"bitlane: {CASES[arguments]}\n"
    assert outcome.err.count("\n") == written
    assert outcome.code == 2
    if "--json" not in arguments and "--csv" not in arguments and "--html" not in arguments:
        assert outcome.out == ""


@pytest.mark.parametrize("arguments", IN_A_PROCESS)
def test_refused_by_the_program(arguments: str, untouched: Path) -> None:
    assert_refused(outside(*shlex.split(arguments), cwd=untouched), CASES[arguments])


@requires_litert
@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("arguments", cases_inputs.REFERENCES)
def test_refused_beside_a_reference(arguments: str, bitlane: Run) -> None:
    assert_refused(bitlane(*shlex.split(arguments)), cases_inputs.REFERENCES[arguments])


def test_a_yaml_fault_a_line_with_its_place() -> None:
    several = [m.split("\n") for a, m in CASES.items() if "\n" in m and a.startswith(("hw", "sw"))]
    assert max(map(len, several)) == 5
    for line in (line for lines in several for line in lines):
        file, number, path, rule = line.split(":", 3)
        assert file.endswith(".yaml")
        assert number.isdigit()
        assert path.strip()
        assert rule.strip()


@pytest.mark.usefixtures("untouched")
def test_the_reference_is_not_installed(bitlane: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert_refused(
        bitlane("validate", "zoo:digits", "--against", "litert-ref"),
        "--against litert-ref: the package 'ai_edge_litert' is not installed. Install bitlane "
        "with the extra 'reference': pip install 'bitlane[reference]'",
    )


@requires_litert
@pytest.mark.usefixtures("workspace")
def test_the_reference_runs_another_network(bitlane: Run, tmp_path: Path) -> None:
    from tests.ops.models import conv

    other = tmp_path / "other.tflite"
    other.write_bytes(conv())
    assert_refused(
        bitlane(*("validate", "zoo:digits", "--against", "litert-ref", "--reference-model"), other),
        "other.tflite: litert-ref refuses the inputs: Cannot set tensor: Dimension mismatch. "
        "Is this the same network?",
    )


def test_two_sweeps_into_one_folder(workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with locked(out):
        outcome = outside("sweep", "sweep.yaml", "--out", out, cwd=workspace)
    message = f"{out}: another sweep is writing here; wait for it or choose another --out"
    assert_refused(outcome, message)
    assert [name for name, _ in files_of(out)] == [".lock"]
    assert outside("sweep", "sweep.yaml", "--out", out, cwd=workspace).code == 0


@pytest.mark.usefixtures("workspace")
def test_five_e_two_is_a_number(bitlane: Run) -> None:
    outcome = bitlane("hw", "check", "exponent.yaml")
    assert outcome == Outcome(0, "exponent.yaml: systolic_16x16 (systolic) is valid\n", "")
    base = ("estimate", "zoo:digits", "--hw", "machine.yaml", "--set")
    by_exponent = bitlane(*base, "clock_mhz=5e2")
    assert by_exponent.code == 0
    assert by_exponent.out == bitlane(*base, "clock_mhz=500").out


@pytest.mark.parametrize("group", [(), ("hw",)])
def test_no_command_shows_the_help(bitlane: Run, group: tuple[str, ...]) -> None:
    outcome = bitlane(*group)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"Usage: {' '.join(('bitlane', *group))} [OPTIONS] COMMAND")
    assert outcome.err.rstrip() == bitlane(*group, "--help").out.rstrip()


def test_a_defect_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only bad input is told in a line; our own mistakes keep their traceback."""
    from analysis import terminal

    def broken(**_: object) -> int:
        raise KeyError("ours")

    monkeypatch.setattr(sys, "argv", ["bitlane"])
    with pytest.raises(KeyError, match="ours"):
        terminal.run(broken)
