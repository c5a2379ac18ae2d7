"""A folder of results: Parquet chunks that are whole or absent, a manifest, one writer at a time.

A chunk is written aside, synced and renamed, so that a run killed at any moment leaves only whole
chunks; `--resume` computes those that are missing and ends with the same content.
"""

import contextlib
import fcntl
import io
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from analysis.files import make_folder, replacing, write_json
from simulator.errors import BadFile, RunFolderBusy

if TYPE_CHECKING:
    import polars as pl

Table: TypeAlias = Literal["points", "layers"]
TABLES: Final[tuple[Table, ...]] = ("layers", "points")
"""In the order in which a chunk's are written: the last one there says that it is whole."""
MANIFEST: Final = "manifest.json"
LOCK: Final = ".lock"
_MANIFEST_KINDS: Final = {
    "spec": dict,
    "machine": dict,
    "model": str,
    "layers": list,
    "points": int,
    "chunk_points": int,
}


class Store:
    """The results of one sweep in `folder`: tables `points` and `layers`, chunk by chunk."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def chunks(self) -> int:
        """Number of chunks the whole run has."""
        return -(-int(self.manifest["points"]) // int(self.manifest["chunk_points"]))

    def has(self, chunk: int) -> bool:
        """True where the chunk is kept."""
        return all(self._path(name, chunk).exists() for name in TABLES)

    def intact(self, chunk: int) -> bool:
        """True where the chunk is kept, can be read, and holds the points it should."""
        if not self.has(chunk):
            return False
        try:
            layers, points = (self.table(name, chunk) for name in TABLES)
        except BadFile:
            return False
        wanted = self.points_of(chunk)
        if "point" not in points.columns or "point" not in layers.columns:
            return False
        return points["point"].to_list() == list(wanted) and set(layers["point"]) <= set(wanted)

    @property
    def kept(self) -> int:
        """Number of points in the chunks that are kept."""
        return sum(len(self.points_of(c)) for c in range(self.chunks) if self.has(c))

    def missing(self) -> list[int]:
        """The chunks that are not there, or damaged."""
        return [chunk for chunk in range(self.chunks) if not self.intact(chunk)]

    def points_of(self, chunk: int) -> range:
        """Numbers of the points in a chunk."""
        size, total = int(self.manifest["chunk_points"]), int(self.manifest["points"])
        return range(chunk * size, min((chunk + 1) * size, total))

    def write(self, chunk: int, points: "pl.DataFrame", layers: "pl.DataFrame") -> None:
        """Keep a chunk, whole or not at all; raises BadFile where there is no room for it."""
        self.write_encoded(chunk, encoded(points), encoded(layers))

    def write_encoded(self, chunk: int, points: bytes, layers: bytes) -> None:
        """As `write`, of tables that are `encoded` already."""
        way_out = "make room there and go on with --resume"
        try:
            for name, content in zip(TABLES, (layers, points), strict=True):
                with replacing(self._path(name, chunk), way_out) as scratch:
                    scratch.write_bytes(content)
        except BadFile as error:
            raise BadFile(f"{error}; {self.kept} points are kept") from None

    def scan(self, name: Table = "points") -> "pl.LazyFrame":
        """A table that is read where and when it is asked for: of a large run, a part.

        `store.scan("layers").filter(pl.col("point") == 7).collect()` reads no other point's rows.
        """
        import polars as pl

        return pl.scan_parquet([self._path(name, chunk) for chunk in self._found()])

    def points(self, columns: Collection[str] = ()) -> "pl.DataFrame":
        """All kept points, in order; raises BadFile where there is none yet.

        With `columns` those of them alone that the table has, which takes less memory.
        """
        return self._read("points", columns)

    def layers(self) -> "pl.DataFrame":
        """All kept layers, in order."""
        return self._read("layers")

    def layers_of(self, points: Collection[int]) -> "pl.DataFrame":
        """The layers of some points without their actions, read a chunk at a time."""
        import polars as pl

        wanted = pl.Series(sorted(points), dtype=pl.Int64).implode()
        parts = [
            self.table("layers", chunk)
            .select(pl.exclude("^action\\..*$"))
            .filter(pl.col("point").is_in(wanted))
            for chunk in self._found()
        ]
        return pl.concat(parts, how="diagonal")

    def _found(self) -> list[int]:
        found = [c for c in range(self.chunks) if self.has(c)]
        if not found:
            raise BadFile(
                f"{self.folder}: holds no finished points yet; run the sweep again with --resume"
            )
        return found

    def _read(self, name: Table, columns: Collection[str] = ()) -> "pl.DataFrame":
        import polars as pl

        wanted = pl.selectors.by_name(*columns, require_all=False) if columns else pl.all()
        tables = [self.table(name, c).select(wanted) for c in self._found()]
        try:
            return pl.concat(tables)
        except pl.exceptions.PolarsError:
            raise BadFile(
                f"{self.folder / name}: its parts have different columns; "
                "run the sweep again with another --out"
            ) from None

    def table(self, name: Table, chunk: int) -> "pl.DataFrame":
        """One table of one chunk; raises BadFile where it cannot be read."""
        import polars as pl

        path = self._path(name, chunk)
        try:
            return pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError):
            raise BadFile(
                f"{path}: damaged, it cannot be read as Parquet; "
                "run the sweep again with --resume, which makes it anew"
            ) from None

    def _path(self, name: Table, chunk: int) -> Path:
        return self.folder / name / f"part-{chunk:05d}.parquet"


def encoded(table: "pl.DataFrame") -> bytes:
    """A table as Parquet."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def open_store(folder: Path) -> Store:
    """The finished or unfinished run in `folder`; raises BadFile where there is none."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise BadFile(f"{folder}: no such folder; give the --out folder of a sweep")
    if not path.exists():
        raise BadFile(f"{folder}: holds no {MANIFEST}; give the --out folder of a sweep")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise BadFile(
            f"{path}: damaged, not a JSON document; run the sweep again with another --out"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("schema") != "bitlane.sweep/1":
        raise BadFile(
            f"{path}: not a manifest of schema bitlane.sweep/1; give the --out folder of a sweep"
        )
    for key, kind in _MANIFEST_KINDS.items():
        value = manifest.get(key)
        if not isinstance(value, kind) or (isinstance(value, int) and value < 1):
            raise BadFile(
                f"{path}: damaged, '{key}' is missing or not what a sweep writes; "
                "run the sweep again with another --out"
            )
    return Store(folder, manifest)


def kept_points(folder: Path) -> int:
    """Number of points a stopped run left in `folder`; 0 where it had not begun."""
    return open_store(folder).kept if (folder / MANIFEST).exists() else 0


@contextlib.contextmanager
def writing(folder: Path, manifest: dict[str, Any], *, resume: bool) -> Iterator[Store]:
    """The store of a run in `folder`, locked against a second writer while the block runs.

    Raises RunFolderBusy where another process writes there, where a run is there and `resume` is
    not set, or where it is the run of another spec.
    """
    make_folder(folder)
    with locked(folder):
        if (folder / MANIFEST).exists():
            _check_same_run(open_store(folder).manifest, manifest, folder, resume)
        for name in TABLES:
            make_folder(folder / name)
        for left in folder.rglob(".*.tmp"):
            # Of a run that was killed while it wrote; nobody else writes under the lock.
            left.unlink(missing_ok=True)
        if not (folder / MANIFEST).exists():
            write_json(folder / MANIFEST, manifest)
        yield Store(folder, manifest)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; raises RunFolderBusy where another process does."""
    path = folder / LOCK
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BadFile(
            f"{folder}: cannot be written ({error.strerror}); choose another --out"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RunFolderBusy(
            f"{folder}: another sweep is writing here; wait for it or choose another --out"
        ) from None
    try:
        yield
    finally:
        os.close(handle)


def _check_same_run(
    kept: dict[str, Any], wanted: dict[str, Any], folder: Path, resume: bool
) -> None:
    if not resume:
        raise RunFolderBusy(
            f"{folder}: holds a run already; go on with it by --resume, or choose another --out"
        )
    for key in wanted:
        if kept.get(key) != wanted[key]:
            raise RunFolderBusy(
                f"{folder}: holds another run (its '{key}' is not this one's); "
                "choose another --out for this one"
            )
