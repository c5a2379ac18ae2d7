"""Timeloop's mappings on its Eyeriss: cycles and energy, by its conventions and by ours."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.validation.rows import Row, Section, rows_module, section_of, shared_file, signed

RULE, ARRAY = "cycles by Timeloop's rule", "ideal cycles of our nest"
EYERISS, ALEXNET = "eyeriss_like", "alexnet"
COUNTED, OURS = "energy by its conventions, pJ", "energy by our conventions, pJ"


def section_rows(figures: Sequence[Any]) -> list[Row]:
    """Cycles and energies of each row that carries its mapping."""
    rows = []
    for row in figures:
        theirs = sum(row.their_pj.values())
        pairs = [
            (RULE, row.their_cycles, row.cycles_by_rule),
            (ARRAY, row.their_cycles, row.cycles["ideal"]),
            (COUNTED, theirs, sum(row.counted_pj.values())),
            (OURS, theirs, sum(row.ours_pj.values())),
        ]
        rows += [Row(what, row.label, float(a), float(b), row.architecture) for what, a, b in pairs]
    return rows


def shares(figures: Sequence[Any]) -> str:
    """Each named difference of convention as a share of Timeloop's energy over all rows."""
    total = sum(sum(row.their_pj.values()) for row in figures)
    terms: dict[str, float] = {}
    for row in figures:
        found: Mapping[str, Mapping[str, float]] = row.terms
        for name, parts in found.items():
            terms[name] = terms.get(name, 0.0) + sum(parts.values())
    ordered = sorted(terms.items(), key=lambda term: -abs(term[1]))
    return ", ".join(f"{name} {signed(value / total)}" for name, value in ordered)


def shares_by_layer(figures: Sequence[Any]) -> str:
    """Of AlexNet's layers each component's percent of the energy, theirs and ours, as Markdown."""
    rows = [row for row in figures if (row.architecture, row.network) == (EYERISS, ALEXNET)]
    names = list(rows[0].their_pj)
    lines = [f"| layer | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for row in rows:
        theirs, ours = (sum(side.values()) for side in (row.their_pj, row.ours_pj))
        cells = [
            f"{100 * row.their_pj[name] / theirs:.1f} / {100 * row.ours_pj[name] / ours:.1f}"
            for name in names
        ]
        lines.append(f"| {row.layer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def section() -> Section:
    """Raises Missing where the checkout has no module of Timeloop's rows."""
    module = rows_module("tests.machines.timeloop_rows")
    shared_file("reference/peers/timeloop_reference.csv")
    figures = module.rows()
    return section_of(
        title="Timeloop, its own mappings",
        compares=(
            "Timeloop's mappings on its Eyeriss and on a small weight-stationary array: its cycles "
            "against its own rule recomputed from our nest, its energies against the same words "
            "counted by its conventions and by ours."
        ),
        source=(
            "timeloop-mapper 4cf6d4c and statistics shipped with its exercises (Parashar et al., "
            "ISPASS 2019); `reference/peers/timeloop_reference.csv`"
        ),
        machine=(
            "`timeloop_eyeriss_like`, its fields set for the second architecture and for each "
            "row's unrolling as `tests/machines/timeloop_rows.py` writes them"
        ),
        basis="no: sizes and prices are Timeloop's tables, nothing is fitted",
        name="timeloop",
        rows=section_rows(figures),
        misses=[
            "From Timeloop's energy to ours, each convention as a share of its total: "
            f"{shares(figures)}.",
            "Shares of the energy of AlexNet's layers by component on Eyeriss, Timeloop's / ours, "
            "in percent, of the same mapping (the chip's own published shares are not among the "
            f"figures at hand):\n\n{shares_by_layer(figures)}",
            "Timeloop overlaps all traffic with computing and has no stalls by itself: its cycles "
            "are the slowest of computing and of one buffer's traffic; our ideal cycles are "
            "computing alone.",
        ],
    )
