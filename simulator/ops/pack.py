"""Pack: tensors of one shape along a new axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.movement import Shape, axis_of
from simulator.numeric.datapath import Datapath
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class Pack(Operator):
    """y[.., k, ..] = x_k[..], k along the new `axis`."""

    kind = "pack"
    formats = ("tflite:PACK",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, data movement only"

    axis: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the option axis."""
        rank = len(source.outputs[0].shape)
        return cls(axis_of(source.options["axis"], rank, source.place))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse inputs that differ in shape, and another dtype."""
        kinds = [present(inputs, i) for i in range(len(inputs))]
        if any(k.shape != kinds[0].shape for k in kinds):
            raise IllegalGraph(f"pack needs one shape; found {[k.shape for k in kinds]}")
        if any(k.dtype != outputs[0].dtype for k in kinds):
            raise IllegalGraph(f"pack keeps its dtype; found {[k.dtype for k in kinds]}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """The inputs' shape with the new axis."""
        x = present(inputs, 0).shape
        return ((*x[: self.axis], len(inputs), *x[self.axis :]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Stack."""
        parts = [present(inputs, i) for i in range(len(inputs))]
        return (np.stack(parts, axis=self.axis),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One move an element."""
        return Work(
            activation_bits=outputs[0].bits,
            output_bits=outputs[0].bits,
            input_elements=outputs[0].elements,
            output_elements=outputs[0].elements,
            elementwise=outputs[0].elements,
        )
