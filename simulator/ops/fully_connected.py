"""Fully connected layer: a matrix of int8 weights times rows of int8 activations."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Self, final

import numpy as np

from simulator.decode import (
    bias_or_zeros,
    optional,
    present,
    refuse,
    single_grid,
    weighted_requantize,
)
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul
from simulator.numeric.requantize import Requantize, requantize_array
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class FullyConnected(Operator):
    """acc[o] = b[o] + sum over i of w[o, i] (x[i] - zx); y = clamp(requantize(acc) + zy).

    Inputs x (..., i) of any rank, weights (o, i), bias (o) or none. Output (rows, o), or
    (..., o) with `keep_dims`. Not fixed point in LiteRT's reference: there the scale is a double.
    """

    kind = "fully_connected"
    formats = ("tflite:FULLY_CONNECTED",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, integer_ops/fully_connected.h:123"

    input_zero_point: int
    keep_dims: bool
    requantize: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options fused_activation_function, keep_num_dims and weights_format."""
        form = source.options.get("weights_format", "DEFAULT")
        if form != "DEFAULT":
            refuse(source.place, "weights_format must be DEFAULT", form, "Export it unshuffled.")
        return cls(
            input_zero_point=single_grid(source.inputs[0], source.place, "the input")[1],
            keep_dims=bool(source.options.get("keep_num_dims", False)),
            requantize=weighted_requantize(source, cls.kind),
            dtype=source.outputs[0].dtype,
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse weights that do not fit the input's elements."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        if len(w.shape) != 2 or w.shape[1] == 0 or x.elements % w.shape[1]:
            raise IllegalGraph(f"weights {w.shape} do not divide an input of {x.shape}")
        if self.keep_dims and x.shape[-1] != w.shape[1]:
            raise IllegalGraph(f"weights {w.shape} need a last dimension of {w.shape[1]}")
        if bias is not None and bias.shape != (w.shape[0],):
            raise IllegalGraph(f"bias must have shape ({w.shape[0]},); found {bias.shape}")
        if len(self.requantize.scale) not in (1, w.shape[0]):
            raise IllegalGraph(f"{len(self.requantize.scale)} weight scales, {w.shape[0]} outputs")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """(rows, o), or (..., o) with `keep_dims`."""
        return (self._output_shape(present(inputs, 0).shape, present(inputs, 1).shape),)

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """The raw accumulators, bias included: (rows, o)."""
        x, w = present(inputs, 0), present(inputs, 1)
        operand = x.astype(np.int16) - np.int16(self.input_zero_point)
        bias = bias_or_zeros(inputs, w.shape[0])
        return matmul(operand.reshape(-1, w.shape[1]), w.astype(np.int16), bias, datapath)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Accumulate, then requantize."""
        shape = self._output_shape(present(inputs, 0).shape, present(inputs, 1).shape)
        out = requantize_array(self.accumulate(inputs, datapath), self.requantize, self.dtype)
        return (out.reshape(shape),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = rows o i."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        return Work(
            n=x.elements // w.shape[1],
            oc=w.shape[0],
            ky=1,
            kx=1,
            ic=w.shape[1],
            weight_bits=w.bits,
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            weight_elements=w.elements,
            bias_elements=0 if bias is None else bias.elements,
            output_elements=outputs[0].elements,
            requantizations=outputs[0].elements,
        )

    def _output_shape(self, x: tuple[int, ...], w: tuple[int, ...]) -> tuple[int, ...]:
        return (*x[:-1], w[0]) if self.keep_dims else (prod(x) // w[1], w[0])
