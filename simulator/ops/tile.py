"""Tile: a tensor repeated along its axes."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, integers
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Tile(Movement):
    """y[i] = x[i mod size], `multiples` copies along each axis."""

    kind = "tile"
    formats = ("tflite:TILE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, data movement only"

    multiples: Shape

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The constant multiples."""
        return cls(integers(source, 1, "the multiples"))

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """Sizes times multiples."""
        if len(x) != len(self.multiples) or min(self.multiples, default=0) < 0:
            raise IllegalGraph(f"multiples {self.multiples} for an input of shape {x}")
        return (tuple(n * m for n, m in zip(x, self.multiples, strict=True)),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """Repeat."""
        return (np.tile(x, self.multiples),)
