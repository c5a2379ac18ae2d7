"""NVIDIA's public performance spreadsheet of NVDLA, layer by layer, beside our cost of each.

Its MAC cycles are products / 2048 without rounding to whole steps, a Winograd layer's divided by
2.25 (36 products of a tile become 16); its DRAM traffic each tensor once. No silicon.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import pytest

import hwconfigs
from simulator.cost import evaluate_designs
from simulator.machines.actions import COMPUTE_CYCLES, LEVEL_0, OVERHEAD_CYCLES, STALL_CYCLES
from simulator.machines.spatial import Spatial
from simulator.work import Work
from tests.shared import absence, shared_folder

WINOGRAD: Final = 2.25
MULTIPLIERS: Final = 2048
DRAM: Final = 3
CYCLES: Final = (COMPUTE_CYCLES, STALL_CYCLES, OVERHEAD_CYCLES)
BATCH: Final = 16
"""Inferences of the fully connected layers together: their weights count a sixteenth each."""


@dataclass(frozen=True)
class Row:
    """One layer of one inference: cycles of the array, bytes of DRAM, cycles in all.

    `theirs_macs` and `theirs_bytes` are those of direct convolution alone: Winograd's saving, its
    larger weights and the second operand of an addition are taken out of the spreadsheet's. `why`
    says what else sets the spreadsheet's figures apart, by figure; nothing where they are equal.
    `alone`: none of this was taken out, and the cycles in all stand for the same layer.
    """

    name: str
    ours_macs: float
    theirs_macs: float
    ours_bytes: float
    theirs_bytes: float
    ours: float
    theirs: float
    why: Mapping[str, str]
    alone: bool


@cache
def published() -> tuple[Mapping[str, str], ...]:
    """The rows of the shared file; skips the test where the folder is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    with (folder / "reference/silicon/nvdla_model_layers.csv").open() as stream:
        return tuple(csv.DictReader(stream))


def work_of(row: Mapping[str, str]) -> Work:
    """The layer as direct convolution, its input and output as the spreadsheet counts them."""

    def get(column: str) -> int:
        return int(row[column])

    channels, filters = get("#input feature maps C"), get("#output feature maps K")
    taps = get("Filter Height R"), get("Filter Width S")
    pixels = get("Height after Conv P"), get("Width after Conv Q")
    sides = get("Input Height H"), get("Input Width W")
    batch = BATCH if row["Layer attribute"] == "fc" else 1
    outputs = batch * math.prod(pixels) * filters
    return Work(
        n=batch,
        oy=pixels[0],
        ox=pixels[1],
        oc=filters,
        ky=taps[0],
        kx=taps[1],
        ic=channels,
        stride_y=get("Vertical  Conv Srtide H"),
        stride_x=get("Horizontal Conv  Stride V"),
        input_elements=batch * math.prod(sides) * channels,
        weight_elements=math.prod(taps) * channels * filters,
        output_elements=outputs,
        requantizations=outputs,
        input_rows=sides[0],
        input_columns=sides[1],
    )


def differences(row: Mapping[str, str], work: Work) -> dict[str, str]:
    """Why the spreadsheet's MAC cycles or bytes are not those of whole steps and whole tensors."""
    why = {}
    if work.ic < 4:
        why["macs"] = "image input mode packs the taps of a row; one has an output fewer a side"
        why["bytes"] = "the image's padding, and outputs after pooling"
    elif work.ic % 64 or work.oc % 32:
        why["macs"] = "not rounded to whole steps of 64 channels and 32 filters"
    if work.oc % 16:
        why["bytes"] = "outputs are padded to 16 filters"
    if row["Pooling after Conv"] == "True":
        why["bytes"] = "outputs are counted after pooling"
    if work.stride_y > 1:
        why["bytes"] = "weights are counted stride x stride times; skipped rows are read"
    return why


@cache
def rows() -> tuple[Row, ...]:
    """Every layer, in the order of the file. The array's cycles are those of direct mode."""
    machine = hwconfigs.load("nvdla_large")
    assert isinstance(machine, Spatial)
    direct = [("array.unrollings", [{"filters": {"oc": 32}, "products": {"ic": 64}}])]
    works = [work_of(row) for row in published()]
    found = evaluate_designs(works, [machine], per_layer=True).actions[0]
    alone = evaluate_designs(works, [hwconfigs.load("nvdla_large", direct)], per_layer=True)
    made = []
    for row, work, actions, plain in zip(published(), works, found, alone.actions[0], strict=True):
        winograd = WINOGRAD if row["Winograd"] == "True" else 1.0
        kibibytes = float(row["DRAM Traffic"])
        if "elwise" in row["Layer attribute"]:
            kibibytes -= work.output_elements / 1024
        if row["Winograd"] == "True":
            kibibytes -= float(row["Weight data size"]) - work.weight_elements / 1024
        made.append(
            Row(
                name=f"{row['net']} {row['Layer']}",
                ours_macs=int(plain[COMPUTE_CYCLES]) / work.n,
                theirs_macs=float(row["MAC cycles"]) * winograd,
                ours_bytes=int(sum(actions[LEVEL_0 + 2 * DRAM : LEVEL_0 + 2 * DRAM + 2])) / work.n,
                theirs_bytes=1024 * kibibytes,
                ours=int(sum(actions[k] for k in CYCLES)) / work.n,
                theirs=max(float(row["MAC cycles"]), float(row["DRAM Cycles"])),
                why=differences(row, work),
                alone=winograd == 1 and "elwise" not in row["Layer attribute"],
            )
        )
    return tuple(made)
