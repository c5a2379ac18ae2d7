"""Squeeze: axes of length 1 dropped."""

from dataclasses import dataclass
from typing import ClassVar, Self, final

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, axis_of
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Squeeze(Movement):
    """y = x without the axes in `axes`, each of length 1."""

    kind = "squeeze"
    formats = ("tflite:SQUEEZE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, data movement only"
    copies: ClassVar[bool] = False
    in_place = "view"

    axes: Shape

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the option squeeze_dims; none of them means every axis of length 1."""
        x = present(source.inputs, 0).shape
        named = source.options.get("squeeze_dims", ())
        if not named:
            return cls(tuple(k for k, size in enumerate(x) if size == 1))
        return cls(tuple(sorted({axis_of(k, len(x), source.place) for k in named})))

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The other axes' sizes."""
        if any(x[k] != 1 for k in self.axes):
            raise IllegalGraph(f"only axes of length 1 can be dropped; found {self.axes} of {x}")
        return (tuple(size for k, size in enumerate(x) if k not in self.axes),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """A view."""
        return (x.reshape(self.shapes(x.shape)[0]),)
