"""RequantShift: an integer multiply, add and power-of-two division, rounded half up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import DTYPE_RANGE, present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise, broadcasts_into
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class RequantShift(Pointwise):
    """y = clamp(floor((x multiplier + addend) / 2^shift + 1/2), low, high).

    Inputs x, multiplier and addend (integers that broadcast against x: one a channel, or one).
    All in 64 bits; no float anywhere.
    """

    kind = "requant_shift"
    formats = ("onnx:RequantShift", "onnx:PACTOps.RequantShift")
    reference = "PULP Deeploy bf64cfaec26e, RequantShift"
    fixed_widths = "its multiplier and shift are inputs and name no grid"
    operations: ClassVar[int] = 5
    requantizes: ClassVar[bool] = True

    shift: int
    low: int
    high: int
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options shift, low and high."""
        require_dtypes(source.place, source.inputs[1:3], ("int32", "int64"))
        options = source.options
        return cls(options["shift"], options["low"], options["high"], source.outputs[0].dtype)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse parameters that do not broadcast, and a range that does not fit the output."""
        x = present(inputs, 0).shape
        for i in (1, 2):
            shape = present(inputs, i).shape
            if not broadcasts_into(shape, x):
                raise IllegalGraph(f"input {i} of shape {shape} does not broadcast against {x}")
        least, largest = DTYPE_RANGE[self.dtype]
        if outputs[0].dtype != self.dtype or self.low < least or self.high > largest:
            raise IllegalGraph(f"[{self.low}, {self.high}] does not fit {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Multiply, add, add half, shift, clamp."""
        x, multiplier, addend = (present(inputs, i).astype(np.int64) for i in range(3))
        half = (1 << self.shift) >> 1
        rounded = (x * multiplier + addend + half) >> self.shift
        return np.asarray(np.clip(rounded, self.low, self.high)).astype(self.dtype)
