"""Gather: slices of a tensor picked by an index tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import present
from simulator.errors import IllegalGraph, IllegalValues
from simulator.graph import Array, Operator, Source, TensorType
from simulator.movement import Shape, axis_of
from simulator.numeric.datapath import Datapath
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class Gather(Operator):
    """y[b.., o.., k.., i..] = x[b.., o.., indices[b.., k..], i..], the index read along `axis`.

    The first `batch_dims` axes are common to both inputs.
    """

    kind = "gather"
    formats = ("tflite:GATHER",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/gather.h (data movement only)"

    axis: int
    batch_dims: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options axis and batch_dims."""
        x, indices = present(source.inputs, 0), present(source.inputs, 1)
        axis = axis_of(source.options["axis"], len(x.shape), source.place)
        batch = int(source.options.get("batch_dims", 0))
        return cls(axis, batch + len(indices.shape) if batch < 0 else batch)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse indices that are no integers, batch axes that differ, and another dtype."""
        x, indices = present(inputs, 0), present(inputs, 1)
        batch = self.batch_dims
        if indices.dtype not in ("int16", "int32", "int64"):
            raise IllegalGraph(f"indices must be int16, int32 or int64; found {indices.dtype}")
        if not 0 <= batch <= self.axis or x.shape[:batch] != indices.shape[:batch]:
            raise IllegalGraph(
                f"{batch} batch axes of {x.shape} and {indices.shape} along axis {self.axis}"
            )
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"gather keeps its dtype; found {x.dtype} and {outputs[0].dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """The index axes in the place of the gathered one."""
        x, indices = present(inputs, 0).shape, present(inputs, 1).shape
        return ((*x[: self.axis], *indices[self.batch_dims :], *x[self.axis + 1 :]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Raises IllegalValues where an index lies outside the axis."""
        x, indices = present(inputs, 0), present(inputs, 1)
        size = x.shape[self.axis]
        if indices.size and (indices.min() < 0 or indices.max() >= size):
            worst = indices.min() if indices.min() < 0 else indices.max()
            raise IllegalValues(f"index {worst} lies outside axis {self.axis} of {size} elements")
        batch = self.batch_dims
        if batch == 0:
            return (np.take(x, indices, axis=self.axis),)
        lead = x.shape[:batch]
        rows = x.reshape(-1, *x.shape[batch:])
        picks = indices.reshape(-1, *indices.shape[batch:])
        pairs = zip(rows, picks, strict=True)
        out = np.stack([np.take(row, pick, axis=self.axis - batch) for row, pick in pairs])
        return (out.reshape(*lead, *out.shape[1:]),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One move an output element."""
        x, indices = present(inputs, 0), present(inputs, 1)
        return Work(
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements + indices.elements,
            output_elements=outputs[0].elements,
            elementwise=outputs[0].elements,
        )
