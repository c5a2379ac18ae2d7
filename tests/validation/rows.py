"""Figures side by side: one row a figure, and the statistics of rows of one quantity.

Read next: `tests.validation.page`, which writes sections of them as Markdown.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.stats import spearmanr

from tests.shared import ABSENT, VARIABLE, shared_folder


class Missing(Exception):
    """What a section compares with is not there; the message says what and how to get it."""


@dataclass(frozen=True)
class Row:
    """One figure: theirs and ours, of one quantity with its unit; `group` is what misses share."""

    quantity: str
    name: str
    theirs: float
    ours: float
    group: str = ""

    @property
    def error(self) -> float:
        """Signed relative error; 0 where equal, infinite where theirs alone is 0."""
        if self.ours == self.theirs:
            return 0.0
        return self.ours / self.theirs - 1 if self.theirs else math.inf


@dataclass(frozen=True)
class Summary:
    """Of the rows of one quantity: how many, how many equal, and relative errors as fractions.

    `mape` is the mean absolute error, `p90` the ninth decile (linear between ranks), `spearman`
    the rank correlation, NaN where either side is constant or fewer than three rows are there.
    """

    quantity: str
    rows: int
    exact: int
    mape: float
    median: float
    p90: float
    spearman: float


@dataclass(frozen=True)
class Section:
    """One comparison: `basis` says whether anything of ours was fitted to the same source."""

    title: str
    compares: str
    source: str
    machine: str
    basis: str
    command: str
    rows: tuple[Row, ...]
    summary: tuple[Summary, ...]
    misses: tuple[str, ...]


def summarise(rows: Sequence[Row]) -> Summary:
    """The statistics of rows of one quantity; raises ValueError without rows."""
    if not rows:
        raise ValueError("no rows to summarise")
    errors = np.abs([row.error for row in rows])
    theirs, ours = ([getattr(row, side) for row in rows] for side in ("theirs", "ours"))
    ranked = len(rows) > 2 and len(set(theirs)) > 1 and len(set(ours)) > 1
    return Summary(
        rows[0].quantity,
        len(rows),
        sum(row.error == 0 for row in rows),
        float(errors.mean()),
        float(np.median(errors)),
        float(np.quantile(errors, 0.9)),
        float(spearmanr(theirs, ours)[0]) if ranked else math.nan,
    )


def grouped(rows: Iterable[Row], key: Callable[[Row], str]) -> Mapping[str, list[Row]]:
    """Rows by a key, in the order of its first row."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def section_of(
    *,
    title: str,
    compares: str,
    source: str,
    machine: str,
    basis: str,
    name: str,
    rows: Iterable[Row],
    misses: Iterable[str],
) -> Section:
    """A section with the summary of each quantity; `name` is what ``--only`` calls it."""
    kept = tuple(rows)
    return Section(
        title,
        compares,
        source,
        machine,
        basis,
        f"python -m tests.validation --only {name}",
        kept,
        tuple(map(summarise, grouped(kept, lambda row: row.quantity).values())),
        tuple(misses),
    )


def by_group(rows: Sequence[Row]) -> str:
    """`group: mean absolute error, signed mean, rows` of each group, the worst first."""
    parts = []
    for group, members in grouped(rows, lambda row: row.group).items():
        errors = np.array([row.error for row in members])
        mean = float(np.abs(errors).mean())
        text = f"{group} {percent(mean)} (mean signed {signed(float(errors.mean()))}, "
        parts.append((mean, f"{text}{len(members)} row{'s' if len(members) > 1 else ''})"))
    return "; ".join(text for _, text in sorted(parts, key=lambda part: -part[0]))


def level_and_shape(rows: Sequence[Row]) -> str:
    """The error split into one common factor and what is left: level, then shape."""
    ratios = np.array([row.theirs / row.ours for row in rows])
    factor = float(np.exp(np.log(ratios).mean()))
    left = float(np.abs(factor / ratios - 1).mean())
    return (
        f"One common factor of {factor:.2f} (the geometric mean of theirs / ours) leaves a MAPE "
        f"of {percent(left)}"
    )


def group_table(rows: Sequence[Row], title: str) -> str:
    """As `by_group`, a Markdown table for many groups."""
    lines = [f"| {title} | rows | MAPE | signed mean | worst |", "|---|---:|---:|---:|---:|"]
    for group, members in grouped(rows, lambda row: row.group).items():
        errors = np.array([row.error for row in members])
        worst = float(errors[np.abs(errors).argmax()])
        cells = (percent(float(np.abs(errors).mean())), signed(float(errors.mean())), signed(worst))
        lines.append(f"| {group} | {len(members)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def percent(fraction: float) -> str:
    """A fraction in percent with the digits that a reader needs."""
    if math.isnan(fraction):
        return "–"
    value = 100 * fraction
    return f"{value:.1f} %" if value == 0 or abs(value) >= 0.1 else f"{value:.1g} %"


def signed(fraction: float) -> str:
    """As `percent`, with its sign."""
    return percent(fraction) if fraction < 0 else f"+{percent(fraction)}"


def rows_module(name: str) -> ModuleType:
    """A module of rows that another part of the checkout brings; raises Missing without it."""
    if find_spec(name) is None:
        raise Missing(f"not available: this checkout has no module {name}")
    return import_module(name)


def shared_file(path: str) -> Path:
    """A file of the shared folder; raises Missing where the folder or the file is absent."""
    folder = shared_folder()
    if folder is None:
        raise Missing(f"{ABSENT}; set {VARIABLE}")
    if not (folder / path).is_file():
        raise Missing(f"the shared folder has no {path}")
    return folder / path
