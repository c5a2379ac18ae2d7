"""Vela's cycles of whole networks on four arrays of Ethos-U55."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.validation.rows import (
    Row,
    Section,
    by_group,
    level_and_shape,
    rows_module,
    section_of,
    shared_file,
)

CYCLES = "cycles of a network"


def section_rows(figures: Sequence[Any]) -> list[Row]:
    """Ours against Vela's, by array."""
    return [
        Row(CYCLES, row.name, float(row.theirs), float(row.ours), row.accelerator)
        for row in figures
    ]


def section() -> Section:
    """Raises Missing where the checkout has no module of Vela's rows."""
    module = rows_module("tests.machines.vela_rows")
    shared_file("reference/peers/vela_u55.csv")
    figures = module.rows()
    rows = section_rows(figures)
    by_model, by_mode = (
        by_group(
            [replace(row, group=getattr(f, name)) for row, f in zip(rows, figures, strict=True)]
        )
        for name in ("model", "mode")
    )
    unmatched = ", ".join(sorted(module.unmatched())) or "none"
    return section_of(
        title="Vela, Ethos-U55",
        compares="Cycles of whole int8 networks as Arm's compiler estimates them; no silicon.",
        source="Vela 5.2.0 (Arm), its own estimate; `reference/peers/vela_u55.csv`",
        machine=(
            "`ethos_u55_32`, `_64`, `_128`, `_256` with `--set clock_mhz` and the rate of the "
            "off-chip flash as each system and memory mode has them"
        ),
        basis="see machines: their YAML says of each number where it comes from",
        name="vela",
        rows=rows,
        misses=[
            f"By array: {by_group(rows)}.",
            f"By network: {by_model}. By memory mode: {by_mode}.",
            f"{level_and_shape(rows)}.",
            f"Networks of the source without a file at hand, not compared: {unmatched}.",
        ],
    )
