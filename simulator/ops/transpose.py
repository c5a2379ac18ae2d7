"""Transpose: the axes in another order."""

from dataclasses import dataclass
from typing import Self, final

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, axis_of, integers
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Transpose(Movement):
    """Axis k of y is axis `order[k]` of x."""

    kind = "transpose"
    formats = ("tflite:TRANSPOSE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/transpose.h (data movement only)"

    order: Shape

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The constant permutation."""
        rank = len(present(source.inputs, 0).shape)
        order = integers(source, 1, "the permutation")
        return cls(tuple(axis_of(k, rank, source.place) for k in order))

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The input's sizes in the new order."""
        if sorted(self.order) != list(range(len(x))):
            raise IllegalGraph(f"{self.order} is no permutation of the axes of shape {x}")
        return (tuple(x[k] for k in self.order),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """A view with permuted strides."""
        return (x.transpose(self.order),)
