"""QLinearGlobalAveragePool: the mean over height and width, onto the output's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Self, final

import numpy as np

from simulator.decode import present, require_dtypes, single_grid, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class QLinearGlobalAveragePool(Operator):
    """y = clamp(round(f32(sum (x - z_x)) k) + z_y), k = f32(s_x / f32(s_y n)), n elements each.

    An integer sum, unlike `qlinear_average_pool`. Input (n, h, w, c), output (n, 1, 1, c).
    """

    kind = "qlinear_global_average_pool"
    formats = ("onnx:com.microsoft.QLinearGlobalAveragePool",)
    reference = "ONNX Runtime 1.31.1, MLAS qlgavgpool.cpp"

    x_zero: int
    requantize: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The scale in single precision from both grids and the number of elements."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8"))
        x, y = present(source.inputs, 0), source.outputs[0]
        x_scale, x_zero = single_grid(x, source.place, "the input")
        y_scale, y_zero = single_grid(y, source.place, "the output")
        count = np.float32(prod(x.shape[1:-1]))
        scale = float(np.float32(x_scale) / (np.float32(y_scale) * count))
        rounding = source.dialect.rule(cls.kind, y.dtype).rounding
        return cls(x_zero, make_requantize(rounding, (scale,), y_zero, *value_range(y)), y.dtype)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse inputs without height and width."""
        if len(present(inputs, 0).shape) < 3:
            raise IllegalGraph(f"pooling needs >= 3 dimensions; found {present(inputs, 0).shape}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(n, 1, .., 1, c)."""
        x = present(inputs, 0).shape
        return ((x[0], *(1 for _ in x[1:-1]), x[-1]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Sum in int32, requantize."""
        x = present(inputs, 0)
        axes = tuple(range(1, x.ndim - 1))
        total = x.astype(np.int64).sum(axis=axes, keepdims=True)
        total -= self.x_zero * prod(x.shape[1:-1])
        return (requantize_array(total, self.requantize, self.dtype),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One addition an input element, one requantization an output."""
        x, y = present(inputs, 0), outputs[0]
        return Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=x.elements,
            requantizations=y.elements,
        )
