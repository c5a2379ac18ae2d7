"""Convolution of real values, added in a stated order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import optional, present, require_dtypes
from simulator.graph import Array, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.float_products import convolve_float32
from simulator.plain_products import PlainConvolution, check_convolution, prepare_float
from simulator.prepared import Prepared
from simulator.registry import register
from simulator.windowed import Windows


@register
@final
@dataclass(frozen=True)
class FloatConv2D(PlainConvolution):
    """y[.., o] = (sum over ic, ky, kx of w[o, ky, kx, ic] x[.., g ic + ic]) + b[o] in float32.

    The order of the sum is MLAS's on x86-64. No grids: `grid_conv_2d` has the same sums of operands
    whose codes are known; `conv_2d` brings integer sums onto a grid.
    """

    kind = "float_conv_2d"
    formats = ("onnx:Conv",)
    reference = "ONNX Runtime 1.31.1 x86-64, MLAS convolve.cpp"
    real = True

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation and padding."""
        require_dtypes(source.place, source.inputs, ("float32",))
        return cls(Windows.of(source))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse channels that do not divide into groups."""
        check_convolution(inputs)

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """Direct sums of one group in float32, where weights and bias are known."""
        return prepare_float(self.windows, inputs, constants, datapath)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Sum, then add the bias; a machine's datapath has no say in float32."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        y = convolve_float32(x, w, self.windows.over(x.shape))
        return (y if bias is None else y + bias,)
