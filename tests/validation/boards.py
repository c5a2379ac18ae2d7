"""MLPerf Tiny boards, each device with its software predicted by a fit without it."""

import math
from functools import cache
from pathlib import Path

import numpy as np

from analysis.measurements import Measurement
from tests.machines.silicon import board_rows, devices_left_out, family_of, split
from tests.validation.rows import (
    Row,
    Section,
    group_table,
    grouped,
    percent,
    section_of,
    shared_file,
)

NETWORKS = {
    "ad": "autoencoder",
    "ic": "ResNet-8",
    "kws": "DS-CNN",
    "vww": "MobileNet v1 0.25",
}
BOARDS = "latency in cycles, boards left out"


@cache
def predictions(shared: Path) -> tuple[tuple[Measurement, float], ...]:
    """Each measurement and its cycles by a fit without its device; NaN without another device."""
    measurements = split(board_rows(shared))[0]
    errors = devices_left_out(measurements).tolist()
    pairs = zip(measurements, errors, strict=True)
    return tuple((m, m.cycles * (1 + error / 100)) for m, error in pairs)


def section_rows() -> tuple[list[Row], int]:
    """Cycles measured and predicted without the device, and how many have no other device."""
    measurements = predictions(shared_file("reference/silicon/mlperf_tiny.csv").parents[2])
    found = []
    for m, ours in measurements:
        if not math.isnan(ours):
            name = f"{m.device}, {NETWORKS.get(m.model, m.model)}"
            found.append(Row(BOARDS, name, m.cycles, ours, family_of(m).replace(" ", ", ", 1)))
    return found, len(measurements) - len(found)


def section() -> Section:
    """By core and software generation, and by network."""
    rows, alone = section_rows()
    core = {
        name: [row for row in rows if row.group.startswith(f"{name},")] for name in _cores(rows)
    }
    cores = ", ".join(f"{name} {percent(_mean(part))}" for name, part in core.items())
    networks = grouped(rows, lambda row: row.name.rpartition(", ")[2])
    network = ", ".join(f"{name} {percent(_mean(part))}" for name, part in networks.items())
    return section_of(
        title="MLPerf Tiny boards",
        compares=(
            "Latency of four int8 networks on Cortex-M boards. Each device (a core with one "
            "generation of software, all its submitters together) is predicted by a fit to the "
            "others: instructions from the same software on other cores, cycles an instruction "
            "from other software on the same core."
        ),
        source=(
            "MLPerf Tiny results, rounds v0.5 to v1.3 (mlcommons/tiny_results_*); TinyEngine's "
            "README; `reference/silicon/mlperf_tiny.csv`, `silicon.csv`"
        ),
        machine="`cortex_m4`, `cortex_m7`, `cortex_m33` with `software` and `clock_mhz` of the row",
        basis="left out: fitted to the other devices of the same source",
        name="boards",
        rows=rows,
        misses=[
            f"By core: {cores}. By network: {network}.",
            f"By core and software:\n\n{group_table(rows, 'core and software')}",
            "Submitters of the same core, software and network differ among themselves: "
            f"{spread(rows)}"
            " no prediction by core and software can be nearer than half of that.",
            f"{alone} rows have no other device with the same software and are not predicted.",
        ],
    )


def spread(rows: list[Row]) -> str:
    """How far apart the cycles of one device and network lie, where several were measured."""
    apart = []
    for part in grouped(rows, lambda row: row.group + row.name.rpartition(", ")[2]).values():
        cycles = [row.theirs for row in part]
        if len(cycles) > 1:
            apart.append(max(cycles) / min(cycles) - 1)
    return f"by {percent(float(np.mean(apart)))} on average, at most {percent(max(apart))};"


def _cores(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(row.group.partition(",")[0] for row in rows))


def _mean(rows: list[Row]) -> float:
    return float(np.mean([abs(row.error) for row in rows]))
