"""Product of real matrices on known grids: in float32 as the runtime, or by integer codes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import Weighted, optional, present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.mac import MacOperator, Product, sum_products
from simulator.numeric.datapath import Datapath
from simulator.numeric.float_products import matmul_float32
from simulator.plain_products import PlainMatMul
from simulator.pointwise import broadcasts_into
from simulator.real_grids import Grids
from simulator.registry import register

CHANNELS = 1
"""The axis of the weights that output channels lie along."""


@register
@final
@dataclass(frozen=True)
class GridMatMul(PlainMatMul, MacOperator):
    """y[.., m, n] = alpha s_x s_w[n] (sum over k of (q_x - z_x)(q_w - z_w)) + beta c, real.

    One matrix of weights (k, n). As `float_matmul` where the graph's own arithmetic is followed. On
    a machine's datapath the codes are summed in its accumulator, and the sum is scaled in double
    and rounded to float32.
    """

    kind = "grid_matmul"
    formats = ("onnx:MatMul[on grids]", "onnx:Gemm[on grids]")
    reference = "qonnx 1.0.0 and ONNX Runtime 1.31.1 x86-64: float32, MLAS sgemm.cpp"

    alpha: float
    beta: float
    packed: bool
    turned: bool
    grids: Grids
    weighted: Weighted

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options alpha, beta, packed and turned, and both operands' grids."""
        require_dtypes(source.place, source.inputs, ("float32",))
        options, grids = source.options, Grids.of(source, CHANNELS)
        return cls(
            alpha=float(options.get("alpha", 1.0)),
            beta=float(options.get("beta", 1.0)),
            packed=bool(options["packed"]),
            turned=bool(options["turned"]),
            grids=grids,
            weighted=grids.weighted(),
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse stacked weights, and an addend that does not broadcast."""
        w, c, (shape,) = present(inputs, 1).shape, optional(inputs, 2), self.infer(inputs)
        if len(w) != 2:
            raise IllegalGraph(f"weights must be one matrix; found {w}")
        if c is not None and not broadcasts_into(c.shape, shape):
            raise IllegalGraph(f"{c.shape} does not broadcast against {shape}")

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """One block; a real addend is no part of the sums."""
        x, w = present(inputs, 0), present(inputs, 1)
        operand, fill = self.grids.activations(x, folded=folded)
        rows = np.ascontiguousarray(self.grids.weights(w, CHANNELS).T)
        zeros = np.zeros(len(rows), dtype=np.int32)
        product = Product(operand.reshape(-1, x.shape[-1]), rows, zeros)
        yield product.folded(fill) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """The sums of codes: (rows, n)."""
        return sum_products(self, inputs, datapath)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """In float32, or by codes."""
        x, w, c = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        if datapath.graph:
            factors = (self.alpha, self.beta)
            return (matmul_float32(x, w, c, factors, packed=self.packed, turned=self.turned),)
        sums = self.grids.real(self.accumulate(inputs, datapath))
        y = np.float32(self.alpha) * sums.reshape(*x.shape[:-1], w.shape[1])
        return (y if c is None else y + np.float32(self.beta) * c,)
