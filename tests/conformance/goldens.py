"""Golden outputs of the public models: where they lie and what they hold (FORMATS.md)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.graph import Array
from tests.shared import shared_folder


@dataclass(frozen=True)
class Golden:
    """One model of the folder with its recorded inputs, outputs and intermediates."""

    folder: Path
    name: str

    @property
    def model(self) -> Path:
        """The .tflite file."""
        return self.folder / f"{self.name}.tflite"

    @property
    def about(self) -> dict[str, Any]:
        """The description beside it: operators, MACs, the runtime the goldens came from."""
        found: dict[str, Any] = json.loads((self.folder / f"{self.name}.json").read_text())
        return found

    @property
    def has_tensors(self) -> bool:
        """Whether the intermediates of sample 0 are stored."""
        return (self.folder / f"{self.name}.ref_tensors.npz").exists()

    def samples(self, runtime: str) -> Iterator[tuple[list[Array], list[Array]]]:
        """(inputs, outputs) of every sample, as `runtime` computed them.

        A runtime whose outputs equalled the base's throughout has no arrays of its own.
        """
        with np.load(self.folder / f"{self.name}.golden.npz") as arrays:
            held = {key: arrays[key] for key in arrays.files}
        if not any(key.startswith(f"{runtime}_") for key in held):
            runtime = self.about["golden_base"]
        sample = 0
        while f"in{sample}_0" in held:
            inputs = [held[f"in{sample}_{i}"] for i in range(len(self.about["inputs"]))]
            outputs = [
                held[f"{runtime}_out{sample}_{o}"] for o in range(len(self.about["outputs"]))
            ]
            yield inputs, outputs
            sample += 1

    def tensors(self) -> dict[int, Array]:
        """Every intermediate of sample 0 in BUILTIN_REF, by tensor index."""
        with np.load(self.folder / f"{self.name}.ref_tensors.npz") as arrays:
            return {int(key.removeprefix("t")): arrays[key] for key in arrays.files}


def folder_of(shared: Path) -> Path:
    """The folder of TFLite models."""
    return shared / "models" / "tflite"


def names() -> list[str]:
    """Every model there is, or one stand-in where the shared folder is absent."""
    shared = shared_folder()
    if shared is None:
        return ["every model of the shared folder"]
    return sorted(path.stem for path in folder_of(shared).glob("*.tflite"))
