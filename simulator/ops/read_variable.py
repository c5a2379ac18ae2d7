"""Read a variable: the value that the last assignment, in this run or an earlier one, gave it."""

from dataclasses import dataclass
from typing import Self, final

from simulator.graph import Array, Source
from simulator.movement import Movement, Shape
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class ReadVariable(Movement):
    """y = the variable, input 0, as it stands when this node runs."""

    kind = "read_variable"
    formats = ("tflite:READ_VARIABLE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, read_variable.cc"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Nothing to decode: the importer has put the variable in the handle's place."""
        return cls()

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The variable's shape."""
        return (x,)

    def move(self, x: Array) -> tuple[Array, ...]:
        """The value itself: arrays are never changed in place."""
        return (x,)
