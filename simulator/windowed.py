"""What float and ONNX poolings share: sliding windows with explicit padding over NHWC."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from simulator.decode import Padding, present, window
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import Window
from simulator.real_work import computes_reals, on_reals
from simulator.work import Work


@dataclass(frozen=True)
class Windows:
    """Size, steps and padding of a window: (y, x) each; padding (top, left, bottom, right)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding

    @classmethod
    def of(cls, source: Source) -> "Windows":
        """From the options kernel, stride, dilation and padding."""
        options = source.options
        return cls(options["kernel"], options["stride"], options["dilation"], options["padding"])

    def over(self, x: tuple[int, ...]) -> Window:
        """The window on an input of this shape; raises IllegalGraph where there is none."""
        if len(x) != 4 or min((*self.kernel, *self.stride, *self.dilation)) < 1:
            raise IllegalGraph(
                f"a window needs a 4-D input, sizes and steps >= 1; found {x}, {self.kernel}, "
                f"{self.stride}, {self.dilation}"
            )
        return window(x[1], x[2], self.kernel, self.stride, self.dilation, self.padding)


@dataclass(frozen=True)
class WindowPooling(Operator):
    """One value a window and channel of an NHWC input; padding holds no element."""

    requantizes: ClassVar[bool] = False

    windows: Windows

    @abstractmethod
    def pool(self, x: Array, over: Window) -> Array:
        """The pooled tensor (n, oy, ox, c)."""

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(n, oy, ox, c)."""
        x = present(inputs, 0).shape
        return ((x[0], *self.windows.over(x).output, x[3]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Pool every window."""
        x = present(inputs, 0)
        return (self.pool(x, self.windows.over(x.shape)),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """As many additions or comparisons an output as a window has taps."""
        x, y = present(inputs, 0), outputs[0]
        ky, kx = self.windows.kernel
        work = Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=y.elements * ky * kx,
            requantizations=y.elements if self.requantizes else 0,
        )
        return on_reals(work, 0, 0) if computes_reals((x, y)) else work

    def window_of(self, inputs: Sequence[TensorType | None]) -> Window:
        """Of the elements that one output is made of."""
        return self.windows.over(present(inputs, 0).shape)
