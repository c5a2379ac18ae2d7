"""Space to depth: blocks of the plane stacked as channels."""

from dataclasses import dataclass
from typing import Self, final

from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class SpaceToDepth(Movement):
    """y[n, h, w, (i b + j) channels + c] = x[n, h b + i, w b + j, c] for a block of b x b."""

    kind = "space_to_depth"
    formats = ("tflite:SPACE_TO_DEPTH",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/space_to_depth.h (data movement only)"

    block: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the option block_size."""
        return cls(source.options["block_size"])

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """(n, h / b, w / b, c b^2)."""
        b = self.block
        if len(x) != 4 or b < 1 or x[1] % b or x[2] % b:
            raise IllegalGraph(f"a block of {b} does not divide the plane of shape {x}")
        return ((x[0], x[1] // b, x[2] // b, x[3] * b * b),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """Split rows and columns and stack."""
        n, height, width, channels = x.shape
        b = self.block
        blocks = x.reshape(n, height // b, b, width // b, b, channels)
        return (blocks.transpose(0, 1, 3, 2, 4, 5).reshape(self.shapes(x.shape)[0]),)
