"""Concatenation along one axis; uint8 inputs on other grids are rescaled to the output's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import present, refuse, single_grid, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.movement import Shape, axis_of
from simulator.numeric.affine import Affine, affine_array
from simulator.numeric.datapath import Datapath
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class Concatenation(Operator):
    """The inputs one after the other along `axis`.

    `rescale` holds, for each input, None (its codes are copied) or the float32 map onto the
    output's grid that LiteRT applies to uint8.
    """

    kind = "concatenation"
    formats = ("tflite:CONCATENATION",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/concatenation.h"

    axis: int
    rescale: tuple[Affine | None, ...]

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options axis and fused_activation_function."""
        activation = source.options.get("fused_activation_function", "NONE")
        if activation != "NONE":
            refuse(source.place, "there is no fused activation", activation, "Export its own op.")
        rank = len(source.outputs[0].shape)
        axis = axis_of(source.options["axis"], rank, source.place)
        return cls(axis, tuple(_rescale(source, i) for i in range(len(source.inputs))))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse inputs that differ outside the axis, and another dtype."""
        kinds = [present(inputs, i) for i in range(len(inputs))]
        rests = {(*k.shape[: self.axis], *k.shape[self.axis + 1 :]) for k in kinds}
        if len(rests) != 1 or {len(k.shape) for k in kinds} != {len(outputs[0].shape)}:
            raise IllegalGraph(
                f"inputs may differ along axis {self.axis} only; found {[k.shape for k in kinds]}"
            )
        if any(k.dtype != outputs[0].dtype for k in kinds):
            raise IllegalGraph(f"concatenation keeps its dtype; found {[k.dtype for k in kinds]}")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """The sizes along the axis, added up."""
        kinds = [present(inputs, i).shape for i in range(len(inputs))]
        x = kinds[0]
        return ((*x[: self.axis], sum(k[self.axis] for k in kinds), *x[self.axis + 1 :]),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Rescale where needed, then join."""
        parts = []
        for i, rescale in enumerate(self.rescale):
            x = present(inputs, i)
            parts.append(x if rescale is None else affine_array(x, rescale, x.dtype.name))
        return (np.concatenate(parts, axis=self.axis),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """One move an element, one requantization where grids differ."""
        kinds = [present(inputs, i) for i in range(len(inputs))]
        pairs = zip(kinds, self.rescale, strict=True)
        return Work(
            activation_bits=kinds[0].bits,
            output_bits=outputs[0].bits,
            input_elements=sum(k.elements for k in kinds),
            output_elements=outputs[0].elements,
            elementwise=outputs[0].elements,
            requantizations=sum(k.elements for k, rescale in pairs if rescale is not None),
        )


def _rescale(source: Source, index: int) -> Affine | None:
    """None where the grids agree or the tensors are not quantized."""
    x, y = present(source.inputs, index), source.outputs[0]
    if x.quant is None or y.quant is None:
        return None
    x_scale, x_zero = single_grid(x, source.place, f"input {index}")
    y_scale, y_zero = single_grid(y, source.place, "the output")
    if (x_scale, x_zero) == (y_scale, y_zero):
        return None
    if x.dtype == "int16" and y.limits is None:
        # LiteRT looks at int16 grids no closer: codes are copied as they are.
        return None
    if x.dtype != "uint8":
        refuse(
            source.place,
            f"{x.dtype} inputs must be on the output's grid {(y_scale, y_zero)}",
            f"{(x_scale, x_zero)} for input {index}",
            "Requantize it first.",
        )
    # LiteRT multiplies by a float32 reciprocal and adds -zx * scale, both before rounding.
    scale = np.float32(x_scale) * (np.float32(1) / np.float32(y_scale))
    offset = -np.float32(x_zero) * scale
    return Affine(float(scale), float(offset), "away", y_zero, *value_range(y))
