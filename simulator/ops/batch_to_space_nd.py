"""Batch to space: images of the batch interleaved into larger ones, then cropped."""

from dataclasses import dataclass
from math import prod
from typing import Self, final

from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, integers
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class BatchToSpaceND(Movement):
    """Image i n + b of the batch holds the elements at offset i (row by row) of image b's blocks.

    `block` has one size for each spatial axis; the result loses `before` and `after` elements.
    """

    kind = "batch_to_space_nd"
    formats = ("tflite:BATCH_TO_SPACE_ND",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/batch_to_space_nd.h (data movement only)"

    block: Shape
    before: Shape
    after: Shape

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant block shape and crops."""
        crops = integers(source, 2, "the crops")
        return cls(integers(source, 1, "the block shape"), crops[::2], crops[1::2])

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The batch divided by the block, each axis multiplied and cropped."""
        axes = len(self.block)
        fits = len(x) > axes and min(self.block, default=0) >= 1
        if not fits or x[0] % prod(self.block):
            raise IllegalGraph(f"a block of {self.block} does not divide the batch of shape {x}")
        if not axes == len(self.before) == len(self.after):
            raise IllegalGraph(f"{axes} block sizes, {len(self.before)} crops")
        sizes = tuple(
            size * b - first - last
            for size, b, first, last in zip(
                x[1 : axes + 1], self.block, self.before, self.after, strict=True
            )
        )
        if min((*sizes, *self.before, *self.after)) < 0:
            raise IllegalGraph(f"crops {self.before} and {self.after} leave {sizes}")
        return ((x[0] // prod(self.block), *sizes, *x[axes + 1 :]),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """Interleave, then crop."""
        (shape,) = self.shapes(x.shape)
        axes = len(self.block)
        blocks = x.reshape(*self.block, shape[0], *x.shape[1:])
        order = [axes]
        for k in range(axes):
            order += [axes + 1 + k, k]
        rest = range(2 * axes + 1, blocks.ndim)
        whole = [n * b for n, b in zip(x.shape[1 : axes + 1], self.block, strict=True)]
        grown = blocks.transpose(*order, *rest).reshape(shape[0], *whole, *x.shape[axes + 1 :])
        kept = zip(self.before, shape[1 : axes + 1], strict=True)
        return (grown[(slice(None), *(slice(first, first + n) for first, n in kept))],)
