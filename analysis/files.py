"""Writing results: whole or not at all, and JSON documents that carry their schema."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from simulator.errors import BadFile

STANDARD_OUTPUT: Final = Path("-")
"""What `--json -` names: the document alone, for a pipe."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A scratch path beside `path` that takes its place, synced, when the block ends well.

    Raises BadFile where the folder does not exist or cannot be written.
    """
    if not path.name:
        raise BadFile(f"'{path}': names no file; give a file to write")
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield scratch
        with scratch.open("rb") as written:
            os.fsync(written.fileno())
        scratch.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadFile(f"{path}: cannot be written ({reason}); choose another place") from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; raises BadFile where a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFile(
            f"{folder}: the folder cannot be made ({error.strerror}); choose another --out"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file whole."""
    with replacing(path) as scratch:
        scratch.write_text(text, encoding="utf-8")


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON document whole, two spaces deep; `-` is standard output."""
    text = json.dumps(document, indent=2, allow_nan=False) + "\n"
    if path == STANDARD_OUTPUT:
        sys.stdout.write(text)
    else:
        write_text(path, text)


def tell(text: str, path: Path | None) -> None:
    """Print what a command found, unless its JSON document takes standard output."""
    if path != STANDARD_OUTPUT:
        print(text)
