"""The table of dialects as Markdown: which operator requantizes how, generated from code.

Run with ``python -m analysis.dialect_table > docs/dialects.md``.
"""

from collections.abc import Iterable

from simulator.numeric.dialect import DIALECTS, Dialect, Rule
from simulator.registry import operators


def markdown() -> str:
    """The page: a table of dialects, of rules, of named forms and of known defects."""
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
    print(markdown(), end="")
