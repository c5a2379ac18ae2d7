"""Quantized networks as graphs: read from files, or shipped with the package."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.graph import Graph


def load(model: str | Path, dialect: str | None = None) -> "Graph":
    """Read `MODEL`: a `.tflite` or `.onnx` file, a SCALE-Sim topology `.csv`, or ``zoo:NAME``.

    A topology holds shapes and no values: it is costed, not run. ``zoo:NAME`` is a network that is
    shipped, or one of shapes alone that is built (`workloads.zoo.shapes`).

    `dialect` names the runtime whose arithmetic each operator follows: by default `litert-ref` for
    `.tflite`; for `.onnx` `qonnx` or `pulp` where the file holds their quantizers, else
    `onnxruntime`. Raises BadFile where the file is not what its name says, IllegalGraph or
    Unsupported where its graph cannot run here.
    """
    from simulator.errors import Unsupported
    from simulator.numeric.dialect import dialect as find_dialect
    from workloads.source import check_dialect, resolve
    from workloads.topology_csv import require_values
    from workloads.zoo.shapes import network_of

    chosen = None if dialect is None else find_dialect(dialect)
    built = network_of(str(model))
    if built is not None:
        return built if chosen is None else require_values(built)
    path = resolve(model)
    if path.suffix.lower() == ".onnx":
        from workloads.onnx.reader import read as read_onnx

        return read_onnx(path, chosen)
    if path.suffix == ".csv":
        from workloads.topology_csv import read as read_topology

        if chosen is not None:
            raise Unsupported(f"{path}: a topology has no arithmetic; leave out the dialect")
        return read_topology(path)
    from workloads.tflite.reader import read

    chosen = chosen or find_dialect("litert-ref")
    check_dialect(path, chosen)
    return read(path, chosen)
