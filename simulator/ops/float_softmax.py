"""Softmax of real values."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise
from simulator.real_bounds import REALS
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class FloatSoftmax(Pointwise):
    """y = exp(beta (x - max)) / sum over `axes`, or its logarithm; in double, rounded once.

    Not `softmax`, which is fixed point.
    """

    kind = "float_softmax"
    formats = ("onnx:Softmax", "onnx:LogSoftmax")
    reference = "ONNX Runtime 1.31.1, Softmax, to rounding"
    in_place = "never"
    # As `RealSoftmax`.
    operations: ClassVar[int] = 30
    real_multiplications: ClassVar[int] = 15

    axes: tuple[int, ...]
    logarithm: bool
    beta: float = 1.0

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options axes (from 0), logarithm and beta (1 where it is missing)."""
        require_dtypes(source.place, source.inputs[:1], REALS)
        options = source.options
        beta = float(options.get("beta", 1.0))
        return cls(tuple(options["axes"]), bool(options["logarithm"]), beta)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse axes that are not there."""
        rank = len(present(inputs, 0).shape)
        if not self.axes or not all(0 <= axis < rank for axis in self.axes):
            raise IllegalGraph(f"axes {self.axes} of a tensor of {rank} dimensions")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """All of a distribution at once."""
        given = present(inputs, 0)
        if prod(given.shape) == 0:
            return given
        x = given.astype(np.float64)
        shifted = self.beta * (x - x.max(axis=self.axes, keepdims=True))
        total = np.exp(shifted).sum(axis=self.axes, keepdims=True)
        y = shifted - np.log(total) if self.logarithm else np.exp(shifted) / total
        return np.asarray(y.astype(given.dtype))
