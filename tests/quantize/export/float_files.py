"""Float `.tflite` networks of one operator between two additions, so that it stands on grids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import workloads
from simulator.graph import Array, Graph
from workloads.tflite.writer import OperatorSpec, TensorSpec, write_model

Shape = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Between:
    """One operator: the shape of its input, of its output, its options, its constants behind x.

    `times` is how often x is read; `first` puts the constants before x. Inputs are
    normal with a spread of `reach`.
    """

    op: str
    x: Shape
    y: Shape
    options: Mapping[str, object] = field(default_factory=dict)
    constants: Sequence[Array] = ()
    times: int = 1
    first: bool = False
    reach: float = 1.0

    def data(self) -> bytes:
        """An addition of 0.1 -> the operator -> its subtraction."""
        real = "float32"
        specs = [
            TensorSpec("x", self.x, real),
            TensorSpec("tenth", (1,), real, data=np.array([0.1], np.float32)),
            TensorSpec("above", self.x, real),
            TensorSpec("inner", self.y, real),
            TensorSpec("y", self.y, real),
        ]
        others = list(range(len(specs), len(specs) + len(self.constants)))
        for k, value in enumerate(self.constants):
            specs.append(TensorSpec(f"c{k}", value.shape, str(value.dtype), data=value))
        given = [2] * self.times
        inputs = (*others, *given) if self.first else (*given, *others)
        nodes = [
            OperatorSpec("ADD", (0, 1), (2,)),
            OperatorSpec(self.op, inputs, (3,), self.options),
            OperatorSpec("SUB", (3, 1), (4,)),
        ]
        return write_model(specs, nodes, [0], [4])

    def graph(self, folder: Path) -> Graph:
        """As it is read."""
        return loaded(self.data(), folder)

    def batch(self, seed: int, count: int = 6) -> dict[str, Array]:
        """Values of x, [samples, *shape], as drawn by a seed."""
        drawn: Any = np.random.default_rng(seed).standard_normal((count, *self.x))
        return {"x": (drawn * self.reach).astype(np.float32)}


def loaded(data: bytes, folder: Path) -> Graph:
    """The graph of a file's bytes."""
    path = folder / "float.tflite"
    path.write_bytes(data)
    return workloads.load(path)
