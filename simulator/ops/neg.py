"""The negative of a tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import require_dtypes, require_same_dtype
from simulator.elementwise import Elementwise
from simulator.graph import Array, Source
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Neg(Elementwise):
    """y = -x, of the codes themselves: right on symmetric grids of one scale only.

    The least code stays what it is: two's complement has no opposite of it.
    """

    kind = "neg"
    formats = ("tflite:NEG",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/neg.h"
    integer_operations = 1

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Any signed dtype; grids are not looked at."""
        dtypes = ("int8", "int16", "int32", "int64", "float32")
        require_dtypes(source.place, source.inputs[:1], dtypes)
        require_same_dtype(source)
        return cls()

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Negate, wrapping."""
        return np.negative(inputs[0])
