"""MatMulInteger: a product of integer matrices, or of stacks of them, left as accumulators."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Self, final

import numpy as np

from simulator.decode import bias_or_zeros, optional, present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.mac import MacOperator, Product, sum_products
from simulator.numeric.datapath import Datapath
from simulator.numeric.requantize import requantize_array
from simulator.plain_products import PlainMatMul
from simulator.raw_sums import ROLES, activations, check_zero_points, raw_sums, weights
from simulator.registry import register
from simulator.shapes import broadcast


@register
@final
@dataclass(frozen=True)
class MatMulInteger(PlainMatMul, MacOperator):
    """y[.., m, n] = b[n] + sum over k of (x[.., m, k] - zx) (w[.., k, n] - zw), NumPy's matmul.

    Inputs x, w, bias or none, zx and zw or none. Not `fully_connected`, whose weights lie (o, i)
    and whose sums are brought onto a grid.
    """

    kind = "matmul_integer"
    formats = ("onnx:MatMulInteger", "onnx:MatMul[integers]", "onnx:Gemm[integers]")
    reference = "ONNX Runtime 1.31.1, MatMulInteger (exact int32)"
    roles = ROLES
    fixed_widths = "its zero points are inputs"

    weighted = raw_sums()

    @classmethod
    def decode(cls, source: Source) -> Self:
        """No options."""
        require_dtypes(source.place, source.inputs[:2], ("int8", "uint8", "int16"))
        return cls()

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse a bias that is not one a column, and another output dtype than int32."""
        (*_, columns), bias = self.infer(inputs)[0], optional(inputs, 2)
        if bias is not None and bias.shape != (columns,):
            raise IllegalGraph(f"bias must have shape ({columns},); found {bias.shape}")
        if outputs[0].dtype != "int32":
            raise IllegalGraph(f"accumulators are int32; found {outputs[0].dtype}")
        check_zero_points(inputs, columns)

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """One block for one matrix of weights; one a matrix of a stack, side by side."""
        operand, fill = activations(inputs, folded=folded)
        w = weights(inputs, axis=present(inputs, 1).ndim - 1)
        bias = bias_or_zeros(inputs, w.shape[-1])
        if prod(w.shape[:-2]) == 1:
            pairs = [(operand.reshape(-1, operand.shape[-1]), w.reshape(w.shape[-2:]))]
        else:
            stack = broadcast(operand.shape[:-2], w.shape[:-2])
            left = np.broadcast_to(operand, (*stack, *operand.shape[-2:]))
            right = np.broadcast_to(w, (*stack, *w.shape[-2:]))
            pairs = [(left[index], right[index]) for index in np.ndindex(stack)]
        for block, (rows, matrix) in enumerate(pairs):
            taps = np.ascontiguousarray(matrix.T)
            first = block * w.shape[-1]
            product = Product(np.ascontiguousarray(rows), taps, bias, first)
            yield product.folded(fill) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """Sum the products: (rows, channels of every matrix)."""
        return sum_products(self, inputs, datapath)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Accumulate; nothing follows."""
        x, w = present(inputs, 0), present(inputs, 1)
        sums = self.accumulate(inputs, datapath)
        stack = broadcast(x.shape[:-2], w.shape[:-2])
        if prod(w.shape[:-2]) != 1:
            sums = sums.reshape(x.shape[-2], prod(stack), w.shape[-1]).swapaxes(0, 1)
        out = requantize_array(
            np.ascontiguousarray(sums), self.weighted.requantize, self.weighted.dtype
        )
        return (out.reshape(*stack, x.shape[-2], w.shape[-1]),)
