"""Softmax over the last axis, in fixed point."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite
from typing import Final, Self, final

import numpy as np

from simulator.decode import (
    DTYPE_RANGE,
    present,
    refuse,
    require_dtypes,
    require_same_dtype,
    single_grid,
)
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.functions import softmax_rows
from simulator.numeric.requantize import quantize_multiplier
from simulator.registry import register
from simulator.work import Work

INTEGER_BITS: Final = 5
"""Differences are scaled to Q5.26."""

OPERATIONS_PER_ELEMENT: Final = 60
"""ALU operations an element in `softmax_rows`: two exponentials of a degree-4 polynomial (11
multiplies, adds and shifts) and 7 conditional multiplies (2 each), their scaling and rounding (4),
the maximum and the sum (2), and the product with the reciprocal (4)."""


@register
@final
@dataclass(frozen=True)
class Softmax(Operator):
    """y = exp(beta s (x - max)) / sum, on a grid of scale 1/256 from the dtype's low end."""

    kind = "softmax"
    formats = ("tflite:SOFTMAX",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/softmax.h (TFLM, CMSIS-NN: the same bits)"

    multiplier: int
    shift: int
    smallest: int
    low: int
    high: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Beta s 2^26 as a multiplier; differences below -31 in reals count as exp = 0."""
        require_dtypes(source.place, source.inputs[:1], ("int8",))
        require_same_dtype(source)
        scale, _ = single_grid(source.inputs[0], source.place, "the input")
        y_grid = single_grid(source.outputs[0], source.place, "the output")
        low, high = DTYPE_RANGE[source.outputs[0].dtype]
        if y_grid != (1.0 / 256, low):
            refuse(
                source.place,
                f"softmax output must have scale 1/256 and zero point {low}",
                y_grid,
                "Requantize the output.",
            )
        beta = float(source.options.get("beta", 1.0))
        if not (isfinite(beta) and beta > 0):
            refuse(source.place, "beta must be positive and finite", beta, "Export it again.")
        real = min(beta * scale * (1 << (31 - INTEGER_BITS)), float(2**31 - 1))
        multiplier, shift = quantize_multiplier(real)
        if shift < 0:
            refuse(source.place, "beta * scale must be >= 2^-26", beta * scale, "Rescale it.")
        radius = ((1 << INTEGER_BITS) - 1) * 2.0 ** (31 - INTEGER_BITS) / 2.0**shift
        return cls(multiplier, shift, -floor(radius), low, high)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse scalars."""
        if not present(inputs, 0).shape:
            raise IllegalGraph("softmax needs at least one dimension")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The input's shape."""
        return (present(inputs, 0).shape,)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Row by row over the last axis."""
        x = present(inputs, 0)
        if x.size == 0:
            return (x.copy(),)
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        out = np.empty_like(rows)
        softmax_rows(rows, self.multiplier, self.shift, self.smallest, self.low, self.high, out)
        return (out.reshape(x.shape),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """`OPERATIONS_PER_ELEMENT` an element, and one requantization."""
        x, y = present(inputs, 0), outputs[0]
        return Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=OPERATIONS_PER_ELEMENT * y.elements,
            requantizations=y.elements,
        )
