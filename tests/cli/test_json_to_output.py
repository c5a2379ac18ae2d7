"""`--json -`: the document alone on standard output, for a pipe."""

import json
from pathlib import Path

import jsonschema
import pytest

from tests.cli.command import Run, outside
from tests.cli.schemas import VALIDATE

pytestmark = pytest.mark.usefixtures("workspace")
COMMANDS = {
    "bitlane.inspect/1": ("inspect", "zoo:digits"),
    "bitlane.accumulators/1": ("inspect", "zoo:digits", "--accumulators"),
    "bitlane.damage/1": ("validate", "zoo:digits", "--hw", "cortex_m4", "--samples", "2"),
    "bitlane.estimate/1": ("estimate", "zoo:digits", "--hw", "cortex_m4", "--hw", "hvx_1024"),
}


@pytest.mark.parametrize("schema", COMMANDS)
def test_the_document_alone(schema: str, bitlane: Run, tmp_path: Path) -> None:
    """The same as in a file, and nothing else."""
    outcome = bitlane(*COMMANDS[schema], "--json", "-")
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out)["schema"] == schema
    path = tmp_path / "document.json"
    assert bitlane(*COMMANDS[schema], "--json", path).code == 0
    assert outcome.out == path.read_text(encoding="utf-8")
    assert not Path("-").exists()


def test_validate_against_a_reference(bitlane: Run) -> None:
    pytest.importorskip("ai_edge_litert", reason="the extra 'reference' is not installed")
    arguments = ("validate", "zoo:digits", "--against", "litert-ref", "--samples", "1")
    outcome = bitlane(*arguments, "--json", "-")
    assert outcome.code == 0
    jsonschema.validate(json.loads(outcome.out), VALIDATE)


def test_a_process_and_its_pipe(filled: Path) -> None:
    outcome = outside("inspect", "zoo:digits", "--json", "-", cwd=filled)
    assert (outcome.code, outcome.err) == (0, "")
    assert json.loads(outcome.out)["macs"] > 0


def test_capitals_are_read(bitlane: Run, tmp_path: Path) -> None:
    """A suffix in capitals names the same format."""
    copy = tmp_path / "DIGITS.TFLITE"
    copy.write_bytes(Path("digits.tflite").read_bytes())
    outcome = bitlane("inspect", copy)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("DIGITS.TFLITE (litert-ref)\n")
