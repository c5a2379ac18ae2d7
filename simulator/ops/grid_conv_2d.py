"""Convolution of real values on known grids: in float32 as the runtime, or by integer codes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import Weighted, optional, present, require_dtypes
from simulator.graph import Array, Source, TensorType
from simulator.mac import MacOperator, Product, sum_products
from simulator.numeric.datapath import Datapath
from simulator.numeric.float_products import convolve_float32
from simulator.numeric.matmul import patches
from simulator.plain_products import PlainConvolution, check_convolution, prepare_float
from simulator.prepared import Prepared
from simulator.real_grids import Grids
from simulator.registry import register
from simulator.windowed import Windows

CHANNELS = 0
"""The axis of the weights that output channels lie along."""


@register
@final
@dataclass(frozen=True)
class GridConv2D(PlainConvolution, MacOperator):
    """y[.., o] = s_x s_w[o] (sum over ky, kx, ic of (q_w - z_w)(q_x - z_x)) + b[o], real.

    As `float_conv_2d` where the graph's own arithmetic is followed. On a machine's datapath the
    codes are summed in its accumulator, and the sum is scaled in double and rounded to float32.
    """

    kind = "grid_conv_2d"
    formats = ("onnx:Conv[on grids]",)
    reference = "qonnx 1.0.0 and ONNX Runtime 1.31.1 x86-64: float32, MLAS convolve.cpp"

    grids: Grids
    weighted: Weighted

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation and padding, and both operands' grids."""
        require_dtypes(source.place, source.inputs, ("float32",))
        grids = Grids.of(source, CHANNELS)
        return cls(Windows.of(source), grids, grids.weighted())

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse channels that do not divide into groups."""
        check_convolution(inputs)

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """One block a group of filters; a real bias is no part of the sums."""
        x, w = present(inputs, 0), present(inputs, 1)
        filters, each = w.shape[0], w.shape[3]
        block = filters * each // x.shape[3]
        over = self.windows.over(x.shape)
        operand, fill = self.grids.activations(x, folded=folded)
        rows = self.grids.weights(w, CHANNELS).reshape(filters, -1)
        for first in range(0, filters, block):
            start = first // block * each
            part = np.ascontiguousarray(operand[..., start : start + each])
            mine = rows[first : first + block]
            zeros = np.zeros(len(mine), dtype=np.int32)
            product = Product(patches(part, over, fill), mine, zeros, first)
            yield product.folded(fill) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """The sums of codes: (n * oy * ox, filters)."""
        return sum_products(self, inputs, datapath)

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """Direct sums of one group in float32, where weights and bias are known."""
        return prepare_float(self.windows, inputs, constants, datapath)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """In float32, or by codes; then the bias."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        over = self.windows.over(x.shape)
        if datapath.graph:
            y = convolve_float32(x, w, over)
        else:
            sums = self.grids.real(self.accumulate(inputs, datapath))
            y = sums.reshape(x.shape[0], *over.output, w.shape[0])
        return (y if bias is None else y + bias,)
