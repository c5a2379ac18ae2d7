"""Slice: a box of a tensor."""

from typing import Self, final

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Source
from simulator.movement import Slicing, integers
from simulator.registry import register


@register
@final
class Slice(Slicing):
    """y[i] = x[begin + i] for `size` elements along each axis."""

    kind = "slice"
    formats = ("tflite:SLICE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/slice.h (data movement only)"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant begin and size; a size of -1 reaches to the end."""
        begin = integers(source, 1, "the begin")
        size = integers(source, 2, "the size")
        x = present(source.inputs, 0).shape
        if not len(begin) == len(size) == len(x):
            raise IllegalGraph(
                f"{source.place}: begin {begin} and size {size} for an input of shape {x}"
            )
        count = tuple(n - b if s == -1 else s for n, b, s in zip(x, begin, size, strict=True))
        if min(count, default=0) < 0:
            raise IllegalGraph(f"{source.place}: size {size} from {begin} in shape {x}")
        return cls(begin, count, (1,) * len(x), count)
