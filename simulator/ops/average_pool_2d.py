"""Average pooling: the integer mean of a window, on the input's own grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np

from simulator.decode import (
    activation_range,
    padding_of,
    present,
    refuse,
    require_dtypes,
    require_same_dtype,
    single_grid,
    window,
)
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.jit import njit
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import Window
from simulator.registry import register
from simulator.work import Work


@njit
def _average(x: Any, ky: int, kx: int, steps: Any, low: int, high: int, out: Any) -> None:
    sy, sx, py, px = steps
    n, height, width, channels = x.shape
    for b in range(n):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                top, left = y * sy - py, z * sx - px
                rows = range(max(top, 0), min(top + ky, height))
                columns = range(max(left, 0), min(left + kx, width))
                count = np.int64(len(rows) * len(columns))
                for c in range(channels):
                    total = np.int64(0)
                    for row in rows:
                        for column in columns:
                            total += np.int64(x[b, row, column, c])
                    # Divide with ties away from zero, in integers: no multiplier, no rescale.
                    if total > 0:
                        mean = (total + count // 2) // count
                    else:
                        mean = -((-total + count // 2) // count)
                    out[b, y, z, c] = min(max(mean, low), high)


@register
@final
@dataclass(frozen=True)
class AveragePool2D(Operator):
    """y = clamp(sum / count), ties away from zero; padding counts neither in sum nor count."""

    kind = "average_pool_2d"
    formats = ("tflite:AVERAGE_POOL_2D",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference_integer_ops::AveragePool"

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: str
    low: int
    high: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options filter, stride, padding and fused_activation_function."""
        require_dtypes(source.place, source.inputs[:1], ("int8",))
        require_same_dtype(source)
        x_grid = single_grid(source.inputs[0], source.place, "the input")
        y_grid = single_grid(source.outputs[0], source.place, "the output")
        if x_grid != y_grid:
            refuse(
                source.place,
                "average pooling keeps its grid: input and output scale and zero point must agree",
                f"{x_grid} and {y_grid}",
                "Quantize them on one grid.",
            )
        options = source.options
        low, high = activation_range(
            source.place, options["fused_activation_function"], *y_grid, source.outputs[0].dtype
        )
        return cls(
            kernel=(options["filter_height"], options["filter_width"]),
            stride=(options["stride_h"], options["stride_w"]),
            padding=padding_of(source),
            low=low,
            high=high,
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse ranks and steps that no pooling has."""
        x = present(inputs, 0).shape
        if len(x) != 4 or min(self.kernel) < 1 or min(self.stride) < 1:
            raise IllegalGraph(
                f"pooling needs a 4-D input, filter and stride >= 1; found {x}, "
                f"{self.kernel}, {self.stride}"
            )

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(n, oy, ox, c)."""
        x = present(inputs, 0).shape
        return ((x[0], *self._window(x).output, x[3]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Average every window."""
        x = present(inputs, 0)
        sums = self._window(x.shape)
        out = np.empty((x.shape[0], *sums.output, x.shape[3]), dtype=x.dtype)
        _average(x, *sums.kernel, (*sums.stride, *sums.padding), self.low, self.high, out)
        return (out,)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """Ky kx additions and one division an output."""
        x, y = present(inputs, 0), outputs[0]
        return Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=y.elements * self.kernel[0] * self.kernel[1],
            requantizations=y.elements,
        )

    def _window(self, x: tuple[int, ...]) -> Window:
        return window(x[1], x[2], self.kernel, self.stride, (1, 1), self.padding)
