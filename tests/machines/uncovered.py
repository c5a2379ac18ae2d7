"""Rows of MLPerf Tiny that no shipped core is fitted to, each with the reason."""

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.machines.silicon import CORES, generation

ACCELERATOR: Final = "an accelerator computes it, not the core alone"
STREAMING: Final = "a streaming test of 20 minutes: energy, no latency"
OPEN: Final = "open division: the networks are the submitter's own"
OPTION: Final = "an option of HALE's generator, measured on one network"
THREADS: Final = "the submission does not say how many of its four cores ran"
UNKNOWN: Final = "two rows, of a core whose instruction set is not published"
BOARDS: Final = {"Raspberry Pi 4B": THREADS, "LC236R5E176_BOARD_V2.0": UNKNOWN}


def reason(row: Mapping[str, str]) -> str | None:
    """Why a row is not covered; None where it is. Raises KeyError for a board that nobody named."""
    if row["accelerator"]:
        return ACCELERATOR
    if not row["latency_ms"]:
        return STREAMING
    if row["division"] == "open":
        return OPEN
    if generation(row) is not None or (row["precision"] == "fp32" and row["core"] in CORES):
        return None
    if row["software"].startswith("Bosch HALE ("):
        return OPTION
    return BOARDS[row["board"]]


def by_reason(shared: Path) -> Counter[str | None]:
    """How many rows have which reason, the covered ones under None."""
    with (shared / "reference/silicon/mlperf_tiny.csv").open(encoding="utf-8") as stream:
        return Counter(reason(row) for row in csv.DictReader(stream))
