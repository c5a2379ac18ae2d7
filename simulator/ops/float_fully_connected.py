"""Fully connected layer of real values: a matrix of weights times rows of activations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np

from simulator.decode import optional, present, refuse, require_dtypes
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.bounds import UNBOUNDED, Bounds, cut
from simulator.numeric.datapath import Datapath
from simulator.numeric.float_products import multiply
from simulator.plain_products import prepare_rows
from simulator.prepared import Prepared
from simulator.real_bounds import REALS, bounds_of
from simulator.registry import register
from simulator.row_products import check_rows, rows_shape, rows_work
from simulator.work import Work

Shape = tuple[int, ...]


@register
@final
@dataclass(frozen=True)
class FloatFullyConnected(Operator):
    """y[.., o] = cut(b[o] + sum over i of w[o, i] x[.., i]).

    Inputs x (..., i) of any rank, weights (o, i), bias (o) or none. Output (rows, o), or (..., o)
    with `keep_dims`. Not `float_matmul`, whose weights are (k, n); float32 sums have the same
    order, that of MLAS for packed weights.
    """

    kind = "float_fully_connected"
    formats = ("tflite:FULLY_CONNECTED[numbers]",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/fully_connected.h, to rounding"

    keep_dims: bool
    bounds: Bounds = UNBOUNDED

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options keep_num_dims, weights_format, fused_activation_function, bounds."""
        require_dtypes(source.place, source.inputs, REALS)
        form = source.options.get("weights_format", "DEFAULT")
        if form != "DEFAULT":
            refuse(source.place, "weights_format must be DEFAULT", form, "Export it unshuffled.")
        return cls(bool(source.options.get("keep_num_dims", False)), bounds_of(source))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse weights that do not fit the input's elements."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        check_rows(x, w, bias, keep_dims=self.keep_dims)

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """(rows, o), or (..., o) with `keep_dims`."""
        return (
            rows_shape(
                present(inputs, 0).shape, present(inputs, 1).shape, keep_dims=self.keep_dims
            ),
        )

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """Weights laid out once, where they and the bias are known."""
        x, w, bias = present(inputs, 0), optional(constants, 1), optional(constants, 2)
        if w is None or (optional(inputs, 2) is not None and bias is None):
            return None
        return prepare_rows(x.elements // w.shape[1], w.T, bias, 1.0, self.bounds)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Sum from the bias on, cut; a machine's datapath has no say in reals."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        rows = np.ascontiguousarray(x).reshape(-1, w.shape[1])
        y = multiply(rows, w.T, bias, (1.0, 1.0), packed=True, turned=True)
        cut(y, self.bounds)
        return (y.reshape(rows_shape(x.shape, w.shape, keep_dims=self.keep_dims)),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = rows o i, of real numbers."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        return replace(rows_work(x, w, bias, outputs[0]), real_products=1)
