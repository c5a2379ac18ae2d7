"""What operators share that map each 8-bit code by a table of 256 entries."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from simulator.decode import present, require_dtypes, single_grid, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.float32 import round_to_grid
from simulator.pointwise import Pointwise


def float_table(function: Any, x: TensorType, y: TensorType, place: str) -> tuple[int, ...]:
    """The output code of each code of x, least first: round(f(s_x (q - z_x)) / s_y) + z_y.

    Every step is rounded to float32, ties to even (ONNX Runtime qlinear_lookup_table.cc).
    """
    x_scale, x_zero = single_grid(x, place, "the input")
    y_scale, y_zero = single_grid(y, place, "the output")
    first, last = value_range(x)
    codes = np.arange(first, last + 1) - x_zero
    real = np.asarray(function(np.float32(x_scale) * codes.astype(np.float32)))
    grid = round_to_grid(real.astype(np.float32) / np.float32(y_scale), y_zero, *value_range(y))
    return tuple(int(code) for code in grid)


@dataclass(frozen=True)
class ByteTable(Pointwise):
    """y = table[x - least code]: a real function of one 8-bit tensor, found at import."""

    operations: ClassVar[int] = 1
    lookups: ClassVar[int] = 1

    table: tuple[int, ...]
    least: int
    dtype: str

    @staticmethod
    @abstractmethod
    def function(source: Source, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The real function, in float32."""

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Evaluate the function at every code."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8"))
        x, y = present(source.inputs, 0), source.outputs[0]
        table = float_table(lambda real: cls.function(source, real), x, y, source.place)
        return cls(table, value_range(x)[0], y.dtype)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Look every code up."""
        entries = np.array(self.table, dtype=self.dtype)
        return entries[present(inputs, 0).astype(np.int64) - self.least]
