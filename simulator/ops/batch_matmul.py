"""Batch matrix product of two tensors, either or both computed at run time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Self, final

import numpy as np

from simulator.decode import Weighted, decode_weighted, present, single_grid
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.mac import MacOperator, Product, sum_products
from simulator.movement import Shape
from simulator.numeric.datapath import Datapath
from simulator.numeric.requantize import requantize_array
from simulator.registry import register
from simulator.shapes import broadcast
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class BatchMatMul(MacOperator):
    """acc[.., i, j] = sum over k of (x[.., i, k] - zx) (w[.., k, j] - zw); requantized.

    Inputs x (.., m, k) and w (.., k, n); with `adj_x`, `adj_w` their last two axes are swapped.
    Leading axes broadcast. The second operand counts as the weights, each batch as its own output
    channels.
    """

    kind = "batch_matmul"
    formats = ("tflite:BATCH_MATMUL",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/batch_matmul.h"

    adj_x: bool
    adj_w: bool
    weighted: Weighted

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options adj_x and adj_y; some runtimes treat a zero point of w apart."""
        _, offset = single_grid(source.inputs[1], source.place, "the second operand")
        rule = f"{cls.kind}_offset" if offset else cls.kind
        weighted = decode_weighted(source, rule, constant_weights=False)
        options = source.options
        return cls(bool(options.get("adj_x")), bool(options.get("adj_y")), weighted)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse ranks below 2, inner sizes that differ and batches that do not broadcast."""
        self._shapes(present(inputs, 0).shape, present(inputs, 1).shape)

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """(.., m, n)."""
        lead, m, _, n = self._shapes(present(inputs, 0).shape, present(inputs, 1).shape)
        return ((*lead, m, n),)

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """One block a batch, its columns after those of the batch before."""
        x, w = present(inputs, 0), present(inputs, 1)
        lead, m, k, n = self._shapes(x.shape, w.shape)
        operand, zero = self.weighted.operand(x, folded=folded)
        left = operand.swapaxes(-1, -2) if self.adj_x else operand
        taps = w.astype(np.int16) - np.int16(self.weighted.weight_zero_points[0])
        right = taps if self.adj_w else taps.swapaxes(-1, -2)
        rows = np.broadcast_to(left, (*lead, m, k)).reshape(-1, m, k)
        columns = np.broadcast_to(right, (*lead, n, k)).reshape(-1, n, k)
        bias = np.zeros(n, dtype=np.int32)
        for batch in range(prod(lead)):
            product = Product(
                np.ascontiguousarray(rows[batch]),
                np.ascontiguousarray(columns[batch]),
                bias,
                batch * n,
            )
            yield product.folded(zero) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """Sum the products: (m, batches * n)."""
        return sum_products(self, inputs, datapath)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Accumulate, then requantize."""
        lead, m, _, n = self._shapes(present(inputs, 0).shape, present(inputs, 1).shape)
        sums = self.accumulate(inputs, datapath)
        out = requantize_array(sums, self.weighted.requantize, self.weighted.dtype)
        batches = out.reshape(m, -1, n).swapaxes(0, 1)
        return (np.ascontiguousarray(batches).reshape(*lead, m, n),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = batches m n k; each batch is a group with weights of its own."""
        x, w = present(inputs, 0), present(inputs, 1)
        lead, m, k, n = self._shapes(x.shape, w.shape)
        return Work(
            n=m,
            oc=n,
            ky=1,
            kx=1,
            ic=k,
            groups=prod(lead),
            weight_bits=w.bits,
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            weight_elements=w.elements,
            output_elements=outputs[0].elements,
            requantizations=outputs[0].elements,
        )

    def _shapes(self, x: Shape, w: Shape) -> tuple[Shape, int, int, int]:
        """(leading axes, m, k, n)."""
        if len(x) < 2 or len(w) < 2:
            raise IllegalGraph(f"a matrix product needs two axes; found {x} and {w}")
        m, k = x[-2:][::-1] if self.adj_x else x[-2:]
        inner, n = w[-2:][::-1] if self.adj_w else w[-2:]
        try:
            lead = broadcast(x[:-2], w[:-2])
        except ValueError:
            lead = None
        if lead is None or inner != k:
            raise IllegalGraph(f"{x} and {w} do not multiply (swapped: {self.adj_x}, {self.adj_w})")
        return lead, m, k, n
