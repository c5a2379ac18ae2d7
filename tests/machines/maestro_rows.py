"""MAESTRO's runtimes of ResNet-50 in its KC-partitioned, weight-stationary mapping, beside ours.

The mapping is NVDLA's: 64 channels of a cluster, filters on the clusters. Trends only: MAESTRO
enforces no buffer, pads nothing and streams at 1000 words a cycle. Its shortcuts are depthwise.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import pytest

import hwconfigs
from simulator.cost import evaluate_designs
from simulator.machines.actions import TOTAL_CYCLES
from simulator.machines.base import Machine
from simulator.work import Work
from tests.shared import absence, shared_folder


@dataclass(frozen=True)
class Row:
    """One layer on so many units: cycles, ours and MAESTRO's, and the least there can be."""

    name: str
    units: int
    ours: int
    theirs: int
    macs: int


@cache
def published() -> tuple[Mapping[str, str], ...]:
    """ResNet-50's rows of that mapping; skips the test where the folder is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    with (folder / "reference/peers/maestro_public.csv").open() as stream:
        every = tuple(csv.DictReader(stream))
    return tuple(r for r in every if (r["mapping"], r["network"]) == ("kcp_ws", "Resnet50"))


def shape_of(layer: str) -> tuple[int, int, int, int, int]:
    """Groups, filters, channels, taps and outputs of a side of a layer of ResNet-50, by its name.

    He et al., CVPR 2016, table 1; nothing is padded, as in MAESTRO's model file.
    """
    if layer == "CONV1":
        return 1, 64, 3, 7, 109
    if layer == "FC1000":
        return 1, 1000, 2048, 7, 1
    stage, block, part = layer.removeprefix("CONV").split("_")
    middle, side = 64 << (int(stage) - 2), 56 >> (int(stage) - 2)
    if part == "Residual":
        return 4 * middle, 1, 1, 1, side
    if part == "1":
        # Of stage 3, MAESTRO's model file gives every block the 256 channels of the first.
        first = block == "1" or stage == "3"
        before = 4 * middle if not first else 64 if stage == "2" else 2 * middle
        return 1, middle, before, 1, side
    return (1, middle, middle, 3, side - 2) if part == "2" else (1, 4 * middle, middle, 1, side)


def work_of(row: Mapping[str, str]) -> Work:
    """The layer of a row."""
    groups, filters, channels, taps, side = shape_of(row["layer"])
    sides = side + taps - 1
    outputs = groups * filters * side * side
    return Work(
        oy=side,
        ox=side,
        oc=filters,
        ic=channels,
        groups=groups,
        ky=taps,
        kx=taps,
        input_elements=groups * channels * sides * sides,
        weight_elements=groups * filters * channels * taps * taps,
        output_elements=outputs,
        requantizations=outputs,
        depthwise=int(groups > 1),
    )


@cache
def machine_of(units: int) -> Machine:
    """The large NVDLA with so many units, DRAM at MAESTRO's 1000 words a cycle, buffers faster."""
    clusters = units // 64
    unrollings = [
        {"filters": {"oc": clusters}, "products": {"ic": 64}},
        {"filters": {"g": clusters}, "products": {"g": 64}},
    ]
    sets = [
        ("array.unrollings", unrollings),
        ("array.dimensions.filters.size", clusters),
        ("memory.3.bits_per_cycle", 8000),
        *((f"memory.{level}.bits_per_cycle", 65536) for level in range(3)),
    ]
    return hwconfigs.load("nvdla_large", sets)


@cache
def rows() -> tuple[Row, ...]:
    """Every row, in the order of the file."""
    found = []
    for row in published():
        work, units = work_of(row), int(row["num_pes"])
        totals = evaluate_designs([work], [machine_of(units)]).totals[0]
        runtime = int(row["runtime_cycles"])
        found.append(Row(row["layer"], units, int(totals[TOTAL_CYCLES]), runtime, work.macs))
    return tuple(found)
