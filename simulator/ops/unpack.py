"""Unpack: one tensor for each index of an axis, the axis gone."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, axis_of
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Unpack(Movement):
    """y_k[..] = x[.., k, ..] for every k along `axis`."""

    kind = "unpack"
    formats = ("tflite:UNPACK",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, data movement only"

    axis: int
    count: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the option axis; one index an output."""
        rank = len(present(source.inputs, 0).shape)
        return cls(axis_of(source.options["axis"], rank, source.place), len(source.outputs))

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The input's shape without the axis, once for each index."""
        if x[self.axis] != self.count:
            raise IllegalGraph(f"{self.count} outputs for {x[self.axis]} indices of {x}")
        return ((*x[: self.axis], *x[self.axis + 1 :]),) * self.count

    def move(self, x: Array) -> tuple[Array, ...]:
        """One index each."""
        return tuple(np.take(x, k, axis=self.axis) for k in range(self.count))
