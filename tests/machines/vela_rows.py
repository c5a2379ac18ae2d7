"""Vela's figures for Ethos-U55 beside our cost of the same networks, row by row.

Vela 5.2.0 (Apache-2.0) compiles a network for one of four arrays, two systems and two memory modes
and tells the cycles it expects: a compiler's estimate, not silicon.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

import hwconfigs
import simulator
import workloads
from simulator.graph import Graph
from tests.shared import absence, shared_folder

MODELS: Final = {
    "resnet8_int8": "mlperf_ic_resnet8_int8",
    "vww_96_int8": "mlperf_vww_mobilenetv1_025_96_int8",
    "kws_ref_int8": "mlperf_kws_dscnn_int8",
    "ad01_int8": "mlperf_ad_autoencoder_int8",
}
"""The file of each of Vela's networks; others go by their own names."""
ACCELERATORS: Final = tuple(f"ethos-u55-{units}" for units in (32, 64, 128, 256))
SYSTEMS: Final = {"Ethos_U55_Deep_Embedded": (200, 4), "Ethos_U55_High_End_Embedded": (500, 8)}
"""Clock in MHz and bits a cycle of the off-chip flash (Vela's `vela.ini`)."""
SRAM_BITS_PER_CYCLE: Final = 64
FLASH: Final = "memory.5.bits_per_cycle"


@dataclass(frozen=True)
class Row:
    """One network on one array, system and memory mode: our cycles of an inference and Vela's."""

    model: str
    accelerator: str
    system: str
    mode: str
    ours: int
    theirs: int

    @property
    def name(self) -> str:
        """What it is called in a table."""
        return f"{self.model} {self.accelerator} {self.system} {self.mode}"


def sets_of(system: str, mode: str) -> list[tuple[str, Any]]:
    """What a system and a memory mode change in the YAML."""
    clock, flash = SYSTEMS[system]
    bits = SRAM_BITS_PER_CYCLE if mode == "Sram_Only" else flash
    return [("clock_mhz", clock), (FLASH, bits)]


@cache
def published() -> tuple[Mapping[str, str], ...]:
    """The rows of the shared file; skips the test where the folder is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(absence())
    with (folder / "reference/peers/vela_u55.csv").open() as stream:
        return tuple(csv.DictReader(stream))


@cache
def cycles_of(model: str, accelerator: str, system: str, mode: str) -> int:
    """Our cycles of one inference."""
    machine = hwconfigs.load(accelerator.replace("-", "_"), sets_of(system, mode))
    return simulator.estimate(graph_of(model), machine).totals.cycles


@cache
def graph_of(model: str) -> Graph:
    """The network of one of Vela's rows."""
    return workloads.load(file_of(model))


def unmatched() -> list[str]:
    """Rows that cannot be compared: a network, system or memory mode that we do not have."""
    return [
        f"{row['model']} {row['accelerator_config']} {row['system_config']} {row['memory_mode']}"
        for row in published()
        if not matched(row)
    ]


def matched(row: Mapping[str, str]) -> bool:
    """Whether we have a model of 8 bits, a system, an array and a mode for a row."""
    modes = ("Sram_Only", "Shared_Sram")
    known = row["system_config"] in SYSTEMS and row["memory_mode"] in modes
    known = known and row["accelerator_config"] in ACCELERATORS
    return known and file_of(row["model"]).exists() and widest(row["model"]) <= 8


@cache
def widest(model: str) -> int:
    """Bits of the widest operand that a network multiplies: wider ones than 8 are refused."""
    works = [work for work in graph_of(model).work if work.macs]
    return max(max(work.weight_bits, work.activation_bits) for work in works)


def file_of(model: str) -> Path:
    """Where the network of one of Vela's rows would be."""
    folder = shared_folder()
    assert folder is not None
    return folder / f"models/tflite/{MODELS.get(model, model)}.tflite"


@cache
def rows() -> tuple[Row, ...]:
    """Every row that can be compared, in the order of the file."""
    found = []
    for row in published():
        if matched(row):
            key = (row["model"], row["accelerator_config"], row["system_config"])
            ours = cycles_of(*key, row["memory_mode"])
            found.append(Row(*key, row["memory_mode"], ours, int(row["total_cycles"])))
    return tuple(found)
