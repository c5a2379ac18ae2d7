"""Products of real matrices, or of stacks of them, added in a stated order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import optional, present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.float_products import matmul_float32
from simulator.plain_products import PlainMatMul
from simulator.pointwise import broadcasts_into
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class FloatMatMul(PlainMatMul):
    """y[.., m, n] = alpha (sum over k of x[.., m, k] w[.., k, n]) + beta c[m, n] in float32.

    The order of the sum is MLAS's on x86-64: it depends on whether the weights are known ahead
    (`packed`), on whether they lie transposed in the file (`turned`), and on the number of rows.
    No grids: `grid_matmul` has the same sums of operands whose codes are known.
    """

    kind = "float_matmul"
    formats = ("onnx:MatMul", "onnx:Gemm")
    reference = "ONNX Runtime 1.31.1 x86-64, MLAS sgemm.cpp"
    real = True

    alpha: float
    beta: float
    packed: bool
    turned: bool

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options alpha and beta (1 where they are missing), packed and turned."""
        require_dtypes(source.place, source.inputs, ("float32",))
        options = source.options
        return cls(
            alpha=float(options.get("alpha", 1.0)),
            beta=float(options.get("beta", 1.0)),
            packed=bool(options["packed"]),
            turned=bool(options["turned"]),
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse an addend that does not broadcast."""
        c, (shape,) = optional(inputs, 2), self.infer(inputs)
        if c is not None and not broadcasts_into(c.shape, shape):
            raise IllegalGraph(f"{c.shape} does not broadcast against {shape}")

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Sum from c on; a machine's datapath has no say in float32."""
        x, w, c = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        factors = (self.alpha, self.beta)
        return (matmul_float32(x, w, c, factors, packed=self.packed, turned=self.turned),)
