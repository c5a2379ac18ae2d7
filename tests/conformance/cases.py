"""Where the operator cases lie and what one case holds (FORMATS.md)."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from simulator.graph import Array
from tests.shared import absence, expected_folder

VARIABLE: Final = "BITLANE_CASES"
"""Names another folder of the layout of the shared folder's `cases`."""


@dataclass(frozen=True)
class CaseFile:
    """One case: `<name>.npz` with its arrays, `<name>.json` and `<name>.tflite` where it has them.

    `group` is the folder it lies in, e.g. ``conv2d`` or ``opzoo``.
    """

    folder: Path
    name: str

    @property
    def group(self) -> str:
        """The operator or the collection."""
        return self.folder.name

    @property
    def label(self) -> str:
        """The case in test names."""
        return f"{self.group}/{self.name}"

    @property
    def model(self) -> Path:
        """The .tflite file."""
        return self.folder / f"{self.name}.tflite"

    @property
    def described(self) -> bool:
        """Whether there is a description beside it."""
        return (self.folder / f"{self.name}.json").exists()

    def about(self) -> dict[str, Any]:
        """The description beside it."""
        found: dict[str, Any] = json.loads((self.folder / f"{self.name}.json").read_text())
        return found

    def arrays(self) -> dict[str, Array]:
        """Every array by key."""
        with np.load(self.folder / f"{self.name}.npz") as archive:
            return {key: archive[key] for key in archive.files}


def cases_root() -> Path:
    """The folder that BITLANE_CASES names, else `cases` in the shared folder."""
    named = os.environ.get(VARIABLE)
    return Path(named).resolve() if named else expected_folder() / "cases"


def is_shared() -> bool:
    """Whether the cases are those of the shared folder, whose number is known."""
    return VARIABLE not in os.environ


def skip_if_absent(collection: str) -> None:
    """Skip a test where no shared folder is, or where the folder named holds other collections."""
    if not cases_root().is_dir():
        pytest.skip(absence())
    if not is_shared() and not (cases_root() / collection).is_dir():
        pytest.skip(f"{cases_root()} holds no {collection}")


def find_cases(collection: str) -> list[CaseFile]:
    """Every case of a collection, e.g. ``cmsis_nn``; none where its folder is absent."""
    found = sorted((cases_root() / collection).glob("*/*.npz"))
    return [CaseFile(path.parent, path.stem) for path in found]
