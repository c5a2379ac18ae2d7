"""AveragePool of float32 values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.float_windows import average_float32
from simulator.numeric.matmul import Window
from simulator.registry import register
from simulator.windowed import WindowPooling, Windows


@register
@final
@dataclass(frozen=True)
class FloatAveragePool(WindowPooling):
    """y = sum / count in float32; padding is counted with `count_padding`, else left out.

    Not `average_pool_2d`, which divides integers on their own grid.
    """

    kind = "float_average_pool"
    formats = ("onnx:AveragePool", "onnx:GlobalAveragePool")
    reference = "ONNX Runtime 1.31.1, AveragePool, to rounding"

    count_padding: bool

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation, padding and count_padding."""
        require_dtypes(source.place, source.inputs[:1], ("float32",))
        return cls(Windows.of(source), bool(source.options["count_padding"]))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        x = present(inputs, 0)
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"pooling keeps its dtype; found {x.dtype} and {outputs[0].dtype}")

    def pool(self, x: Array, over: Window) -> Array:
        """Add in the order of the window."""
        return average_float32(x, over, count_padding=self.count_padding)
