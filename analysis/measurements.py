"""Measured latencies as a CSV: one row a network on a device.

Columns
-------
model : a model file (relative to the CSV's folder) or zoo:NAME. Required.
latency_ms, cycles : one of the two, above 0.
clock_mhz : the device's clock; that of the machine where empty.
device : rows of one device are left out together; the row's own number where empty.
overrides : fields of the machine on that row, as `path=value; path=value`.
source : where the number comes from; written into the calibrated YAML.
"""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from simulator.errors import BadFile, BitlaneError
from simulator.graph import Graph
from simulator.work import Work

COLUMNS: Final = ("model", "latency_ms", "cycles", "clock_mhz", "device", "overrides", "source")


@dataclass(frozen=True)
class Measurement:
    """A network's work and the cycles it took; `overrides` include the clock where given.

    `machine` names the base that it was measured on, where several are fitted together. A platform
    needs the `graph`, not its works alone: what feeds what decides when an operator starts.
    """

    model: str
    works: tuple[Work, ...]
    cycles: float
    device: str
    overrides: tuple[tuple[str, str], ...] = ()
    machine: str = ""
    place: str = ""
    source: str = ""
    graph: Graph | None = None

    @property
    def row(self) -> str:
        """The measurement in a line, for the record in a YAML."""
        sets = "; ".join(f"{path}={value}" for path, value in self.overrides)
        parts = (self.model, self.device, sets, f"{self.cycles:.6g} cycles", self.source)
        return ", ".join(part for part in parts if part)


def read(path: Path, clock_mhz: float, clock: str = "clock_mhz") -> tuple[Measurement, ...]:
    """Read a CSV of measurements; `clock_mhz` holds where a row gives none.

    `clock` is the field that a row's own clock sets: that of the host on a platform.

    Raises BadFile with file and line of the first fault.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadFile(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFile(f"{path}: not UTF-8 text; save the CSV as UTF-8") from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    _check_header(path, reader.fieldnames)
    found: list[Measurement] = []
    known: dict[str, Graph] = {}
    try:
        for row in reader:
            found.append(_measurement(path, reader.line_num, row, (clock, clock_mhz), known))
    except csv.Error as error:
        raise BadFile(f"{path}:{reader.line_num}: not a CSV row: {error}") from None
    if not found:
        raise BadFile(f"{path}: holds no measurement; add rows under its header")
    return tuple(found)


def _check_header(path: Path, names: object) -> None:
    columns = list(names) if isinstance(names, list) else []
    unknown = [name for name in columns if name not in COLUMNS]
    if unknown:
        raise BadFile(f"{path}:1: unknown column '{unknown[0]}'; known: {', '.join(COLUMNS)}")
    if "model" not in columns or not {"latency_ms", "cycles"} & set(columns):
        raise BadFile(f"{path}:1: needs the columns model and latency_ms (or cycles)")
    if len(set(columns)) < len(columns):
        raise BadFile(f"{path}:1: a column is named twice; remove one")


def _measurement(
    path: Path,
    line: int,
    row: dict[str, str | None],
    at_clock: tuple[str, float],
    known: dict[str, Graph],
) -> Measurement:
    place = f"{path}:{line}"
    if None in row or None in row.values():
        raise BadFile(f"{place}: does not have as many values as the header has columns")
    values = {name: (value or "").strip() for name, value in row.items()}
    if not values["model"]:
        raise BadFile(f"{place}: model: is empty; give a model file or zoo:NAME")
    given = [name for name in ("latency_ms", "cycles") if values.get(name)]
    if len(given) != 1:
        raise BadFile(f"{place}: give latency_ms or cycles, one of the two; found {len(given)}")
    amount = _positive(place, given[0], values[given[0]])
    overrides = _overrides(place, values.get("overrides", ""))
    field, clock_mhz = at_clock
    if clock := values.get("clock_mhz", ""):
        clock_mhz = _positive(place, "clock_mhz", clock)
        overrides = (*overrides, (field, clock))
    graph = _graph(path, place, values["model"], known)
    return Measurement(
        model=values["model"],
        works=graph.work,
        cycles=amount * clock_mhz * 1e3 if given[0] == "latency_ms" else amount,
        device=values.get("device") or f"row {line}",
        overrides=overrides,
        place=place,
        source=values.get("source", ""),
        graph=graph,
    )


def _positive(place: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise BadFile(f"{place}: {name}: must be a number above 0; found '{text}'")
    return value


def _overrides(place: str, text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in filter(None, (piece.strip() for piece in text.split(";"))):
        path, equals, value = part.partition("=")
        if not equals or not path.strip() or not value.strip():
            raise BadFile(f"{place}: overrides: write path=value; path=value; found '{part}'")
        if path.strip() == "clock_mhz":
            raise BadFile(f"{place}: overrides: give the clock in the column clock_mhz")
        pairs.append((path.strip(), value.strip()))
    return tuple(pairs)


def _graph(path: Path, place: str, model: str, known: dict[str, Graph]) -> Graph:
    import workloads

    if model not in known:
        named = model if model.startswith("zoo:") else str(path.parent / model)
        try:
            known[model] = workloads.load(named)
        except BitlaneError as error:
            raise type(error)(f"{place}: model: {error}") from None
    return known[model]
