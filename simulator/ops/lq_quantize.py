"""Reals to codes on a learned basis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.learned import CODES, REALS, code_set
from simulator.numeric.datapath import Datapath
from simulator.numeric.levels import CodeSet, encode
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class LqQuantize(Operator):
    """The code of the nearest level of v; what lies midway goes down.

    Inputs x and the basis v (K,); codes of K bits in uint8. Levels and midpoints are float64 sums,
    and comparisons exact. Not `quantize`, whose levels are equally far apart.
    """

    kind = "lq_quantize"
    formats = ("bitlane:LQ_QUANTIZE",)
    reference = "LQ-Nets (Zhang et al., ECCV 2018) section 3.1, thresholds in float64"
    fixed_widths = "a basis has as many reals as its codes have bits"

    codes: CodeSet

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the option codes, {0, 1} unless given."""
        require_dtypes(source.place, source.inputs, REALS)
        return cls(code_set(source, "codes", "binary"))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse a basis that has not a real for each bit of the codes."""
        basis, y = present(inputs, 1), outputs[0]
        if y.dtype not in CODES or basis.shape != (y.bits,):
            raise IllegalGraph(
                f"a basis of shape {basis.shape} makes no codes of {y.bits} bits in {y.dtype}"
            )

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The input's shape."""
        return (present(inputs, 0).shape,)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Compare with every midpoint; NaN is above none."""
        x, basis = present(inputs, 0), present(inputs, 1)
        return (encode(x, basis.astype("float64"), self.codes),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """As many comparisons an element as codes have bits: a search among sorted thresholds."""
        x, y = present(inputs, 0), outputs[0]
        return Work(
            weight_bits=present(inputs, 1).bits,
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            weight_elements=2**y.bits - 1,
            output_elements=y.elements,
            elementwise=y.bits * y.elements,
            requantizations=y.elements,
            real_additions=y.bits * y.elements,
        )
