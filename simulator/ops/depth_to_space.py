"""Depth to space: blocks of channels spread over the plane."""

from dataclasses import dataclass
from typing import Self, final

from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class DepthToSpace(Movement):
    """y[n, h b + i, w b + j, c] = x[n, h, w, (i b + j) channels + c] for a block of b x b."""

    kind = "depth_to_space"
    formats = ("tflite:DEPTH_TO_SPACE",)
    reference = "LiteRT 2.3.0, reference/depth_to_space.h (data movement only)"

    block: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the option block_size."""
        return cls(source.options["block_size"])

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """(n, h b, w b, c / b^2)."""
        b = self.block
        if len(x) != 4 or b < 1 or x[3] % (b * b):
            raise IllegalGraph(f"a block of {b} does not fit the channels of shape {x}")
        return ((x[0], x[1] * b, x[2] * b, x[3] // (b * b)),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """Split the channels and interleave."""
        n, height, width, channels = x.shape
        b = self.block
        blocks = x.reshape(n, height, width, b, b, channels // (b * b))
        return (blocks.transpose(0, 1, 3, 2, 4, 5).reshape(self.shapes(x.shape)[0]),)
