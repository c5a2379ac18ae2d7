"""DynamicQuantizeLinear: a tensor on the uint8 grid that its own values span."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, final

import numpy as np

from simulator.decode import present, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.float32 import round_to_grid
from simulator.real_work import on_reals
from simulator.registry import register
from simulator.work import Work

OPERATIONS_PER_ELEMENT: Final = 6
"""Two comparisons for the range, then divide, round, add and clamp."""


@register
@final
@dataclass(frozen=True)
class DynamicQuantizeLinear(Operator):
    """scale = (max - min) / 255 over values and 0; y = clamp(round(x / scale) + zero point).

    Outputs y (uint8), scale (float32) and zero point (uint8), both without dimensions. The grid
    is found anew at every run, unlike `quantize_linear`'s.
    """

    kind = "dynamic_quantize_linear"
    formats = ("onnx:DynamicQuantizeLinear",)
    reference = "ONNX Runtime 1.31.1, DynamicQuantizeLinear"
    fixed_widths = "its grid is found at run time"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """No options."""
        require_dtypes(source.place, source.inputs[:1], ("float32",))
        return cls()

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse other outputs than uint8, float32 and uint8."""
        found = tuple(kind.dtype for kind in outputs)
        if found != ("uint8", "float32", "uint8"):
            raise IllegalGraph(f"outputs must be uint8, float32 and uint8; found {found}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The input's shape and two scalars."""
        return present(inputs, 0).shape, (), ()

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Find the range, then quantize; a tensor of zeros has scale 1."""
        x = present(inputs, 0)
        largest = np.float32(max(x.max(initial=0.0), 0.0))
        smallest = np.float32(min(x.min(initial=0.0), 0.0))
        with np.errstate(all="ignore"):
            span = np.float32(largest - smallest)
            scale = span / np.float32(255) if span else np.float32(1)
            zero = int(round_to_grid(np.float32(0) - smallest / scale, 0, 0, 255))
            y = round_to_grid(x / scale, zero, 0, 255)
        return y.astype(np.uint8), np.array(scale, np.float32), np.array(zero, np.uint8)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """`OPERATIONS_PER_ELEMENT` and one rounding an element."""
        x = present(inputs, 0)
        work = Work(
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            output_elements=outputs[0].elements,
            elementwise=OPERATIONS_PER_ELEMENT * x.elements,
            requantizations=x.elements,
        )
        return on_reals(work, 1, 0)
