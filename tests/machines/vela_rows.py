"""Vela's figures for Ethos-U55 beside our cost of the same networks, row by row.

Vela 5.2.0 (Apache-2.0) compiles a network for one of four arrays, two systems and two memory modes
and tells the cycles it expects; its own estimate, not silicon.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import pytest

import hwconfigs
import simulator
import workloads
from tests.shared import absence, shared_folder

MODELS: Final = {
    "resnet8_int8": "mlperf_ic_resnet8_int8",
    "vww_96_int8": "mlperf_vww_mobilenetv1_025_96_int8",
    "kws_ref_int8": "mlperf_kws_dscnn_int8",
    "ad01_int8": "mlperf_ad_autoencoder_int8",
}
"""The file of each of Vela's networks."""
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
    folder = shared_folder()
    graph = workloads.load(f"{folder}/models/tflite/{MODELS[model]}.tflite")
    machine = hwconfigs.load(accelerator.replace("-", "_"), sets_of(system, mode))
    return simulator.estimate(graph, machine).totals.cycles


def unmatched() -> set[str]:
    """Networks of the file that we have no model of, or a mode that no YAML of ours has."""
    known = {row["model"] for row in published()} & set(MODELS)
    return {row["model"] for row in published()} - known


@cache
def rows() -> tuple[Row, ...]:
    """Every row whose network we have."""
    found = []
    for row in published():
        if row["model"] in MODELS:
            key = (row["model"], row["accelerator_config"], row["system_config"])
            ours = cycles_of(*key, row["memory_mode"])
            found.append(Row(*key, row["memory_mode"], ours, int(row["total_cycles"])))
    return tuple(found)
