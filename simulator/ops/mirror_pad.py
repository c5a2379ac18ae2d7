"""Pad with the tensor's own elements, mirrored at its edges."""

from dataclasses import dataclass
from typing import Literal, Self, final

import numpy as np

from simulator.decode import refuse
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, integers, require_one_grid
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class MirrorPad(Movement):
    """x continued by its mirror image: `reflect` leaves the edge out, `symmetric` repeats it."""

    kind = "mirror_pad"
    formats = ("tflite:MIRROR_PAD",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, mirror_pad.cc (data movement only)"

    before: Shape
    after: Shape
    mode: Literal["reflect", "symmetric"]

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant paddings and the option mode; input and output on one grid."""
        require_one_grid(source)
        pads = integers(source, 1, "the paddings")
        mode = source.options["mode"]
        if mode not in ("REFLECT", "SYMMETRIC"):
            refuse(source.place, "mode must be REFLECT or SYMMETRIC", mode, "Export it anew.")
        return cls(pads[::2], pads[1::2], "reflect" if mode == "REFLECT" else "symmetric")

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The input's size and the padding's, added; a mirror shows no more than the tensor."""
        if not len(x) == len(self.before) == len(self.after):
            raise IllegalGraph(f"{len(self.before)} paddings for an input of shape {x}")
        edge = 1 if self.mode == "reflect" else 0
        for size, before, after in zip(x, self.before, self.after, strict=True):
            if not (0 <= before <= size - edge and 0 <= after <= size - edge):
                raise IllegalGraph(
                    f"{self.mode} padding of {before} and {after} on an axis of {size}"
                )
        sizes = zip(self.before, x, self.after, strict=True)
        return (tuple(sum(s) for s in sizes),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """Mirror along every axis."""
        pads = list(zip(self.before, self.after, strict=True))
        return (np.pad(x, pads, mode=self.mode),)
