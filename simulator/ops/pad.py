"""Pad with the code of zero, or with a given one."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import constant, optional
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, fill_of, integers
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Pad(Movement):
    """x inside `before` and `after` elements of `fill` along each axis.

    The fill is a code: the output's zero point, or the constant third input of PADV2.
    """

    kind = "pad"
    formats = ("tflite:PAD", "tflite:PADV2")
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/pad.h (data movement only)"

    before: Shape
    after: Shape
    fill: float | int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant paddings, one (before, after) an axis."""
        pads = integers(source, 1, "the paddings")
        fill: float | int = fill_of(source.outputs[0])
        if optional(source.inputs, 2) is not None:
            fill = constant(source, 2, "the padding value").reshape(-1)[0].item()
        return cls(pads[::2], pads[1::2], fill)

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The input's size and the padding's, added."""
        if not len(x) == len(self.before) == len(self.after):
            raise IllegalGraph(f"{len(self.before)} paddings for an input of shape {x}")
        if min((*self.before, *self.after), default=0) < 0:
            raise IllegalGraph(f"paddings must be >= 0; found {self.before} and {self.after}")
        sizes = zip(self.before, x, self.after, strict=True)
        return (tuple(sum(s) for s in sizes),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """The filled tensor with x inside."""
        (shape,) = self.shapes(x.shape)
        out = np.full(shape, self.fill, dtype=x.dtype)
        inside = zip(self.before, x.shape, strict=True)
        out[tuple(slice(start, start + size) for start, size in inside)] = x
        return (out,)
