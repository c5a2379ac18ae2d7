"""A `spatial` machine against cycles that hardware took with known mappings, and its fit.

``python -m analysis.against_rtl FILE.csv [--hw gemmini_like] [--fit]`` prints the errors on every
row of FILE and on the odd rows; ``--fit`` tries DRAM rates and issue times on the even rows first,
then crosses over: halves swapped, and 100 random halves. FILE has the columns of DOSA's Gemmini
measurements: loop bounds ``N K C P Q R S``, strides, ``mapping`` in Timeloop's short form, memory
sizes and the cycles of the RTL. Its P and R are a row's pixels and taps: those that a command
streams. The measured software leaves partial sums in the accumulator until the last step of a
reduction, whether they fit or not: none go to DRAM and back.
"""

import csv
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import spearmanr

import hwconfigs
from simulator.errors import BadFile, BitlaneError
from simulator.machines.registry import machine_from
from simulator.machines.spatial import Spatial
from simulator.mapped import cost_mapping
from simulator.mapping.loopnest import LoopNest
from simulator.work import Work
from workloads.mappings import from_timeloop

LEVELS = {"L0": ("weight_register",), "L1": ("accumulator",), "L2": ("scratchpad",)}
"""Our memories by Timeloop's level: L3 is DRAM."""
RATES = (48, 52, 56, 60, 64, 68, 72, 80, 96)
ISSUES = (6, 7, 8, 9, 10)
HALVES = 100
ROOM = 8
"""FILE's scratchpads hold one tile of the pixels in use: room for two, and for all that a stride of
2 skips."""
ALL_OUTPUTS = 2**24
"""Entries of an accumulator beyond any layer's outputs."""
Row = Mapping[str, str]
COLUMNS_FIRST = str.maketrans("PQRS", "QPSR")
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """Relative errors of predicted cycles: mean, median, ninth decile; and Spearman's rank."""

    rows: int
    mean: float
    median: float
    p90: float
    spearman: float


def errors_of(predicted: Reals, measured: Reals) -> Errors:
    """Compare two float64 [rows] of cycles."""
    relative = np.abs(predicted / measured - 1)
    return Errors(
        len(measured),
        float(relative.mean()),
        float(np.median(relative)),
        float(np.quantile(relative, 0.9)),
        float(spearmanr(predicted, measured)[0]),
    )


def rows_of(path: Path) -> list[Row]:
    """The rows of the 16 x 16 array; raises BadFile where a column is missing."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    needed = {"mapping", "rtl_cycles_firesim", "arch_pe", "K", "C", "P", "Q", "R", "S", "N"}
    missing = needed - set(rows[0] if rows else ())
    if missing:
        raise BadFile(f"{path}: no column {', '.join(sorted(missing))}")
    return [row for row in rows if row["arch_pe"] == "256"]


def predict(rows: Sequence[Row], hw: str, sets: Sequence[tuple[str, Any]] = ()) -> Reals:
    """Cycles of each row's layer with its own mapping and memory sizes: float64 [rows]."""
    document = hwconfigs.document(hw)
    cycles = []
    for row in rows:
        own = [
            ("memory.1.bytes", 4 * max(int(row["acc_entries_per_col"]), ALL_OUTPUTS)),
            ("memory.2.bytes", ROOM * int(row["scratchpad_entries"])),
        ]
        machine = machine_from(document, [*own, *sets])
        assert isinstance(machine, Spatial)
        cycles.append(cost_mapping(work_of(row), machine, nest_of(row, machine)).latency)
    return np.array(cycles, np.float64)


def nest_of(row: Row, machine: Spatial) -> LoopNest:
    """The row's mapping, its outputs in the accumulator for as long as they are added to."""
    nest = from_timeloop(row["mapping"].translate(COLUMNS_FIRST), LEVELS, machine.chains())
    sums = [place for place, (loop, _) in enumerate(nest.loops, 1) if loop in ("ic", "ky", "kx")]
    inner, *outer = nest.cuts["output"]
    return replace(nest, cuts={**nest.cuts, "output": (max(inner, *sums, 0), *outer)})


