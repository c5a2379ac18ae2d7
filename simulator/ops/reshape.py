"""Reshape: the same elements in the same order under another shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Self, final

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class Reshape(Operator):
    """y = x with the shape that the file declares for the output."""

    kind = "reshape"
    formats = ("tflite:RESHAPE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, data movement only"
    in_place = "view"

    shape: tuple[int, ...]

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The declared output shape is the resolved one (-1 filled in)."""
        return cls(source.outputs[0].shape)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another number of elements or another dtype."""
        x, y = present(inputs, 0), outputs[0]
        if x.elements != prod(self.shape):
            raise IllegalGraph(
                f"{x.shape} has {x.elements} elements; {self.shape} needs {prod(self.shape)}"
            )
        if x.dtype != y.dtype:
            raise IllegalGraph(f"reshape keeps its dtype; found {x.dtype} and {y.dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The new shape."""
        return (self.shape,)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """A view."""
        return (present(inputs, 0).reshape(self.shape),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """Elements read and written once; runtimes that copy nothing still dispatch it."""
        x = present(inputs, 0)
        return Work(
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            output_elements=outputs[0].elements,
        )
