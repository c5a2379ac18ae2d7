"""Sections as one Markdown page and as one JSON document: the same for the same tree."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from tests.validation.rows import Row, Section, Summary, percent, signed

WORST: Final = 5
"""Rows with the largest errors that a section shows."""
HEAD: Final = """# Validation

Ours against every independent figure at hand: other simulators, RTL and silicon. Made by
`python -m tests.validation > docs/validation.md` with the folder of public figures that
`BITLANE_SHARED` names; `--json F` writes every row, `--only NAME` runs one section.

An error is ours / theirs − 1; MAPE is the mean of its absolute values, p90 their ninth decile, ρ
Spearman's rank correlation. *Exact* counts rows that are equal. *Fitted?* says whether anything of
ours was fitted to figures of the same source: “no” means that the machine's description alone
predicts."""
COLUMNS: Final = ("rows", "exact", "MAPE", "median", "p90", "ρ")


def markdown(results: Mapping[str, Section | str]) -> str:
    """The page of sections by name; a text in place of a section says why it was not run."""
    lines = [HEAD, "", "| section | quantity | " + " | ".join(COLUMNS) + " | fitted? |"]
    lines.append("|---|---|" + "---:|" * len(COLUMNS) + "---|")
    for name, found in results.items():
        if isinstance(found, str):
            lines.append(f"| {name} | **not run** |" + " |" * len(COLUMNS) + " |")
            continue
        fitted = found.basis.partition(":")[0]
        for summary in found.summary:
            cells = (found.title, summary.quantity, *_statistics(summary), fitted)
            lines.append(_line(cells))
    for name, found in results.items():
        lines += ["", *section_lines(name, found)]
    return "\n".join(lines) + "\n"


def section_lines(name: str, found: Section | str) -> list[str]:
    """One section: what, from where, on which machine, how near, what explains the misses."""
    if isinstance(found, str):
        return [f"## {name}: not run", "", found]
    lines = [f"## {found.title}", "", found.compares, ""]
    lines += [
        f"- *Source*: {found.source}",
        f"- *Machine*: {found.machine}",
        f"- *Fitted?* {found.basis}",
        f"- *Again*: `{found.command}`",
        "",
        "| quantity | " + " | ".join(COLUMNS) + " |",
        "|---|" + "---:|" * len(COLUMNS),
    ]
    lines += [_line((summary.quantity, *_statistics(summary))) for summary in found.summary]
    worst = sorted((row for row in found.rows if row.error), key=lambda row: -abs(row.error))
    if worst:
        lines += ["", f"The worst {min(WORST, len(worst))} of {len(worst)} rows that differ:", ""]
        lines += ["| row | quantity | theirs | ours | error |", "|---|---|---:|---:|---:|"]
        lines += [_line(_cells(row)) for row in worst[:WORST]]
    if found.misses:
        lines += ["", "What explains the misses:" if worst else "Notes:", ""]
        lines += [line for text in found.misses for line in _bullet(text)]
    return lines


def _bullet(text: str) -> list[str]:
    """A list item; what follows its first line stays inside it."""
    first, *rest = text.splitlines()
    return [f"- {first}", *(f"  {line}" if line else "" for line in rest)]


def _statistics(summary: Summary) -> tuple[str, ...]:
    errors = (summary.mape, summary.median, summary.p90)
    rank = "–" if summary.spearman != summary.spearman else f"{summary.spearman:.3f}"
    return (str(summary.rows), str(summary.exact), *map(percent, errors), rank)


def _cells(row: Row) -> tuple[str, ...]:
    return (row.name, row.quantity, _number(row.theirs), _number(row.ours), signed(row.error))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def document(results: Mapping[str, Section | str]) -> dict[str, Any]:
    """Every row and summary, for machines."""
    sections: list[dict[str, Any]] = []
    for name, found in results.items():
        if isinstance(found, str):
            sections.append({"name": name, "not_run": found})
            continue
        plain = asdict(found)
        plain["rows"] = _with_errors(found.rows)
        plain["summary"] = [_without_nan(asdict(summary)) for summary in found.summary]
        sections.append({"name": name, **plain})
    return {"schema": "bitlane.validation/1", "sections": sections}


def _with_errors(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{**asdict(row), "error": row.error if row.theirs else None} for row in rows]


def _without_nan(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: None if value != value else value for key, value in plain.items()}
