"""GatherNd: elements or slices of a tensor, each picked by a whole index vector."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import present
from simulator.errors import IllegalGraph, IllegalValues
from simulator.graph import Array, Operator, Source, TensorType
from simulator.movement import Shape
from simulator.numeric.datapath import Datapath
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class GatherNd(Operator):
    """y[k.., i..] = x[indices[k.., 0], indices[k.., 1], .., i..].

    The last axis of the indices names leading axes of x. Not `gather`, which picks along one axis.
    """

    kind = "gather_nd"
    formats = ("tflite:GATHER_ND",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference_ops.h GatherNd (data movement only)"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """No options."""
        return cls()

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse indices that are no integers or longer than x has axes, and another dtype."""
        x, indices = present(inputs, 0), present(inputs, 1)
        if indices.dtype not in ("int16", "int32", "int64"):
            raise IllegalGraph(f"indices must be int16, int32 or int64; found {indices.dtype}")
        if not indices.shape or not 0 < indices.shape[-1] <= len(x.shape):
            raise IllegalGraph(f"indices of shape {indices.shape} do not index {x.shape}")
        if outputs[0].dtype != x.dtype:
            raise IllegalGraph(f"gather keeps its dtype; found {x.dtype} and {outputs[0].dtype}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """The axes of the indices but the last, then those of x that they leave."""
        x, indices = present(inputs, 0).shape, present(inputs, 1).shape
        return ((*indices[:-1], *x[indices[-1] :]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Raises IllegalValues where an index lies outside its axis."""
        x, indices = present(inputs, 0), present(inputs, 1)
        sizes = np.array(x.shape[: indices.shape[-1]])
        outside = (indices < 0) | (indices >= sizes)
        if outside.any():
            where = np.argwhere(outside)[0]
            raise IllegalValues(
                f"index {indices[tuple(where)]} lies outside axis {where[-1]} of "
                f"{sizes[where[-1]]} elements"
            )
        picked = x[tuple(indices[..., k] for k in range(indices.shape[-1]))]
        return (np.ascontiguousarray(picked),)

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
