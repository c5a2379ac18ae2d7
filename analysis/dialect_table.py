"""The table of dialects as Markdown: which operator requantizes how, generated from code.

Run with ``python -m analysis.dialect_table > docs/dialects.md`` in a checkout: the counts of
compared values come from its ``docs/conformance.json``.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from analysis.text import grouped
from simulator.numeric.dialect import DIALECTS, Dialect, Rule
from simulator.registry import operators

COUNTS: Final = Path(__file__).resolve().parents[1] / "docs" / "conformance.json"
"""What ``python -m tests.conformance.count`` wrote."""

Counts: TypeAlias = Mapping[str, Mapping[str, Mapping[str, int]]]
"""By dialect and operator: `cases`, `values` compared and values `differing`."""


def recorded_counts() -> Counts:
    """The counts of the last conformance run that was committed."""
    counts: Counts = json.loads(COUNTS.read_text(encoding="utf-8"))["counts"]
    return counts


def markdown(counts: Counts) -> str:
    """The page: dialects, rules, named forms, defects, and how many values were compared."""
    dialects = list(DIALECTS.values())
    names = [d.name for d in dialects]
    return "\n".join(
        [
            "# Dialects",
            "",
            "A dialect is the arithmetic of one runtime, held as data. A rule names a rounding and",
            "how the real scale is derived; `kind:dtype` is looked up before `kind`, `:dtype` and",
            "the default. Made by `python -m analysis.dialect_table`.",
            "",
            *_table(
                ("dialect", "runtime", "default"),
                ((d.name, d.runtime, _rule(d.default)) for d in dialects),
            ),
            "",
            "## Requantization",
            "",
            *_table(
                ("operator", *names),
                (
                    (key, *(_rule(d.rules.get(key)) for d in dialects))
                    for key in _keys(dialects, "rules")
                ),
            ),
            "",
            "An empty cell is the dialect's default.",
            "",
            *_conformance(dialects, counts),
            "",
            "## Algorithms where runtimes use different ones",
            "",
            *_table(
                ("operator", *names),
                (
                    (key, *(d.forms.get(key, "") for d in dialects))
                    for key in _keys(dialects, "forms")
                ),
            ),
            "",
            "## Known defects that are reproduced",
            "",
            *_table(
                ("dialect", "operator", "defect"),
                ((d.name, kind, text) for d in dialects for kind, text in d.defects.items()),
            ),
            "",
            "## Operators and the kernels whose bits they are",
            "",
            *_table(
                ("operator", "in files", "reference"),
                ((k, ", ".join(o.formats), o.reference) for k, o in operators().items()),
            ),
            "",
        ]
    )


def _conformance(dialects: Iterable[Dialect], counts: Counts) -> list[str]:
    """The section on recorded outputs: what was compared, and what differs."""
    shown = [d.name for d in dialects if d.name in counts]
    kinds = sorted({kind for name in shown for kind in counts[name]})
    return [
        "## Conformance: values compared with recorded ones",
        "",
        "Outputs that the runtimes themselves recorded, case by case and network by network,",
        "and the tensors inside networks where those were recorded too. Each cell: values",
        "compared (cases), and how many differ in any bit where some do. The values of real",
        "softmax depend on the instruction set of the recording machine; they stay within",
        "1e-5 of it. Made by `python -m tests.conformance.count > docs/conformance.json`.",
        "",
        *_table(
            ("operator", *shown),
            [(k, *(_count(counts[name].get(k)) for name in shown)) for k in kinds]
            + [("**all**", *(_count(_sum(counts[name].values())) for name in shown))],
        ),
        "",
        "An empty cell has no recorded case; dialects without a column have none at all.",
    ]


def _sum(counts: Iterable[Mapping[str, int]]) -> Mapping[str, int]:
    held = list(counts)
    return {key: sum(c[key] for c in held) for key in ("cases", "values", "differing")}


def _count(count: Mapping[str, int] | None) -> str:
    if count is None:
        return ""
    differing = f", {grouped(count['differing'])} differ" if count["differing"] else ""
    return f"{grouped(count['values'])} ({count['cases']}){differing}"


def _keys(dialects: Iterable[Dialect], field: str) -> list[str]:
    return sorted({key for d in dialects for key in getattr(d, field)})


def _rule(rule: Rule | None) -> str:
    if rule is None:
        return ""
    blocks = f", {rule.blocks.size} {rule.blocks.over} at a time" if rule.blocks else ""
    return f"{rule.rounding} ({rule.scale}){blocks}"


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"

    return [line(header), line("---" for _ in header), *(line(row) for row in rows)]


if __name__ == "__main__":
    print(markdown(recorded_counts()), end="")
