"""What operators that only move elements share: the same dtype, codes untouched, no arithmetic.

`Movement` takes one tensor and gives one or several; `Slicing` and `Parts` are its two families.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import ClassVar

import numpy as np

from simulator.decode import constant, present, refuse
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.work import Work

Shape = tuple[int, ...]


def axis_of(axis: int, rank: int, place: str) -> int:
    """`axis` counted from 0; a negative one counts from the end. Raises IllegalGraph outside."""
    if not -rank <= axis < rank:
        raise IllegalGraph(f"{place}: axis {axis} lies outside a tensor of {rank} dimensions")
    return axis % rank


def integers(source: Source, index: int, what: str) -> tuple[int, ...]:
    """A constant input as plain integers; raises Unsupported where it is computed at run time."""
    return tuple(int(v) for v in constant(source, index, what).reshape(-1))


def fill_of(kind: TensorType) -> int:
    """The code that stands for zero in a tensor: its zero point, 0 where it is not quantized."""
    return 0 if kind.quant is None else kind.quant.zero_point[0]


def require_one_grid(source: Source) -> None:
    """Refuse an output on another grid than input 0, where the reference does."""
    x, y = present(source.inputs, 0).quant, source.outputs[0].quant
    if x is not None and y is not None and (x.scale, x.zero_point) != (y.scale, y.zero_point):
        refuse(
            source.place,
            "input and output must be on one grid",
            f"{(x.scale, x.zero_point)} and {(y.scale, y.zero_point)}",
            "Requantize one of them.",
        )


@dataclass(frozen=True)
class Movement(Operator):
    """Outputs hold elements of one input (or a fill value), bit for bit."""

    operand: ClassVar[int] = 0
    """Which input holds the elements; the others say where they go."""
    copies: ClassVar[bool] = True
    """Whether elements change place; a mere change of shape moves none."""

    @abstractmethod
    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The shape of each output; raises IllegalGraph where `x` does not fit."""

    @abstractmethod
    def move(self, x: Array) -> tuple[Array, ...]:
        """The outputs."""

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse another dtype: codes are moved, never converted."""
        x = present(inputs, self.operand)
        for y in outputs:
            if y.dtype != x.dtype:
                raise IllegalGraph(f"{self.kind} keeps its dtype; found {x.dtype} and {y.dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """As `shapes` of the operand."""
        return self.shapes(present(inputs, self.operand).shape)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Move the elements."""
        return tuple(np.asarray(y, order="C") for y in self.move(present(inputs, self.operand)))

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One move an output element; none where only the shape changes."""
        x = present(inputs, self.operand)
        moved = sum(y.elements for y in outputs)
        return Work(
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            output_elements=moved,
            elementwise=moved if self.copies else 0,
        )


@dataclass(frozen=True)
class Slicing(Movement):
    """y[i] = x[start + i * step] along each axis, `count` elements; then the shape is set.

    `shape` drops the axes that an index selects and adds new ones of length 1.
    """

    start: Shape
    count: Shape
    step: Shape
    shape: Shape

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The declared shape, where every index lies inside `x`."""
        if len(x) != len(self.start):
            raise IllegalGraph(f"{self.kind} of {len(self.start)} axes on an input of shape {x}")
        ranges = zip(x, self.start, self.count, self.step, strict=True)
        for size, start, count, step in ranges:
            last = start + (count - 1) * step
            if count and not (0 <= start < size and 0 <= last < size):
                raise IllegalGraph(
                    f"{self.kind} takes elements {start} to {last} of an axis of {size}"
                )
        if prod(self.count) != prod(self.shape):
            raise IllegalGraph(f"{prod(self.count)} elements do not make a shape of {self.shape}")
        return (self.shape,)

    def move(self, x: Array) -> tuple[Array, ...]:
        """Strided reads."""
        index = []
        for start, count, step in zip(self.start, self.count, self.step, strict=True):
            stop = start + count * step
            # A stop below 0 would count from the end: there it is None.
            index.append(slice(start, stop if stop >= 0 else None, step) if count else slice(0))
        return (x[tuple(index)].reshape(self.shape),)


@dataclass(frozen=True)
class Parts(Movement):
    """Consecutive parts of `sizes` elements along `axis`."""

    axis: int
    sizes: Shape

    def shapes(self, x: Shape) -> tuple[Shape, ...]:
        """The input's shape with each part's size."""
        if self.axis >= len(x) or sum(self.sizes) != x[self.axis] or min(self.sizes) < 0:
            raise IllegalGraph(f"parts of {self.sizes} along axis {self.axis} of shape {x}")
        return tuple((*x[: self.axis], size, *x[self.axis + 1 :]) for size in self.sizes)

    def move(self, x: Array) -> tuple[Array, ...]:
        """One slice a part."""
        lead = (slice(None),) * self.axis
        ends = accumulate(self.sizes, initial=0)
        return tuple(x[(*lead, slice(first, last))] for first, last in pairwise(ends))
