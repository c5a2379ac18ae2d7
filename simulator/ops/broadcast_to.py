"""Broadcast to: axes of length 1, and missing ones, repeated up to a shape."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape
from simulator.registry import register
from simulator.shapes import broadcast


@register
@final
@dataclass(frozen=True)
class BroadcastTo(Movement):
    """y of `shape` by NumPy's broadcasting rule."""

    kind = "broadcast_to"
    formats = ("tflite:BROADCAST_TO",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/broadcast_to.h (data movement only)"

    shape: Shape

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The shape that the file declares for the output."""
        return cls(source.outputs[0].shape)

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The target, where `x` reaches it."""
        try:
            reached = broadcast(x, self.shape)
        except ValueError:
            reached = ()
        if reached != self.shape:
            raise IllegalGraph(f"{x} does not broadcast to {self.shape}")
        return (self.shape,)

    def move(self, x: Array) -> tuple[Array, ...]:
        """A view with strides of 0."""
        return (np.broadcast_to(x, self.shape),)
