"""MaxPool with explicit padding and dilation, of integers or float32."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.float_windows import largest_in_window
from simulator.numeric.matmul import Window
from simulator.registry import register
from simulator.windowed import WindowPooling, Windows


@register
@final
@dataclass(frozen=True)
class MaxPool(WindowPooling):
    """y = the largest element of each window; padding is never the largest.

    Not `max_pool_2d`, which also clamps to a fused activation.
    """

    kind = "max_pool"
    formats = ("onnx:MaxPool",)
    reference = "ONNX Runtime 1.31.1, MaxPool (the largest element: exact in any order)"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation and padding."""
        allowed = ("int8", "uint8", "int16", "uint16", "int32", "float32")
        require_dtypes(source.place, source.inputs[:1], allowed)
        return cls(Windows.of(source))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        x = present(inputs, 0)
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"pooling keeps its dtype; found {x.dtype} and {outputs[0].dtype}")

    def pool(self, x: Array, over: Window) -> Array:
        """Compare every element of every window."""
        return largest_in_window(x, over)
