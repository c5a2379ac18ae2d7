"""What operators share that map each row along the last axis as a whole."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.coarse import CoarseRows
from simulator.numeric.datapath import Datapath
from simulator.numeric.rows import RowFunction
from simulator.work import Work


@dataclass(frozen=True)
class RowOperator(Operator):
    """y[.., :] = f(x[.., :]); the dialect and the dtypes choose the form of f at decoding."""

    function: RowFunction
    dtype: str

    @classmethod
    @abstractmethod
    def form(cls, source: Source) -> RowFunction:
        """The form for the source's tensors; raises Unsupported for those that no runtime takes."""

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Choose the form."""
        return cls(cls.form(source), source.outputs[0].dtype)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse scalars."""
        if not present(inputs, 0).shape:
            raise IllegalGraph(f"{self.kind} needs at least one dimension")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The input's shape."""
        return (present(inputs, 0).shape,)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Row by row over the last axis."""
        x = present(inputs, 0)
        if x.size == 0:
            return (np.empty(x.shape, dtype=self.dtype),)
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        with np.errstate(all="ignore"):
            return (self.function.rows(rows).reshape(x.shape),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """The form's operations an element, and one requantization."""
        x, y = present(inputs, 0), outputs[0]
        inner = self.function.inner if isinstance(self.function, CoarseRows) else self.function
        return Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=self.function.operations * y.elements,
            requantizations=y.elements,
            lookups=inner.lookups * y.elements,
            real_multiplications=inner.real_multiplications * y.elements,
            real_additions=inner.real_additions * y.elements,
        )
