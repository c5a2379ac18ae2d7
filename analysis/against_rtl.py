"""A `spatial` machine against cycles that hardware took with known mappings, and its fit.

``python -m analysis.against_rtl FILE.csv [--hw gemmini_like] [--fit]`` prints the errors on every
row of FILE and on the odd rows; ``--fit`` tries DRAM rates and request times on the even rows
first. FILE has the columns of DOSA's Gemmini measurements: loop bounds ``N K C P Q R S``, strides,
``mapping`` in Timeloop's short form, memory sizes and the cycles of the RTL.
"""

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from simulator.work import Work
from workloads.mappings import from_timeloop

LEVELS = {"L0": ("weight_register",), "L1": ("accumulator",), "L2": ("scratchpad",)}
"""Our memories by Timeloop's level: L3 is DRAM."""
RATES = (32, 40, 48, 56, 64, 96, 128)
REQUESTS = (0, 50, 100)
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
            ("memory.1.bytes", 2 * int(row["acc_entries_per_col"]) * 4),
            ("memory.2.bytes", 2 * int(row["scratchpad_entries"])),
        ]
        machine = machine_from(document, [*own, *sets])
        assert isinstance(machine, Spatial)
        nest = from_timeloop(row["mapping"].translate(COLUMNS_FIRST), LEVELS, machine.chains())
        cycles.append(cost_mapping(work_of(row), machine, nest).latency)
    return np.array(cycles, np.float64)


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


def fit(rows: Sequence[Row], hw: str) -> tuple[int, int]:
    """The DRAM rate and request time with the least squares of the logarithms on these rows."""
    measured = np.array([float(row["rtl_cycles_firesim"]) for row in rows])
    found = []
    for rate in RATES:
        for request in REQUESTS:
            sets = [("memory.3.bits_per_cycle", rate), ("memory.3.request_cycles", request)]
            logs = np.log(predict(rows, hw, sets) / measured)
            found.append((float((logs**2).sum()), rate, request))
    return min(found)[1:]


def main(
    file: Annotated[Path, typer.Argument(help="Measured cycles, a CSV file.")],
    hw: Annotated[str, typer.Option(help="A machine file or shipped name.")] = "gemmini_like",
    fit_first: Annotated[bool, typer.Option("--fit", help="Fit DRAM on the even rows.")] = False,
) -> None:
    """Print the errors of a machine's cycles on measured rows."""
    try:
        rows = rows_of(file)
        sets: list[tuple[str, Any]] = []
        if fit_first:
            rate, request = fit(rows[::2], hw)
            print(f"fitted on {len(rows[::2])} rows: {rate} bits a cycle, {request} a request")
            sets = [("memory.3.bits_per_cycle", rate), ("memory.3.request_cycles", request)]
        predicted = predict(rows, hw, sets)
    except BitlaneError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None
    measured = np.array([float(row["rtl_cycles_firesim"]) for row in rows])
    for label, part in (("all rows", slice(None)), ("odd rows", slice(1, None, 2))):
        print(label, errors_of(predicted[part], measured[part]))


if __name__ == "__main__":
    typer.run(main)
