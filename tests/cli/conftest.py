"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest

from tests.cli.command import Run, inside
from tests.cli.long_run import run_whole
from tests.cli.workspace import fill


@pytest.fixture
def bitlane(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `bitlane` in this process: `bitlane("hw", "list")` gives code, out and err."""
    return inside(monkeypatch, capsys)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of good and bad files, made once; tests leave it as it is."""
    folder = tmp_path_factory.mktemp("workspace")
    fill(folder)
    return folder


@pytest.fixture
def workspace(filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`filled`, as the working folder, so that messages hold short names."""
    monkeypatch.chdir(filled)
    return filled


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a long sweep's spec and the run that nobody stopped; tests leave it so."""
    return run_whole(tmp_path_factory.mktemp("whole"))
