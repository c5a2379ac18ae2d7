"""QLinearConcat: 8-bit tensors side by side, brought onto one grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.byte_table import float_table
from simulator.decode import present, require_dtypes, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class QLinearConcat(Operator):
    """Inputs one after the other along `axis`, each through its own table of codes.

    An input already on the output's grid has the identity for a table.
    """

    kind = "qlinear_concat"
    formats = ("onnx:com.microsoft.QLinearConcat",)
    reference = "ONNX Runtime 1.31.1, qlinear_concat.cc"

    axis: int
    tables: tuple[tuple[int, ...], ...]
    least: tuple[int, ...]
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the option axis and every input's grid."""
        y = source.outputs[0]
        require_dtypes(source.place, source.inputs, (y.dtype,))
        kinds = [present(source.inputs, i) for i in range(len(source.inputs))]
        tables = tuple(float_table(lambda real: real, x, y, source.place) for x in kinds)
        least = tuple(value_range(x)[0] for x in kinds)
        return cls(source.options["axis"], tables, least, y.dtype)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse ranks that differ or lack the axis."""
        ranks = {len(present(inputs, i).shape) for i in range(len(inputs))}
        if len(ranks) != 1 or not 0 <= self.axis < ranks.pop():
            raise IllegalGraph(f"inputs cannot be joined along axis {self.axis}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The sizes along the axis added up."""
        shapes = [present(inputs, i).shape for i in range(len(inputs))]
        lead, rest = shapes[0][: self.axis], shapes[0][self.axis + 1 :]
        for shape in shapes:
            if (shape[: self.axis], shape[self.axis + 1 :]) != (lead, rest):
                raise IllegalGraph(f"shapes {shapes} differ outside axis {self.axis}")
        return ((*lead, sum(shape[self.axis] for shape in shapes), *rest),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Look every code up, then join."""
        parts = [
            np.array(table, dtype=self.dtype)[present(inputs, i).astype(np.int64) - least]
            for i, (table, least) in enumerate(zip(self.tables, self.least, strict=True))
        ]
        return (np.concatenate(parts, axis=self.axis),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One look-up an element."""
        y = outputs[0]
        return Work(
            activation_bits=present(inputs, 0).bits,
            output_bits=y.bits,
            input_elements=y.elements,
            output_elements=y.elements,
            elementwise=y.elements,
            lookups=y.elements,
        )
