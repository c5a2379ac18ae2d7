"""What operators that reduce axes share: the axes, legality, output shape, counting work.

`Extreme` picks a code, `Total` adds codes up and brings the sum onto the output's grid, `Arg` finds
where an extreme stands.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np

from simulator.decode import constant, present, require_dtypes, single_grid, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.movement import Shape, axis_of, integers, require_one_grid
from simulator.numeric.affine import Affine, affine_array
from simulator.numeric.datapath import Datapath
from simulator.numeric.requantize import Requantize, requantize_array
from simulator.real_work import computes_reals, on_reals
from simulator.work import Work


def decode_axes(source: Source) -> Shape:
    """The constant axes (input 1), counted from 0, each once, in order."""
    rank = len(present(source.inputs, 0).shape)
    named = integers(source, 1, "the axes")
    return tuple(sorted({axis_of(k, rank, source.place) for k in named}))


@dataclass(frozen=True)
class Reduction(Operator):
    """One value for all the elements along `axes`, which vanish or, kept, have length 1."""

    axes: Shape
    keep_dims: bool

    @abstractmethod
    def reduce(self, x: Array) -> Array:
        """The reduced tensor, the axes gone."""

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse axes that the input does not have, and another dtype."""
        x = present(inputs, 0)
        if self.axes and self.axes[-1] >= len(x.shape):
            raise IllegalGraph(f"axes {self.axes} of a tensor of shape {x.shape}")
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(
                f"{self.kind} keeps its dtype; found {x.dtype} and {outputs[0].dtype}"
            )

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """The input's shape with the axes dropped or set to 1."""
        return (self._shape(present(inputs, 0).shape),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Reduce."""
        x = present(inputs, 0)
        return (self.reduce(x).reshape(self._shape(x.shape)),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One operation an input element, one requantization an output."""
        x, y = present(inputs, 0), outputs[0]
        return Work(
            activation_bits=x.bits,
            output_bits=y.bits,
            input_elements=x.elements,
            output_elements=y.elements,
            elementwise=x.elements,
            requantizations=y.elements,
        )

    def _shape(self, x: Shape) -> Shape:
        if self.keep_dims:
            return tuple(1 if k in self.axes else size for k, size in enumerate(x))
        return tuple(size for k, size in enumerate(x) if k not in self.axes)


@dataclass(frozen=True)
class Extreme(Reduction):
    """The largest or the smallest code: on one grid the code order is the order of the reals."""

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant axes and the option keep_dims; input and output on one grid."""
        require_one_grid(source)
        return cls(decode_axes(source), bool(source.options.get("keep_dims", False)))


@dataclass(frozen=True)
class Total(Reduction):
    """y = clamp(rescale(sum of the codes less their zero points)).

    `rescale` is a fixed-point multiplier on sum - count zx, or (where the runtime computes in
    float32) an affine map of the plain sum whose offset holds the zero points. The sum wraps at 32
    bits, as the references' does.
    """

    rescale: Requantize | Affine
    input_zero_point: int
    dtype: str

    @property
    def single_precision(self) -> bool:
        """Whether the sum is rescaled in float32 instead of fixed point."""
        return isinstance(self.rescale, Affine)

    def rescaled(self, x: Array, dtype: str) -> Array:
        """Sums of `x` over the axes as codes of `dtype`."""
        total = x.sum(axis=self.axes, dtype=np.int64)
        if isinstance(self.rescale, Affine):
            return affine_array(total, self.rescale, dtype)
        count = prod(x.shape[k] for k in self.axes)
        centred = (total - count * self.input_zero_point).astype(np.int32)
        flat = np.ascontiguousarray(centred).reshape(-1, 1)
        return requantize_array(flat, self.rescale, dtype).reshape(total.shape)


@dataclass(frozen=True)
class TotalSource:
    """What every `Total` reads of its node; x and y are (scale, zero point), `limits` are y's."""

    axes: Shape
    keep_dims: bool
    x: tuple[float, int]
    y: tuple[float, int]
    count: int
    dtype: str
    limits: tuple[int, int]


def decode_total(source: Source) -> TotalSource:
    """Constant axes, the option keep_dims and the grids; refuses dtypes that are no codes."""
    require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "int16"))
    x = single_grid(source.inputs[0], source.place, "the input")
    y = single_grid(source.outputs[0], source.place, "the output")
    axes, kind = decode_axes(source), present(source.inputs, 0)
    if kind.dtype == "int16" and (x[1] or y[1]):
        raise IllegalGraph(f"{source.place}: int16 tensors need a zero point of 0")
    count = max(prod(kind.shape[k] for k in axes), 1)
    keep_dims = bool(source.options.get("keep_dims", False))
    limits = value_range(source.outputs[0])
    return TotalSource(axes, keep_dims, x, y, count, kind.dtype, limits)


@dataclass(frozen=True)
class Arg(Operator):
    """The index of an extreme along `axis`, the first of equals; the axis vanishes."""

    axis: int
    dtype: str

    @abstractmethod
    def find(self, x: Array) -> Array:
        """The indices."""

    @classmethod
    def decode(cls, source: Source) -> Self:
        """The constant axis; the dtype is the output's."""
        (axis,) = (int(v) for v in constant(source, 1, "the axis").reshape(-1))
        rank = len(present(source.inputs, 0).shape)
        return cls(axis_of(axis, rank, source.place), source.outputs[0].dtype)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse an axis without elements and an output that holds no indices."""
        x = present(inputs, 0).shape
        if x[self.axis] == 0:
            raise IllegalGraph(f"axis {self.axis} of {x} has no elements to choose from")
        if outputs[0].dtype not in ("int32", "int64"):
            raise IllegalGraph(f"indices must be int32 or int64; found {outputs[0].dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """The input's shape without the axis."""
        x = present(inputs, 0).shape
        return ((*x[: self.axis], *x[self.axis + 1 :]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Find."""
        return (np.asarray(self.find(present(inputs, 0)), dtype=self.dtype),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One comparison an element."""
        x = present(inputs, 0)
        work = Work(
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            output_elements=outputs[0].elements,
            elementwise=x.elements,
        )
        return on_reals(work, 0, 0) if computes_reals((x,)) else work
