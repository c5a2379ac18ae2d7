"""Cast: the same values in another dtype."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import present, refuse
from simulator.errors import IllegalGraph, IllegalValues
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise
from simulator.registry import register

_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_DTYPES = ("bool", *_INTEGERS, "float16", "float32", "float64")


@register
@final
@dataclass(frozen=True)
class Cast(Pointwise):
    """y = x in another dtype: reals are cut towards zero, integers wrap.

    With `within` (least, greatest) every value must be an integer in that range: IllegalValues
    where one is not. That is how integers carried as reals come into a graph.
    """

    kind = "cast"
    formats = ("onnx:Cast", "tflite:CAST")
    reference = "ONNX Runtime 1.31.1, Cast"
    fixed_widths = "it converts codes as plain numbers"
    operations: ClassVar[int] = 1

    dtype: str
    within: tuple[int, int] | None

    @classmethod
    def decode(cls, source: Source) -> Self:
        """To the output's dtype; the option within is a range or missing."""
        dtype = source.outputs[0].dtype
        if dtype not in _DTYPES:
            refuse(source.place, "the output must be a plain number", dtype, "Cast to float32.")
        return cls(dtype, source.options.get("within"))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        present(inputs, 0)
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Convert every element."""
        x = present(inputs, 0)
        if self.within is not None:
            low, high = self.within
            bad = ~((x >= low) & (x <= high) & (x == np.rint(x)))
            if bad.any():
                raise IllegalValues(
                    f"values must be integers from {low} to {high}; found {x[bad].reshape(-1)[0]}"
                )
        if x.dtype.kind == "f" and np.dtype(self.dtype).kind in "iu":
            # Through int64: a direct conversion of values out of range is undefined.
            return np.trunc(x.astype(np.float64)).astype(np.int64).astype(self.dtype)
        return x.astype(self.dtype)
