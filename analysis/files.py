"""Writing results: whole or not at all, and JSON documents that carry their schema."""

import contextlib
import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from simulator.errors import BadFile

STANDARD_OUTPUT: Final = Path("-")
"""What `--json -` names: the document alone, for a pipe."""


@contextlib.contextmanager
def replacing(path: Path, way_out: str = "choose another place") -> Iterator[Path]:
    """A scratch path beside `path` that takes its place, synced, when the block ends well.

    A device or a pipe is written itself, and the file that a link leads to takes the place of a
    link. Raises BadFile, ending in `way_out`, where the folder does not exist or cannot be written.
    """
    _require_name(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        with _refusing(path, way_out):
            yield path
        return
    if path.is_symlink():
        path = path.resolve()
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _refusing(path, way_out):
            yield scratch
            _sync(scratch)
            scratch.replace(path)
            with contextlib.suppress(OSError):  # Some file systems sync no folder.
                _sync(path.parent)
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def _sync(path: Path) -> None:
    """Have the system put a file, or the names in a folder, on its disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _refusing(path: Path, way_out: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error), way_out) from None


def _require_name(path: Path) -> None:
    if not path.name:
        raise BadFile(f"'{path}': names no file; give a file to write")


def _unwritable(path: Path, reason: str, way_out: str = "choose another place") -> BadFile:
    return BadFile(f"{path}: cannot be written ({reason}); {way_out}")


def check_places(places: Mapping[str, Path | None]) -> None:
    """Refuse what could not be written or would be lost, before the work; `places` by option.

    Raises BadFile on a folder, a file in a folder that is not there, one file for two options, and
    `-` for any option but --json.
    """
    taken: dict[Path, str] = {}
    for option, path in places.items():
        if path is None or (path == STANDARD_OUTPUT and option == "--json"):
            continue
        if path == STANDARD_OUTPUT:
            raise BadFile(f"{option} -: only --json goes to standard output; give a file")
        _require_name(path)
        if path.is_dir():
            raise _unwritable(path, os.strerror(errno.EISDIR))
        if not path.parent.is_dir():
            missing = errno.ENOTDIR if path.parent.exists() else errno.ENOENT
            raise _unwritable(path, os.strerror(missing))
        if not (os.access(path.parent, os.W_OK) or path.is_char_device() or path.is_fifo()):
            raise _unwritable(path, os.strerror(errno.EACCES))
        other = taken.setdefault(path.resolve(), option)
        if other != option and (path.is_file() or not path.exists()):
            raise BadFile(f"{option} {path}: {other} writes there too; give each its own file")


def make_folder(folder: Path, option: str = "--out") -> None:
    """Make the folder of `option` and those above it; raises BadFile where a file is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFile(
            f"{folder}: the folder cannot be made ({error.strerror}); choose another {option}"
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
