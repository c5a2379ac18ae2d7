"""Convolution of real values, added in a stated order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import optional, present, require_dtypes
from simulator.graph import Array, Source, TensorType
from simulator.numeric.bounds import UNBOUNDED, Bounds, cut
from simulator.numeric.datapath import Datapath
from simulator.numeric.float_products import convolve
from simulator.plain_products import PlainConvolution, check_convolution, prepare_float
from simulator.prepared import Prepared
from simulator.real_bounds import REALS, bounds_of
from simulator.registry import register
from simulator.windowed import Windows


@register
@final
@dataclass(frozen=True)
class FloatConv2D(PlainConvolution):
    """y[.., o] = cut((sum over ic, ky, kx of w[o, ky, kx, ic] x[.., g ic + ic]) + b[o]).

    In float32 the order of the sum is MLAS's on x86-64 whatever file the network comes from; in
    float64 none is promised. `bounds` are an activation that was fused. No grids: `grid_conv_2d`
    has the same sums of operands whose codes are known; `conv_2d` brings integer sums onto a grid.
    """

    kind = "float_conv_2d"
    formats = ("onnx:Conv", "tflite:CONV_2D[numbers]", "tflite:DEPTHWISE_CONV_2D[numbers]")
    reference = "ONNX Runtime 1.31.1 x86-64, MLAS convolve.cpp (LiteRT: to rounding)"
    real = True

    bounds: Bounds = UNBOUNDED

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation, padding and bounds."""
        require_dtypes(source.place, source.inputs, REALS)
        return cls(Windows.of(source), bounds_of(source))

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
        return prepare_float(self.windows, inputs, constants, datapath, self.bounds)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Sum, add the bias, cut; a machine's datapath has no say in reals."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        y = convolve(x, w, self.windows.over(x.shape))
        if bias is not None:
            y += bias
        cut(y, self.bounds)
        return (y,)
