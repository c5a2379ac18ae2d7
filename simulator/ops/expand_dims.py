"""Expand dims: a new axis of length 1."""

from dataclasses import dataclass
from typing import ClassVar, Self, final

from simulator.decode import present
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, axis_of, integers
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class ExpandDims(Movement):
    """y = x with an axis of length 1 before axis `axis`."""

    kind = "expand_dims"
    formats = ("tflite:EXPAND_DIMS",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, data movement only"
    copies: ClassVar[bool] = False
    in_place = "view"

    axis: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The constant axis of the output."""
        (axis,) = integers(source, 1, "the axis")
        rank = len(present(source.inputs, 0).shape) + 1
        return cls(axis_of(axis, rank, source.place))

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The input's sizes and a 1."""
        return ((*x[: self.axis], 1, *x[self.axis :]),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """A view."""
        return (x.reshape(self.shapes(x.shape)[0]),)
