"""Depthwise 2-D convolution: each input channel has its own filters."""

from collections.abc import Iterator, Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray

from simulator.convolution import Convolution, Shape
from simulator.decode import bias_or_zeros, present
from simulator.errors import IllegalGraph
from simulator.graph import Array
from simulator.mac import LaneSums, Product, sum_products
from simulator.numeric.datapath import Datapath
from simulator.numeric.depthwise import depthwise
from simulator.numeric.direct import Direct, direct_depthwise
from simulator.numeric.matmul import patches, wraps_in_int32
from simulator.registry import register


@register
@final
class DepthwiseConv2D(Convolution):
    """acc[o] = b[o] + sum over ky, kx of w[0, ky, kx, o] (x[.., o // multiplier] - zx).

    Weights (1, ky, kx, c * multiplier).
    """

    kind = "depthwise_conv_2d"
    formats = ("tflite:DEPTHWISE_CONV_2D",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference_integer_ops::DepthwiseConvPerChannel"
    filter_axis = 3

    @staticmethod
    def layout(x: Shape, w: Shape) -> tuple[int, int]:
        """As many groups as input channels."""
        if w[0] != 1 or x[3] == 0 or w[3] == 0 or w[3] % x[3]:
            raise IllegalGraph(
                f"depthwise weights must be (1, ky, kx, a multiple of {x[3]} channels); found {w}"
            )
        return w[3], x[3]

    def direct(self, x: Shape, w: NDArray[np.int16], sums: LaneSums, groups: int) -> Direct | None:
        """Channels side by side."""
        over = self.window(x, w.shape)
        return direct_depthwise(x, w[0], sums.bias, over, sums.values, sums.accumulator)

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """One block a filter."""
        x, w = present(inputs, 0), present(inputs, 1)
        outputs = w.shape[3]
        multiplier = outputs // x.shape[3]
        bias = bias_or_zeros(inputs, outputs)
        sums = self.window(x.shape, w.shape)
        operand, fill = self.weighted.operand(x, folded=folded)
        rows = self.weighted.weights(w, axis=3)[0].reshape(-1, outputs).T
        for o in range(outputs):
            channel = np.ascontiguousarray(operand[..., o // multiplier, None])
            row = np.ascontiguousarray(rows[o : o + 1])
            product = Product(patches(channel, sums, fill), row, bias[o : o + 1], o)
            yield product.folded(fill) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """Window sums without patches where the sum wraps at 32 bits; by products elsewhere."""
        if not wraps_in_int32(datapath, self.weighted.accumulator_bits):
            return sum_products(self, inputs, datapath)
        x, w = present(inputs, 0), present(inputs, 1)
        return depthwise(
            self.weighted.operand(x, folded=False)[0],
            self.weighted.weights(w, axis=3)[0],
            bias_or_zeros(inputs, w.shape[3]),
            self.window(x.shape, w.shape),
            datapath,
        )
