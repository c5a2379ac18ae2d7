"""Golden outputs of the public ONNX, QONNX and Deeploy models (FORMATS.md)."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.execute import run
from simulator.graph import Array, Graph, Node
from tests.shared import shared_folder


@dataclass(frozen=True)
class OnnxGolden:
    """One model of a folder with its recorded inputs, outputs and intermediates."""

    folder: Path
    name: str

    @property
    def model(self) -> Path:
        """The .onnx file."""
        return self.folder / f"{self.name}.onnx"

    @property
    def about(self) -> dict[str, Any]:
        """The description beside it."""
        found: dict[str, Any] = json.loads((self.folder / f"{self.name}.json").read_text())
        return found

    def arrays(self, what: str = "golden") -> dict[str, Array]:
        """Every array of `<name>.<what>.npz`."""
        with np.load(self.folder / f"{self.name}.{what}.npz") as archive:
            return {key: archive[key] for key in archive.files}

    def samples(self, level: str) -> Iterator[tuple[Array, list[Array]]]:
        """(input, outputs) of every sample at an optimization level: `none` or `all`.

        A level that equalled the base throughout has no arrays of its own.
        """
        held = self.arrays()
        sample = 0
        while f"in{sample}_0" in held:
            outputs: list[Array] = []
            while (key := f"none_out{sample}_{len(outputs)}") in held:
                outputs.append(held.get(key.replace("none", level), held[key]))
            yield held[f"in{sample}_0"], outputs
            sample += 1

    def tensors(self, what: str) -> dict[str, Array]:
        """Every recorded intermediate of the last sample, by name."""
        held = self.arrays(what)
        return {name: held[f"t{i}"] for i, name in enumerate(self.about["tensors_of_last_sample"])}


def names(kind: str) -> list[str]:
    """Every model of `models/<kind>`, or one stand-in where the shared folder is absent."""
    shared = shared_folder()
    if shared is None:
        return ["every model of the shared folder"]
    found = sorted(path.stem for path in (shared / "models" / kind).glob("*.onnx"))
    return [name for name in found if not name.endswith(".clean")]


def every_tensor(graph: Graph, inputs: Sequence[Array]) -> dict[str, Array]:
    """Every computed tensor under the file's name and in its layout; constants too."""
    found = dict(graph.constants)

    def keep(node: Node, _: Sequence[Array | None], results: Sequence[Array]) -> None:
        pairs = zip(node.outputs, results, strict=True)
        found.update(graph.as_in_file(name, value) for name, value in pairs)

    run(graph, dict(zip(graph.inputs, inputs, strict=True)), tap=keep)
    return found


def differing(got: Array, expected: Array) -> int:
    """How many values differ in any bit; shapes and dtypes must agree."""
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    return int(np.count_nonzero(got != expected))


def assert_close_or_equal(got: Array, expected: Array) -> None:
    """Integers equal; reals within rtol 1e-5, atol 1e-6."""
    assert got.dtype == expected.dtype
    if got.dtype.kind == "f":
        assert got.shape == expected.shape
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
    else:
        assert differing(got, expected) == 0
