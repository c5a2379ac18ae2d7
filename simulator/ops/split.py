"""Split: equal parts of a tensor along one axis."""

from typing import ClassVar, Self, final

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Source
from simulator.movement import Parts, axis_of, integers
from simulator.registry import register


@register
@final
class Split(Parts):
    """As many equal parts as there are outputs; inputs are (axis, x)."""

    kind = "split"
    formats = ("tflite:SPLIT",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, data movement only"
    operand: ClassVar[int] = 1

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The constant axis; one part an output."""
        (axis,) = integers(source, 0, "the axis")
        x = present(source.inputs, 1).shape
        axis = axis_of(axis, len(x), source.place)
        parts = len(source.outputs)
        if x[axis] % parts:
            raise IllegalGraph(
                f"{source.place}: {x[axis]} elements do not split into {parts} equal parts"
            )
        return cls(axis, (x[axis] // parts,) * parts)
