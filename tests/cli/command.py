"""Running the command line: in this process for speed, and as a process of its own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Final

import pytest

from analysis.cli import app
from analysis.terminal import run

SECONDS: Final = 180.0
"""A command that takes longer hangs; the first in a fresh environment compiles."""
START: Final = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from analysis.cli import main; main()"
)
"""`bitlane` in a process that Ctrl-C reaches, even where the tests run in the background."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code and the text of both streams."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


def inside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs `bitlane` with its arguments in this process."""

    def bitlane(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["bitlane", *map(str, arguments)])
        capsys.readouterr()
        code = run(app)
        shown = capsys.readouterr()
        return Outcome(code, shown.out, shown.err)

    return bitlane


def outside(*arguments: str | Path, cwd: Path) -> Outcome:
    """Run `bitlane` as a process of its own in the folder `cwd`."""
    command = [sys.executable, "-m", "analysis.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=SECONDS)
    return Outcome(done.returncode, done.stdout, done.stderr)


def started(*arguments: str | Path, cwd: Path, new_group: bool = False) -> "subprocess.Popen[str]":
    """`bitlane` as a process that goes on by itself; in a group of its own that takes signals."""
    return subprocess.Popen(
        [sys.executable, "-c", START, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=new_group,
    )


def wait_for(path: Path, process: "subprocess.Popen[str]") -> None:
    """Return as soon as `path` exists; fail where the process ends or hangs before."""
    deadline = monotonic() + SECONDS
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert monotonic() < deadline, f"{path} never came"
        sleep(0.005)


def files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(path within the folder, content) of every file below it, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()
