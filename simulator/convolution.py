"""What convolutions share: decoding, legality, output shape, requantizing, counting work.

A concrete convolution says how its weights are laid out and how its sums are formed.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from simulator.decode import (
    Padding,
    Weighted,
    bias_or_zeros,
    decode_weighted,
    optional,
    padding_of,
    present,
    window,
)
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.mac import LaneSums, MacOperator, lane_sums
from simulator.numeric.datapath import Datapath
from simulator.numeric.direct import Direct
from simulator.numeric.matmul import Window
from simulator.numeric.requantize import requantize_array
from simulator.prepared import Prepared, PreparedSums
from simulator.work import Work

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Convolution(MacOperator):
    """y = clamp(requantize(sum w (x - zx) + b) + zy) over windows of an NHWC input.

    Inputs: x (n, h, w, c), weights (filters, ky, kx, ic) or (1, ky, kx, filters), bias (filters)
    or none. Padding has the value zx, so it adds nothing.
    """

    filter_axis: ClassVar[int]
    """The axis of the weights that counts filters."""

    stride: tuple[int, int]
    dilation: tuple[int, int]
    padding: Padding
    weighted: Weighted

    @staticmethod
    @abstractmethod
    def layout(x: Shape, w: Shape) -> tuple[int, int]:
        """(filters, groups) of an input and weights; raises IllegalGraph where they clash."""

    @abstractmethod
    def direct(self, x: Shape, w: NDArray[np.int16], sums: LaneSums, groups: int) -> Direct | None:
        """Sums without patches on inputs of a shape; None where there is no such form."""

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options stride, dilation, padding and fused_activation_function."""
        options = source.options
        return cls(
            stride=(options["stride_h"], options["stride_w"]),
            dilation=(options["dilation_h_factor"], options["dilation_w_factor"]),
            padding=padding_of(source),
            weighted=decode_weighted(source, cls.kind, case=_case(source)),
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse ranks, channel counts and steps that no convolution has."""
        x, w, bias = present(inputs, 0).shape, present(inputs, 1).shape, optional(inputs, 2)
        if len(x) != 4 or len(w) != 4:
            raise IllegalGraph(f"a convolution needs 4-D input and weights; found {x} and {w}")
        if min(self.stride) < 1 or min(self.dilation) < 1:
            raise IllegalGraph(f"stride {self.stride} and dilation {self.dilation} must be >= 1")
        filters, _ = self.layout(x, w)
        if bias is not None and bias.shape != (filters,):
            raise IllegalGraph(f"bias must have shape ({filters},); found {bias.shape}")
        if len(self.weighted.requantize.scale) not in (1, filters):
            scales = len(self.weighted.requantize.scale)
            raise IllegalGraph(f"{scales} weight scales, {filters} filters")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """(n, oy, ox, filters)."""
        return (self._output_shape(present(inputs, 0).shape, present(inputs, 1).shape),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Accumulate, then requantize each output channel."""
        shape = self._output_shape(present(inputs, 0).shape, present(inputs, 1).shape)
        out = requantize_array(
            self.accumulate(inputs, datapath), self.weighted.requantize, self.weighted.dtype
        )
        return (out.reshape(shape),)

    def prepare(
        self,
        inputs: Sequence[TensorType | None],
        constants: Sequence[Array | None],
        datapath: Datapath,
    ) -> Prepared | None:
        """Direct sums where the weights are known and vector lanes give the datapath's sums."""
        x, weights = present(inputs, 0), optional(constants, 1)
        unknown = optional(inputs, 2) is not None and optional(constants, 2) is None
        if weights is None or unknown or self.weighted.requantize.blocks is not None:
            return None
        filters, groups = self.layout(x.shape, weights.shape)
        w = self.weighted.weights(weights, axis=self.filter_axis)
        rows = np.moveaxis(w, self.filter_axis, 0).reshape(filters, -1)
        sums = lane_sums(self, x, rows, bias_or_zeros(constants, filters), datapath)
        direct = None if sums is None else self.direct(x.shape, w, sums, groups)
        return None if direct is None else PreparedSums(direct, self.weighted.requantize)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = n oy ox groups oc ky kx ic; one requantization an output."""
        x, w, bias = present(inputs, 0), present(inputs, 1), optional(inputs, 2)
        filters, groups = self.layout(x.shape, w.shape)
        n, oy, ox, _ = outputs[0].shape
        return Work(
            n=n,
            oy=oy,
            ox=ox,
            oc=filters // groups,
            ky=w.shape[1],
            kx=w.shape[2],
            ic=x.shape[3] // groups,
            groups=groups,
            stride_y=self.stride[0],
            stride_x=self.stride[1],
            weight_bits=w.bits,
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            weight_elements=w.elements,
            bias_elements=0 if bias is None else bias.elements,
            output_elements=outputs[0].elements,
            requantizations=outputs[0].elements,
            requantizer_scales=len(self.weighted.requantize.scale),
            depthwise=int(groups > 1 and groups == x.shape[3]),
            input_rows=x.shape[1],
            input_columns=x.shape[2],
        )

    def window_of(self, inputs: Sequence[TensorType | None]) -> Window:
        """Of the filters."""
        return self.window(present(inputs, 0).shape, present(inputs, 1).shape)

    def window(self, x: Shape, w: Shape) -> Window:
        """The window these shapes and this padding make."""
        return window(x[1], x[2], (w[1], w[2]), self.stride, self.dilation, self.padding)

    def _output_shape(self, x: Shape, w: Shape) -> Shape:
        return (x[0], *self.window(x, w).output, self.layout(x, w)[0])


def _case(source: Source) -> str:
    """Groups send a convolution to another kernel in some runtimes."""
    x, w = present(source.inputs, 0).shape, present(source.inputs, 1).shape
    return "grouped" if x[3:] != w[3:] else ""
