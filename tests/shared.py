"""Where the folder of public models, cases and golden outputs lies; the one place that knows.

It is no part of the distribution: tests that need it skip where the whole folder is absent, and
fail where a file inside is missing.
"""

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
VARIABLE: Final = "BITLANE_SHARED"
ABSENT: Final = "the shared folder is absent"


def expected_folder() -> Path:
    """The path that BITLANE_SHARED names, else `shared` beside the project root."""
    return Path(os.environ.get(VARIABLE) or ROOT.parent / "shared").resolve()


def shared_folder() -> Path | None:
    """The folder, or None where there is none at `expected_folder()`."""
    folder = expected_folder()
    return folder if folder.is_dir() else None


def absence() -> str:
    """Why a test that needs the folder is skipped, and how to run it."""
    return f"{ABSENT}: {expected_folder()} is no folder; set {VARIABLE} to run this test"
