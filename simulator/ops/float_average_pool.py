"""AveragePool of real values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.bounds import UNBOUNDED, Bounds, cut
from simulator.numeric.float_windows import average_reals
from simulator.numeric.matmul import Window
from simulator.real_bounds import REALS, bounds_of
from simulator.registry import register
from simulator.windowed import WindowPooling, Windows


@register
@final
@dataclass(frozen=True)
class FloatAveragePool(WindowPooling):
    """y = cut(sum / count); padding is counted with `count_padding`, else left out.

    Not `average_pool_2d`, which divides integers on their own grid.
    """

    kind = "float_average_pool"
    formats = ("onnx:AveragePool", "onnx:GlobalAveragePool", "tflite:AVERAGE_POOL_2D[numbers]")
    reference = "ONNX Runtime 1.31.1, AveragePool, to rounding"

    count_padding: bool
    bounds: Bounds = UNBOUNDED

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation, padding, count_padding and bounds."""
        require_dtypes(source.place, source.inputs[:1], REALS)
        count_padding = bool(source.options["count_padding"])
        return cls(Windows.of(source), count_padding, bounds_of(source))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        x = present(inputs, 0)
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"pooling keeps its dtype; found {x.dtype} and {outputs[0].dtype}")

    def pool(self, x: Array, over: Window) -> Array:
        """Add in the order of the window."""
        y = average_reals(x, over, count_padding=self.count_padding)
        cut(y, self.bounds)
        return y
