"""Reductions of real or integer values over axes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Self, final

import numpy as np

from simulator.decode import present, refuse
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.real_work import computes_reals, on_reals
from simulator.registry import register
from simulator.work import Work

FUNCTIONS: Final[MappingProxyType[str, Callable[..., Any]]] = MappingProxyType(
    {"max": np.max, "min": np.min, "mean": np.mean, "sum": np.sum}
)


@register
@final
@dataclass(frozen=True)
class FloatReduce(Operator):
    """Max, min, mean or sum over `axes`, kept as ones with `keep`; sums in double, rounded once.

    Not `reduce_max`, `mean` or `sum`, which have grids.
    """

    kind = "float_reduce"
    formats = (
        *("onnx:ReduceMax", "onnx:ReduceMin", "onnx:ReduceMean", "onnx:ReduceSum"),
        *("tflite:MEAN[numbers]", "tflite:SUM[numbers]"),
    )
    reference = "ONNX Runtime 1.31.1, reductions (mean and sum: to rounding)"

    function: str
    axes: tuple[int, ...]
    keep: bool

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options function, axes (from 0) and keep."""
        function = source.options["function"]
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            refuse(source.place, f"the function must be one of {known}", function, "Export it so.")
        return cls(function, tuple(source.options["axes"]), bool(source.options["keep"]))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse axes that are not there, and another output dtype."""
        x = present(inputs, 0)
        if not all(0 <= axis < len(x.shape) for axis in self.axes):
            raise IllegalGraph(f"axes {self.axes} of a tensor of shape {x.shape}")
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"it keeps its dtype; found {x.dtype} and {outputs[0].dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """Ones along the axes, or nothing."""
        x = present(inputs, 0).shape
        kept = [1 if axis in self.axes else n for axis, n in enumerate(x)]
        return (tuple(n for axis, n in enumerate(kept) if self.keep or axis not in self.axes),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """All elements of each remaining position."""
        x = present(inputs, 0)
        wide = np.float64 if x.dtype.kind == "f" else np.int64
        y = FUNCTIONS[self.function](x.astype(wide), axis=self.axes, keepdims=self.keep)
        return (np.asarray(y).astype(x.dtype),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One operation an input element."""
        x = present(inputs, 0)
        work = Work(
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            output_elements=outputs[0].elements,
            elementwise=x.elements,
        )
        return on_reals(work, 0, 0) if computes_reals((x,)) else work
