"""What 2-D poolings share: decoding, legality, output shape, counting work."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from simulator.decode import (
    Padding,
    activation_range,
    padding_of,
    present,
    refuse,
    require_dtypes,
    require_same_dtype,
    single_grid,
    value_range,
    window,
)
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import Window
from simulator.work import Work

SCALE_TOLERANCE: Final = 1e-6
"""How far input and output scale may be apart (LiteRT pooling.cc, Prepare); codes are kept."""


@dataclass(frozen=True)
class Pooling(Operator):
    """One value a window and channel of an NHWC input, on the input's own grid, clamped.

    Padding belongs to no window: it is neither counted nor compared.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding
    low: int
    high: int

    @abstractmethod
    def pool(self, x: Array, over: Window) -> Array:
        """The pooled tensor (n, oy, ox, c)."""

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options filter, stride, padding and fused_activation_function."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "int16"))
        require_same_dtype(source)
        x_scale, x_zero = single_grid(source.inputs[0], source.place, "the input")
        y_scale, y_zero = single_grid(source.outputs[0], source.place, "the output")
        if abs(x_scale - y_scale) > SCALE_TOLERANCE or x_zero != y_zero:
            refuse(
                source.place,
                "pooling keeps its grid: input and output scale and zero point must agree",
                f"({x_scale}, {x_zero}) and ({y_scale}, {y_zero})",
                "Quantize them on one grid.",
            )
        options = source.options
        activation = options["fused_activation_function"]
        limits = value_range(source.outputs[0])
        low, high = activation_range(source.place, activation, y_scale, y_zero, limits)
        return cls(
            kernel=(options["filter_height"], options["filter_width"]),
            stride=(options["stride_h"], options["stride_w"]),
            padding=padding_of(source),
            low=low,
            high=high,
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse ranks and steps that no pooling has, and another output dtype."""
        x = present(inputs, 0)
        if len(x.shape) != 4 or min(self.kernel) < 1 or min(self.stride) < 1:
            raise IllegalGraph(
                f"pooling needs a 4-D input, filter and stride >= 1; found {x.shape}, "
                f"{self.kernel}, {self.stride}"
            )
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"pooling keeps its dtype; found {x.dtype} and {outputs[0].dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(n, oy, ox, c)."""
        x = present(inputs, 0).shape
        return ((x[0], *self._window(x).output, x[3]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Pool every window."""
        x = present(inputs, 0)
        return (self.pool(x, self._window(x.shape)),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One addition or comparison an element of a window, one division or clamp an output."""
        x, y = present(inputs, 0), outputs[0]
        return Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=y.elements * self.kernel[0] * self.kernel[1],
            requantizations=y.elements,
        )

    def window_of(self, inputs: Sequence[TensorType | None]) -> Window:
        """Of the elements that one output is made of."""
        return self._window(present(inputs, 0).shape)

    def _window(self, x: tuple[int, ...]) -> Window:
        return window(x[1], x[2], self.kernel, self.stride, (1, 1), self.padding)
