"""Fully connected layer: a matrix of int8 weights times rows of int8 activations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

from simulator.decode import (
    Weighted,
    bias_or_zeros,
    decode_weighted,
    optional,
    present,
    refuse,
)
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.mac import MacOperator, Product, lane_sums, sum_products
from simulator.numeric.datapath import Datapath
from simulator.numeric.direct import direct_convolution
from simulator.numeric.matmul import Window
from simulator.numeric.requantize import requantize_array
from simulator.prepared import Prepared, PreparedSums
from simulator.registry import register
from simulator.row_products import check_rows, rows_shape, rows_work
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class FullyConnected(MacOperator):
    """acc[o] = b[o] + sum over i of w[o, i] (x[i] - zx); y = clamp(requantize(acc) + zy).

    Inputs x (..., i) of any rank, weights (o, i), bias (o) or none. Output (rows, o), or
    (..., o) with `keep_dims`. Not fixed point in LiteRT's reference: there the scale is a double.
    """

    kind = "fully_connected"
    formats = ("tflite:FULLY_CONNECTED",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, integer_ops/fully_connected.h:123"

    keep_dims: bool
    weighted: Weighted

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options fused_activation_function, keep_num_dims and weights_format."""
        form = source.options.get("weights_format", "DEFAULT")
        if form != "DEFAULT":
            refuse(source.place, "weights_format must be DEFAULT", form, "Export it unshuffled.")
        return cls(
            keep_dims=bool(source.options.get("keep_num_dims", False)),
            weighted=decode_weighted(source, cls.kind, case=_case(source)),
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse weights that do not fit the input's elements."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        check_rows(x, w, bias, keep_dims=self.keep_dims)
        scales = len(self.weighted.requantize.scale)
        if scales not in (1, w.shape[0]):
            raise IllegalGraph(f"{scales} weight scales, {w.shape[0]} outputs")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(rows, o), or (..., o) with `keep_dims`."""
        return (
            rows_shape(
                present(inputs, 0).shape, present(inputs, 1).shape, keep_dims=self.keep_dims
            ),
        )

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """One block: the input's rows times the weights."""
        x, w = present(inputs, 0), present(inputs, 1)
        operand, fill = self.weighted.operand(x, folded=folded)
        weights = self.weighted.weights(w, axis=0)
        bias = bias_or_zeros(inputs, w.shape[0])
        product = Product(operand.reshape(-1, w.shape[1]), weights, bias)
        yield product.folded(fill) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """Sum the products: (rows, o)."""
        return sum_products(self, inputs, datapath)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Accumulate, then requantize."""
        shape = rows_shape(
            present(inputs, 0).shape, present(inputs, 1).shape, keep_dims=self.keep_dims
        )
        out = requantize_array(
            self.accumulate(inputs, datapath), self.weighted.requantize, self.weighted.dtype
        )
        return (out.reshape(shape),)

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """As a 1 x 1 convolution of one line of pixels, where weights and bias are known."""
        x, weights = present(inputs, 0), optional(constants, 1)
        unknown = optional(inputs, 2) is not None and optional(constants, 2) is None
        if weights is None or unknown or self.weighted.requantize.blocks is not None:
            return None
        outputs, taps = weights.shape
        w = self.weighted.weights(weights, axis=0)
        sums = lane_sums(self, x, w, bias_or_zeros(constants, outputs), datapath)
        if sums is None:
            return None
        line = (1, 1, x.elements // taps, taps)
        over = Window((1, 1), (1, 1), (1, 1), (0, 0), line[1:3])
        filters = w.reshape(outputs, 1, 1, taps)
        direct = direct_convolution(line, filters, sums.bias, over, sums.values, sums.accumulator)
        return PreparedSums(direct, self.weighted.requantize)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = rows o i."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        return replace(
            rows_work(x, w, bias, outputs[0]),
            requantizations=outputs[0].elements,
            requantizer_scales=len(self.weighted.requantize.scale),
        )


def _case(source: Source) -> str:
    """What sends a layer to another kernel: rows of an odd number of nibbles, int16 unbiased."""
    x, w = present(source.inputs, 0), present(source.inputs, 1)
    if x.dtype == "int16":
        return "unbiased" if optional(source.inputs, 2) is None else ""
    return "odd" if w.dtype == "int4" and w.shape and w.shape[-1] % 2 else ""
