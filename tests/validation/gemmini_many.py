"""Gemmini's RTL with 1,567 mappings of 66 layers, on the machine that other rows were fitted to."""

import csv
from typing import Any

import hwconfigs
from analysis.against_rtl import Row as Figures
from analysis.against_rtl import predict
from tests.validation.gemmini import kind_of, name_of
from tests.validation.rows import (
    Row,
    Section,
    by_group,
    grouped,
    percent,
    section_of,
    shared_file,
    summarise,
)

FILE = "reference/peers/gemmini_rtl_public.csv"
CYCLES = "cycles, many mappings of a layer"
UNITS = 128
SETS: list[tuple[str, Any]] = [
    (
        "array.dimensions",
        {name: {"size": UNITS, "systolic": True} for name in ("columns", "rows")},
    ),
    ("array.unrollings", [{"columns": {"oc": UNITS}, "rows": {"ic": UNITS}}]),
]
SHARES = ((16, "up to 16"), (256, "17 to 256"), (UNITS * UNITS, "more than 256"))


def figures() -> list[Figures]:
    """The rows labelled with 128 x 128 units."""
    with shared_file(FILE).open(encoding="utf-8") as stream:
        return [row for row in csv.DictReader(stream) if row["arch_pe"] == str(UNITS * UNITS)]


def section() -> Section:
    """By layer and by how many units a mapping uses."""
    found = figures()
    rows = [
        Row(CYCLES, f"{name_of(row)}: {row['mapping']}", _measured(row), float(ours), kind_of(row))
        for row, ours in zip(found, predict(found, "gemmini_like", SETS), strict=True)
    ]
    pairs = list(zip(found, rows, strict=True))
    within = [
        summarise([row for _, row in part]).spearman
        for part in _by_layer(pairs).values()
        if len(part) > 2
    ]
    used = [
        Row(CYCLES, "", row.theirs, row.ours, _share(int(figure["spatial_product"])))
        for figure, row in pairs
    ]
    below = sum(row.theirs < float(figure["temporal_iterations"]) for figure, row in pairs)
    source = hwconfigs.load("gemmini_like").source
    known = source if isinstance(source, dict) else {}
    return section_of(
        title="Gemmini RTL, many mappings",
        compares=(
            "Cycles of Gemmini's RTL with mappings that a search tried, good and bad, of 66 "
            "layers: does a mapping's cost rank it?"
        ),
        source=(
            "FireSim runs published with DOSA (Hong et al., MICRO 2023), commit a7a3239, its "
            f"training file, labelled 128 x 128; `{FILE}`, the rows of 16,384 units"
        ),
        machine=(
            "`gemmini_like` with `--set array.dimensions, array.unrollings` of 128 x 128 units and "
            "the rows' memory sizes"
        ),
        basis=(
            "one number: `memory.2.refill_cycles` is the least time of a tile in these rows"
            if "memory.2.refill_cycles" in known
            else "no: fitted fields are those of the 16 x 16 rows of another file"
        ),
        name="gemmini_many",
        rows=rows,
        misses=[
            f"Rank correlation among the mappings of one layer: {min(within):.3f} to "
            f"{max(within):.3f}, mean {sum(within) / len(within):.3f} over {len(within)} layers.",
            f"By units that a mapping uses: {by_group(used)}. By kind of layer: {by_group(rows)}.",
            f"In {below} rows ({percent(below / len(rows))}) the RTL takes fewer cycles than the "
            "mapping's loops have iterations: there it did not run the loops as they are written.",
        ],
    )


def _measured(row: Figures) -> float:
    return float(row["rtl_cycles_firesim"])


def _by_layer(pairs: list[tuple[Figures, Row]]) -> dict[str, list[tuple[Figures, Row]]]:
    names = grouped([row for _, row in pairs], lambda row: row.name.partition(":")[0])
    return {name: [pair for pair in pairs if pair[1].name.startswith(f"{name}:")] for name in names}


def _share(units: int) -> str:
    return next(text for most, text in SHARES if units <= most)
