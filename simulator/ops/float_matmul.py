"""Products of real matrices, or of stacks of them, added in a stated order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import optional, present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.bounds import UNBOUNDED, Bounds, cut
from simulator.numeric.datapath import Datapath
from simulator.numeric.float_products import multiply
from simulator.plain_products import PlainMatMul, prepare_rows
from simulator.pointwise import broadcasts_into
from simulator.prepared import Prepared
from simulator.real_bounds import REALS, bounds_of
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class FloatMatMul(PlainMatMul):
    """y[.., m, n] = cut(alpha (sum over k of x[.., m, k] w[.., k, n]) + beta c[m, n]).

    In float64 no order of the sum is promised. In float32 it is MLAS's on x86-64: it depends on
    whether the weights are known ahead (`packed`), on whether they lie transposed in the file
    (`turned`), and on the number of rows.
    No grids: `grid_matmul` has the same sums of operands whose codes are known.
    """

    kind = "float_matmul"
    formats = ("onnx:MatMul", "onnx:Gemm", "tflite:BATCH_MATMUL[numbers]")
    reference = "ONNX Runtime 1.31.1 x86-64, MLAS sgemm.cpp"
    real = True

    alpha: float
    beta: float
    packed: bool
    turned: bool
    bounds: Bounds = UNBOUNDED

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options alpha and beta (1 where they are missing), packed, turned, bounds."""
        require_dtypes(source.place, source.inputs, REALS)
        options = source.options
        return cls(
            alpha=float(options.get("alpha", 1.0)),
            beta=float(options.get("beta", 1.0)),
            packed=bool(options["packed"]),
            turned=bool(options["turned"]),
            bounds=bounds_of(source),
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse an addend that does not broadcast."""
        c, (shape,) = optional(inputs, 2), self.infer(inputs)
        if c is not None and not broadcasts_into(c.shape, shape):
            raise IllegalGraph(f"{c.shape} does not broadcast against {shape}")

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Sum from c on, cut; a machine's datapath has no say in reals."""
        x, w, c = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        factors = (self.alpha, self.beta)
        y = multiply(x, w, c, factors, packed=self.packed, turned=self.turned)
        cut(y, self.bounds)
        return (y,)

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """Weights laid out once, where one matrix was packed and the addend is known."""
        x, w, c = present(inputs, 0), optional(constants, 1), optional(constants, 2)
        unknown = optional(inputs, 2) is not None and c is None
        if not self.packed or w is None or w.ndim != 2 or unknown:
            return None
        start = None if c is None else np.float32(self.beta) * c
        rows = x.elements // max(w.shape[0], 1)
        if start is not None:
            start = np.broadcast_to(start, (*x.shape[:-1], w.shape[1])).reshape(rows, -1)
        return prepare_rows(rows, w, start, self.alpha, self.bounds)
