"""BatchNormalization at inference: one scale and offset a channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise, spread_parameter
from simulator.real_bounds import REALS
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class BatchNormalization(Pointwise):
    """y = x g + (beta - mean g), g = gamma (1 / sqrt(variance + epsilon)), a step each.

    Every step in the dtype of x. Inputs x, gamma, beta, mean and variance; channels lie along
    `axis`.
    """

    kind = "batch_normalization"
    formats = ("onnx:BatchNormalization",)
    reference = "ONNX Runtime 1.31.1, BatchNormalization"
    operations: ClassVar[int] = 2
    real_multiplications: ClassVar[int] = 1

    axis: int
    epsilon: float

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options axis and epsilon."""
        require_dtypes(source.place, source.inputs, REALS)
        return cls(source.options["axis"], float(source.options["epsilon"]))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse parameters that are not one a channel."""
        x = present(inputs, 0).shape
        for i in range(1, 5):
            shape = present(inputs, i).shape
            if not 0 <= self.axis < len(x) or shape != (x[self.axis],):
                raise IllegalGraph(f"input {i} of shape {shape} for axis {self.axis} of {x}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """The parameters are folded first."""
        x, gamma, beta, mean, variance = (present(inputs, i) for i in range(5))
        real = x.dtype.type
        gain = gamma * (real(1) / np.sqrt(variance + real(self.epsilon)))
        offset = beta - mean * gain
        spread = (spread_parameter(v, x.shape, self.axis, 0) for v in (gain, offset))
        return np.asarray(x * next(spread) + next(spread))
