"""Space to batch: padded images taken apart into a larger batch of smaller ones."""

from dataclasses import dataclass
from math import prod
from typing import Self, final

import numpy as np

from simulator.errors import IllegalGraph
from simulator.graph import Array, Source
from simulator.movement import Movement, Shape, fill_of, integers
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class SpaceToBatchND(Movement):
    """Image i n + b of the result holds the elements at offset i (row by row) of image b's blocks.

    `block` has one size for each spatial axis, padded before with `before` and `after` elements of
    `fill`, the output's zero point.
    """

    kind = "space_to_batch_nd"
    formats = ("tflite:SPACE_TO_BATCH_ND",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/space_to_batch_nd.h (data movement only)"

    block: Shape
    before: Shape
    after: Shape
    fill: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant block shape and paddings."""
        pads = integers(source, 2, "the paddings")
        block = integers(source, 1, "the block shape")
        return cls(block, pads[::2], pads[1::2], fill_of(source.outputs[0]))

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The batch multiplied by the block, each padded axis divided."""
        axes = len(self.block)
        if not axes == len(self.before) == len(self.after) < len(x):
            raise IllegalGraph(f"{axes} block sizes, {len(self.before)} paddings, shape {x}")
        sizes = self._padded(x)
        if min(self.block, default=0) < 1 or any(
            n % b for n, b in zip(sizes, self.block, strict=True)
        ):
            raise IllegalGraph(f"a block of {self.block} does not divide padded sizes {sizes}")
        divided = tuple(n // b for n, b in zip(sizes, self.block, strict=True))
        return ((x[0] * prod(self.block), *divided, *x[axes + 1 :]),)

    def move(self, x: Array) -> tuple[Array, ...]:
        """Pad, then take apart."""
        (shape,) = self.shapes(x.shape)
        axes = len(self.block)
        padded = np.full(
            (x.shape[0], *self._padded(x.shape), *x.shape[axes + 1 :]), self.fill, dtype=x.dtype
        )
        inside = zip(self.before, x.shape[1 : axes + 1], strict=True)
        padded[(slice(None), *(slice(first, first + n) for first, n in inside))] = x
        sizes = []
        for n, b in zip(shape[1 : axes + 1], self.block, strict=True):
            sizes += [n, b]
        blocks = padded.reshape(x.shape[0], *sizes, *x.shape[axes + 1 :])
        offsets = range(2, 2 * axes + 1, 2)
        places = range(1, 2 * axes + 1, 2)
        rest = range(2 * axes + 1, blocks.ndim)
        return (blocks.transpose(*offsets, 0, *places, *rest).reshape(shape),)

    def _padded(self, x: Shape) -> Shape:
        sizes = x[1 : len(self.block) + 1]
        return tuple(sum(s) for s in zip(self.before, sizes, self.after, strict=True))
