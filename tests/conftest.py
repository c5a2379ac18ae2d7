"""Fixtures of the whole suite."""

from pathlib import Path
from typing import Any

import pytest

from tests.shared import ABSENT, absence, shared_folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared folder; skips the test that asks for it where there is none."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    return folder


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name every test that did not run because the shared folder is absent."""
    missed = [
        report.nodeid
        for report in terminalreporter.stats.get("skipped", ())
        if ABSENT in str(report.longrepr)
    ]
    if missed:
        terminalreporter.section(f"{len(missed)} tests not run: {absence()}")
        for nodeid in missed:
            terminalreporter.write_line(nodeid)