def work_of(row: Row) -> Work:
    """The row's layer; its input has no padding."""
    n, oc, ic, ox, oy, kx, ky = (int(row[name]) for name in ("N", "K", "C", "P", "Q", "R", "S"))
    stride_y, stride_x = int(row["stride_h"]), int(row["stride_w"])
    height, width = (oy - 1) * stride_y + ky, (ox - 1) * stride_x + kx
    return Work(
        n=n,
        oy=oy,
        ox=ox,
        oc=oc,
        ky=ky,
        kx=kx,
        ic=ic,
        stride_y=stride_y,
        stride_x=stride_x,
        input_elements=n * height * width * ic,
        weight_elements=oc * ic * ky * kx,
        output_elements=n * oy * ox * oc,
    )


def measured_cycles(rows: Sequence[Row]) -> Reals:
    """What the RTL took: float64 [rows]."""
    return np.array([float(row["rtl_cycles_firesim"]) for row in rows])


def candidates(rows: Sequence[Row], hw: str) -> dict[tuple[int, int], Reals]:
    """Predicted cycles of every row by DRAM rate and issue time."""
    return {
        (rate, issue): predict(rows, hw, settings(rate, issue))
        for rate in RATES
        for issue in ISSUES
    }


def settings(rate: int, issue: int) -> list[tuple[str, Any]]:
    """The two fitted fields, as changes of the machine."""
    return [("memory.3.bits_per_cycle", rate), ("array.commands.issue_cycles", issue)]


def fit(
    tried: Mapping[tuple[int, int], Reals], measured: Reals, part: slice | NDArray[np.int64]
) -> tuple[int, int]:
    """The DRAM rate and issue time with the least sum of |log(predicted / measured)| on a part."""
    return min(tried, key=lambda x: float(np.abs(np.log(tried[x][part] / measured[part])).sum()))


def held_out(
    tried: Mapping[tuple[int, int], Reals], measured: Reals, part: NDArray[np.int64]
) -> Errors:
    """Errors on the rows outside a part, fitted on the part."""
    rest = np.setdiff1d(np.arange(len(measured)), part)
    return errors_of(tried[fit(tried, measured, part)][rest], measured[rest])


def random_halves(tried: Mapping[tuple[int, int], Reals], measured: Reals) -> list[Errors]:
    """Held-out errors of `HALVES` random halves."""
    rng, rows = np.random.default_rng(0), len(measured)
    return [held_out(tried, measured, rng.permutation(rows)[: rows // 2]) for _ in range(HALVES)]


def least_tile_cycles(path: Path, tiles: int = 1000) -> float:
    """The least cycles a tile over the convolutions of other arrays with at least so many tiles.

    A host commands each tile; the smallest tiles take just that time.
    """
    with path.open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["arch_pe"] != "256"]
    found = []
    for row in rows:
        outer = row["mapping"].split(" - ")[0]
        count = int(np.prod([int(x) for x in re.findall(r"[A-Z](\d+)", outer.split("]")[1])]))
        if count >= tiles and (row["Q"], row["R"], row["S"]) != ("1", "1", "1"):
            found.append(float(row["rtl_cycles_firesim"]) / count)
    return min(found)


def main(
    file: Annotated[Path, typer.Argument(help="Measured cycles, a CSV file.")],
    hw: Annotated[str, typer.Option(help="A machine file or shipped name.")] = "gemmini_like",
    fit_first: Annotated[bool, typer.Option("--fit", help="Fit on the even rows first.")] = False,
) -> None:
    """Print the errors of a machine's cycles on measured rows."""
    try:
        rows = rows_of(file)
        sets: list[tuple[str, Any]] = []
        if fit_first:
            tried, measured = candidates(rows, hw), measured_cycles(rows)
            rate, issue = fit(tried, measured, slice(None, None, 2))
            print(f"fitted on {len(rows[::2])} rows: {rate} bits a cycle, {issue} to issue")
            print("even rows, fitted on odd", held_out(tried, measured, np.arange(1, len(rows), 2)))
            means = [errors.mean for errors in random_halves(tried, measured)]
            low, middle, high = np.quantile(means, (0.05, 0.5, 0.95))
            print(f"{HALVES} random halves, held out: mean {middle:.3f} ({low:.3f} to {high:.3f})")
            sets = settings(rate, issue)
        predicted = predict(rows, hw, sets)
    except BitlaneError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    measured = measured_cycles(rows)
    for label, part in (("all rows", slice(None)), ("odd rows", slice(1, None, 2))):
        print(label, errors_of(predicted[part], measured[part]))


if __name__ == "__main__":
    typer.run(main)
