"""Quantized networks as graphs: read from files, or shipped with the package."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.graph import Graph


def load(model: str | Path, dialect: str = "litert-ref") -> "Graph":
    """Read `MODEL`: a `.tflite` file, or ``zoo:NAME`` for a network that ships with bitlane.

    `dialect` names the runtime whose rounding each operator follows. Raises BadFile where the file
    is not what its name says, IllegalGraph or Unsupported where its graph cannot run here.
    """
    from simulator.numeric.dialect import dialect as find_dialect
    from workloads.source import resolve
    from workloads.tflite.reader import read

    path = resolve(model)
    return read(path, find_dialect(dialect))
