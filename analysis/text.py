"""Plain text for a terminal: aligned tables and quantities with SI prefixes."""

from collections.abc import Sequence
from typing import Final

_PREFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"))
_SMALL: Final = ((1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned, numbers to the right, under a ruled header."""
    cells = [[str(c) for c in row] for row in rows]
    widths = [max(len(r[i]) for r in [list(header), *cells]) for i in range(len(header))]
    numeric = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(header))
    ]

    def line(row: Sequence[str]) -> str:
        parts = [
            c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)
        ]
        return "  ".join(parts).rstrip()

    rule = "  ".join("-" * w for w in widths)
    return "\n".join([line(header), rule, *(line(row) for row in cells)])


def si(value: float, unit: str) -> str:
    """`value` with three to four digits and an SI prefix: 0.00123 s is '1.23 ms'."""
    if value == 0:
        return f"0 {unit}"
    for factor, prefix in (*_PREFIXES, *_SMALL):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def grouped(value: int) -> str:
    """12501632 as '12 501 632'."""
    return f"{value:,}".replace(",", " ")
