"""Split into parts of given sizes along one axis."""

from typing import Self, final

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Source
from simulator.movement import Parts, axis_of, integers
from simulator.registry import register


@register
@final
class SplitV(Parts):
    """Consecutive parts of the given sizes; inputs are (x, sizes, axis)."""

    kind = "split_v"
    formats = ("tflite:SPLIT_V",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, data movement only"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant sizes and axis; a size of -1 takes what the others leave."""
        sizes = integers(source, 1, "the sizes")
        (axis,) = integers(source, 2, "the axis")
        x = present(source.inputs, 0).shape
        axis = axis_of(axis, len(x), source.place)
        if sizes.count(-1) > 1:
            raise IllegalGraph(f"{source.place}: only one size may be -1; found {sizes}")
        rest = x[axis] - sum(s for s in sizes if s != -1)
        return cls(axis, tuple(rest if s == -1 else s for s in sizes))
