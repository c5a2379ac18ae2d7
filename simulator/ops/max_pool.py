"""MaxPool with explicit padding and dilation, of integers or reals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.bounds import UNBOUNDED, Bounds, cut
from simulator.numeric.float_windows import largest_in_window
from simulator.numeric.matmul import Window
from simulator.real_bounds import REALS, bounds_of
from simulator.registry import register
from simulator.windowed import WindowPooling, Windows


@register
@final
@dataclass(frozen=True)
class MaxPool(WindowPooling):
    """y = the largest element of each window; padding is never the largest.

    Cut to `bounds`, in reals. Not `max_pool_2d`, whose fused activation is a clamp of codes.
    """

    kind = "max_pool"
    formats = ("onnx:MaxPool", "tflite:MAX_POOL_2D[numbers]")
    reference = "ONNX Runtime 1.31.1, MaxPool (the largest element: exact in any order)"

    bounds: Bounds = UNBOUNDED

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation, padding and bounds."""
        allowed = ("int8", "uint8", "int16", "uint16", "int32", *REALS)
        require_dtypes(source.place, source.inputs[:1], allowed)
        return cls(Windows.of(source), bounds_of(source))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another output dtype."""
        x = present(inputs, 0)
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"pooling keeps its dtype; found {x.dtype} and {outputs[0].dtype}")

    def pool(self, x: Array, over: Window) -> Array:
        """Compare every element of every window."""
        y = largest_in_window(x, over)
        cut(y, self.bounds)
        return y
