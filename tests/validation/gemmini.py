"""Cycles of Gemmini's RTL under FireSim with known mappings; Timeloop's figures beside."""

import math
from dataclasses import replace

import numpy as np

from analysis.against_rtl import Row as Figures
from analysis.against_rtl import predict, rows_of
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

HELD_OUT = "cycles, odd rows (held out)"
WAITS = (
    (1.5, "below 1.5, bound by the array"),
    (3.0, "1.5 to 3"),
    (math.inf, "above 3, waiting for memory"),
)
FITTED = "cycles, even rows (fitted)"


def section_rows() -> tuple[list[Row], list[Row]]:
    """Ours and Timeloop's cycles against the RTL's; rows by what moves in the outer loop."""
    figures = rows_of(shared_file("reference/peers/gemmini_rtl_public.csv"))
    ours, peers = [], []
    for number, (row, cycles) in enumerate(
        zip(figures, predict(figures, "gemmini_like"), strict=True)
    ):
        quantity = HELD_OUT if number % 2 else FITTED
        measured, timeloop = (
            float(row[name]) for name in ("rtl_cycles_firesim", "model_cycles_timeloop")
        )
        ours.append(Row(quantity, name_of(row), measured, float(cycles), kind_of(row)))
        peers.append(Row(quantity, name_of(row), measured, timeloop, kind_of(row)))
    return ours, peers


def name_of(row: Figures) -> str:
    """The sizes and the stride of a layer."""
    sizes = " ".join(f"{name}{row[name]}" for name in ("N", "K", "C", "P", "Q", "R", "S"))
    return f"{sizes} /{row['stride_h']}"


def kind_of(row: Figures) -> str:
    """Its taps and stride."""
    if row["P"] == row["Q"] == "1":
        return "matrix product"
    taps = "1 x 1" if row["R"] == row["S"] == "1" else "wider taps"
    return f"{taps}, stride {row['stride_h']}"


def _by_wait(rows: list[Row]) -> str:
    """Errors split by how many cycles the RTL takes for each cycle of its mapping's loops."""
    figures = rows_of(shared_file("reference/peers/gemmini_rtl_public.csv"))
    split = []
    for row, figure in zip(rows, figures, strict=True):
        wait = row.theirs / float(figure["temporal_iterations"])
        kind = next(text for most, text in WAITS if wait < most)
        split.append(replace(row, group=kind))
    return f"By cycles of the RTL for each cycle of the mapping's loops: {by_group(split)}."


def section() -> Section:
    """Held out, fitted, and what Timeloop says of the same rows."""
    ours, peers = section_rows()
    notes = []
    for quantity, part in grouped(peers, lambda row: row.quantity).items():
        found = summarise(part)
        notes.append(
            f"Timeloop on {quantity}: MAPE {percent(found.mape)}, median {percent(found.median)}, "
            f"p90 {percent(found.p90)}, ρ {found.spearman:.3f}."
        )
    below = sum(row.error < 0 for row in ours)
    gap = np.array([abs(row.error) for row in ours]), np.array([abs(row.error) for row in peers])
    notes.append(_by_wait(ours))
    notes.append(
        f"Ours is below the RTL in {below} of {len(ours)} rows and nearer than Timeloop in "
        f"{int((gap[0] < gap[1]).sum())}. By kind of layer: {by_group(ours)}."
    )
    return section_of(
        title="Gemmini RTL",
        compares=(
            "Cycles of a layer on Gemmini's RTL, 16 x 16 weight stationary, each with its own "
            "mapping and memory sizes."
        ),
        source=(
            "FireSim runs published with DOSA (Hong et al., MICRO 2023), commit a7a3239; "
            "`reference/peers/gemmini_rtl_public.csv`, the rows of 256 units"
        ),
        machine="`gemmini_like` with `--set memory.1.bytes, memory.2.bytes` as each row has them",
        basis="even rows: DRAM's rate and the time of a transfer or command; odd rows are held out",
        name="gemmini",
        rows=sorted(ours, key=lambda row: row.quantity != HELD_OUT),
        misses=notes,
    )
