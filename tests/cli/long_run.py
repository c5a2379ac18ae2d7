"""A sweep of many chunks, so that a run which has written a few is far from its end."""

from pathlib import Path
from typing import Final

from tests.cli.command import outside
from tests.cli.workspace import SWEEP, edited

POINTS: Final = 2400
LONG: Final = edited(
    SWEEP,
    ("[4, 8]", "{range: {first: 1, last: 80}}"),
    ("{log2: {first: 4, last: 16}}", "{range: {first: 1, last: 30}}"),
    ("chunk_points: 2", "chunk_points: 16"),
)
"""150 chunks."""
COMMAND: Final = ("sweep", "long.yaml", "--out", "out")


def run_whole(folder: Path) -> Path:
    """The folder with the spec and its uninterrupted run in `out`."""
    (folder / "long.yaml").write_text(LONG, encoding="utf-8")
    outcome = outside(*COMMAND, cwd=folder)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"tiny: {POINTS} points in out\n")
    return folder
