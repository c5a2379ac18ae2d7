"""2-D convolution, groups included: int8 activations, per-tensor or per-channel int8 weights."""

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
from simulator.numeric.direct import Direct, direct_convolution
from simulator.numeric.matmul import patches
from simulator.registry import register


@register
@final
class Conv2D(Convolution):
    """acc[oc] = b[oc] + sum over ky, kx, ic of w[oc, ky, kx, ic] (x[.., g ic + ic] - zx).

    Weights (oc, ky, kx, ic); block g of output channels reads block g of input channels.
    """

    kind = "conv_2d"
    formats = ("tflite:CONV_2D",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference_integer_ops::ConvPerChannel"
    filter_axis = 0

    @staticmethod
    def layout(x: Shape, w: Shape) -> tuple[int, int]:
        """Groups follow from the input channels and those of one filter."""
        groups = x[3] // w[3] if w[3] else 0
        if groups == 0 or x[3] % w[3] or w[0] % groups:
            raise IllegalGraph(
                f"{x[3]} input channels do not divide into groups for "
                f"{w[0]} filters of {w[3]} channels"
            )
        return w[0], groups

    def direct(self, x: Shape, w: NDArray[np.int16], sums: LaneSums, groups: int) -> Direct | None:
        """Of a single group."""
        if groups > 1:
            return None
        over = self.window(x, w.shape)
        return direct_convolution(x, w, sums.bias, over, sums.values, sums.accumulator)

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """Patches times filters, group by group."""
        x, w = present(inputs, 0), present(inputs, 1)
        filters, groups = self.layout(x.shape, w.shape)
        bias = bias_or_zeros(inputs, filters)
        sums = self.window(x.shape, w.shape)
        operand, fill = self.weighted.operand(x, folded=folded)
        rows = self.weighted.weights(w, axis=0).reshape(filters, -1)
        ic, oc = w.shape[3], filters // groups
        for g in range(groups):
            block = operand if groups == 1 else operand[..., g * ic : (g + 1) * ic]
            product = Product(
                patches(np.ascontiguousarray(block), sums, fill),
                rows[g * oc : (g + 1) * oc],
                bias[g * oc : (g + 1) * oc],
                g * oc,
            )
            yield product.folded(fill) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """Sum the products."""
        return sum_products(self, inputs, datapath)
