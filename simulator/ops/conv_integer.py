"""ConvInteger: a convolution whose outputs are its accumulators."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import bias_or_zeros, present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.mac import MacOperator, Product, sum_products
from simulator.numeric.datapath import Datapath
from simulator.numeric.depthwise import depthwise
from simulator.numeric.matmul import patches, wraps_in_int32
from simulator.numeric.requantize import requantize_array
from simulator.plain_products import PlainConvolution, check_convolution
from simulator.raw_sums import ROLES, activations, check_zero_points, raw_sums, weights
from simulator.registry import register
from simulator.windowed import Windows


@register
@final
@dataclass(frozen=True)
class ConvInteger(PlainConvolution, MacOperator):
    """y[.., o] = b[o] + sum over ky, kx, ic of (w[o, ky, kx, ic] - zw) (x[.., g ic + ic] - zx).

    Inputs x (n, h, w, c), weights (filters, ky, kx, ic), bias or none, then zx and zw or none:
    tensors, since zx may be found at run time. Padding has the value zx. Not `conv_2d`, which
    brings the sums onto a grid.
    """

    kind = "conv_integer"
    formats = ("onnx:ConvInteger", "onnx:Conv[integers]")
    reference = "ONNX Runtime 1.31.1, ConvInteger (exact int32)"
    roles = ROLES
    fixed_widths = "its zero points are inputs"

    weighted = raw_sums()

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation and padding."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "int16"))
        require_dtypes(source.place, source.inputs[1:2], ("int8", "uint8", "int16"))
        return cls(Windows.of(source))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse channels that do not divide into groups, and another output dtype than int32."""
        check_convolution(inputs)
        if outputs[0].dtype != "int32":
            raise IllegalGraph(f"accumulators are int32; found {outputs[0].dtype}")
        check_zero_points(inputs, present(inputs, 1).shape[0])

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """One block a group of filters."""
        x, w = present(inputs, 0), present(inputs, 1)
        filters, each = w.shape[0], w.shape[3]
        block = filters * each // x.shape[3]
        over = self.windows.over(x.shape)
        operand, fill = activations(inputs, folded=folded)
        rows = weights(inputs, axis=0).reshape(filters, -1)
        bias = bias_or_zeros(inputs, filters)
        for first in range(0, filters, block):
            start = first // block * each
            part = np.ascontiguousarray(operand[..., start : start + each])
            mine = slice(first, first + block)
            product = Product(patches(part, over, fill), rows[mine], bias[mine], first)
            yield product.folded(fill) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """Depthwise sums without patches where they wrap at 32 bits; by products elsewhere."""
        x, w = present(inputs, 0), present(inputs, 1)
        if w.shape[3] > 1 or x.shape[3] == 1 or not wraps_in_int32(datapath, 32):
            return sum_products(self, inputs, datapath)
        operand, _ = activations(inputs, folded=False)
        taps = np.ascontiguousarray(weights(inputs, axis=0)[..., 0].transpose(1, 2, 0))
        bias = bias_or_zeros(inputs, w.shape[0])
        return depthwise(operand, taps, bias, self.windows.over(x.shape), datapath)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Accumulate; nothing follows."""
        x, w = present(inputs, 0).shape, present(inputs, 1).shape
        sums = self.accumulate(inputs, datapath)
        shape = (x[0], *self.windows.over(x).output, w[0])
        out = requantize_array(sums, self.weighted.requantize, self.weighted.dtype)
        return (out.reshape(shape),)
