"""Elementwise arithmetic of two tensors of one dtype: real, or integer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any, ClassVar, Final, Self, final

import numpy as np

from simulator.decode import present, refuse
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.numeric.bounds import UNBOUNDED, Bounds, cut
from simulator.pointwise import Pointwise
from simulator.real_bounds import bounds_of
from simulator.registry import register


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    # Integers divide towards zero, as C does; a zero divisor gives zero.
    divisor = np.where(b == 0, 1, b)
    quotient = np.abs(a) // np.abs(divisor) * np.sign(a) * np.sign(divisor)
    return np.asarray(np.where(b == 0, 0, quotient)).astype(a.dtype)


def _floor_divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.asarray(np.floor(a / b))
    return np.asarray(np.where(b == 0, 0, a // np.where(b == 0, 1, b))).astype(a.dtype)


FUNCTIONS: Final[MappingProxyType[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        "add": np.add,
        "sub": np.subtract,
        "mul": np.multiply,
        "div": _divide,
        "floor_div": _floor_divide,
        "pow": np.power,
        "min": np.minimum,
        "max": np.maximum,
    }
)


@register
@final
@dataclass(frozen=True)
class Arithmetic(Pointwise):
    """y = cut(x1 f x2 (f x3 ..)) in the output's dtype, NumPy broadcasting; integers wrap.

    On real values and on raw integers, without grids: not `add` or `mul`, which rescale codes.
    """

    kind = "arithmetic"
    formats = (
        *(f"onnx:{n}" for n in ("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum")),
        *(f"tflite:{n}[numbers]" for n in ("ADD", "SUB", "MUL", "DIV", "FLOOR_DIV")),
    )
    reference = "ONNX Runtime 1.31.1, elementwise: IEEE single steps (Pow: to rounding)"
    operands: ClassVar[int] = 64

    function: str
    dtype: str
    bounds: Bounds = UNBOUNDED

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options function and bounds."""
        function = source.options["function"]
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            refuse(source.place, f"the function must be one of {known}", function, "Export it so.")
        return cls(function, source.outputs[0].dtype, bounds_of(source))

    def multiplies(self) -> bool:
        """Products, quotients and powers."""
        return self.function in ("mul", "div", "floor_div", "pow")

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse an operand that is missing, and another output dtype."""
        for i in range(len(inputs)):
            present(inputs, i)
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """From left to right, then cut."""
        given = [present(inputs, i) for i in range(len(inputs))]
        values = [value.astype(self.dtype, copy=False) for value in given]
        y = np.asarray(reduce(FUNCTIONS[self.function], values)).astype(self.dtype, copy=False)
        if self.bounds != UNBOUNDED:
            # A single operand is handed through and belongs to another node.
            y = y.copy() if len(given) == 1 else y
            cut(y, self.bounds)
        return y
