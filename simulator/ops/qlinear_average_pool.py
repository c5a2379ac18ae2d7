"""QLinearAveragePool: the float32 mean of a window, onto the output's grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np

from simulator.decode import require_dtypes, single_grid, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.float32 import round_to_grid
from simulator.numeric.float_windows import average_reals
from simulator.numeric.matmul import Window
from simulator.registry import register
from simulator.windowed import WindowPooling, Windows


@register
@final
@dataclass(frozen=True)
class QLinearAveragePool(WindowPooling):
    """y = clamp(round(f32(f32(mean / s_y) + z_y))), mean of f32(s_x (x - z_x)) in float32.

    Ties to even after the zero point was added, so an odd one turns ties round. Not
    `average_pool_2d` (one grid, half away). `lift` as in `qlinear_add`.
    """

    kind = "qlinear_average_pool"
    formats = ("onnx:com.microsoft.QLinearAveragePool",)
    reference = "ONNX Runtime 1.31.1, contrib_ops/cpu/quantization/qlinear_pool.cc"
    requantizes: ClassVar[bool] = True

    count_padding: bool
    x_grid: tuple[float, int]
    y_grid: tuple[float, int]
    lift: int
    dtype: str
    low: int
    high: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options of a window, count_padding and lift."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8"))
        return cls(
            windows=Windows.of(source),
            count_padding=bool(source.options["count_padding"]),
            x_grid=single_grid(source.inputs[0], source.place, "the input"),
            y_grid=single_grid(source.outputs[0], source.place, "the output"),
            lift=int(source.options.get("lift", 0)),
            dtype=source.outputs[0].dtype,
            low=value_range(source.outputs[0])[0],
            high=value_range(source.outputs[0])[1],
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def pool(self, x: Array, over: Window) -> Array:
        """Dequantize, average, divide, shift, round."""
        (x_scale, x_zero), (y_scale, y_zero) = self.x_grid, self.y_grid
        real = np.float32(x_scale) * (x.astype(np.int32) - x_zero).astype(np.float32)
        mean = average_reals(real, over, count_padding=self.count_padding)
        shifted = mean / np.float32(y_scale) + np.float32(y_zero + self.lift)
        codes = round_to_grid(shifted, 0, self.low + self.lift, self.high + self.lift)
        return (codes - self.lift).astype(self.dtype)
