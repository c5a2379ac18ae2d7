"""Transposed 2-D convolution: every input element scatters its filter into the output."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self, final

import numpy as np
from numpy.typing import NDArray

from simulator.decode import Padding, Weighted, decode_weighted, optional, present
from simulator.errors import IllegalGraph, IllegalValues
from simulator.graph import Array, Source, TensorType
from simulator.mac import MacOperator, Product, sum_products
from simulator.movement import Shape
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import matmul, wraps_in_int32
from simulator.numeric.requantize import requantize_array
from simulator.numeric.transposed import cropped_patches, phases, spread, spread_window
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class TransposeConv(MacOperator):
    """acc[oc, y s + ky - p] = b[oc] + sum of w[oc, ky, kx, ic] (x[y, x, ic] - zx); requantized.

    Inputs (output shape, weights (oc, ky, kx, ic), x, bias or none). `size` is the output's plane;
    SAME and VALID say how much of the scatter it leaves out. An accumulator that saturates takes
    the products in ascending order of the input elements, zeros standing between them.
    """

    kind = "transpose_conv"
    formats = ("tflite:TRANSPOSE_CONV",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, integer_ops/transpose_conv.h"
    roles = ("output_shape", "weights", "input", "bias")

    stride: tuple[int, int]
    padding: Padding
    size: tuple[int, int]
    weighted: Weighted

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options stride, padding and fused_activation_function.

        The plane is the declared output's; a shape that comes at run time must agree with it.
        """
        shape = source.outputs[0].shape
        if len(shape) != 4:
            raise IllegalGraph(f"{source.place}: the output must be 4-D; its shape is {shape}")
        order = [2, 1] if len(source.inputs) < 4 else [2, 1, 3]
        plain = replace(
            source,
            inputs=tuple(source.inputs[i] for i in order),
            constants=tuple(source.constants[i] for i in order),
        )
        options = source.options
        stride = (options["stride_h"], options["stride_w"])
        kernel = present(plain.inputs, 1).shape[1:3]
        spaced = any(k < s for k, s in zip(kernel, stride, strict=False))
        case = "spaced" if spaced and options["padding"] == "SAME" else ""
        return cls(
            stride=stride,
            padding=options["padding"],
            size=(shape[1], shape[2]),
            weighted=decode_weighted(plain, cls.kind, case=case),
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse ranks, channels and steps that do not fit together."""
        w, x, bias = present(inputs, 1).shape, present(inputs, 2).shape, optional(inputs, 3)
        if len(x) != 4 or len(w) != 4 or min(self.stride) < 1:
            raise IllegalGraph(
                f"needs 4-D input and weights and a stride >= 1; found {x}, {w}, {self.stride}"
            )
        if x[3] != w[3]:
            raise IllegalGraph(f"{x[3]} input channels, {w[3]} channels a filter")
        if bias is not None and bias.shape != (w[0],):
            raise IllegalGraph(f"bias must have shape ({w[0]},); found {bias.shape}")
        if len(self.weighted.requantize.scale) not in (1, w[0]):
            raise IllegalGraph(f"{len(self.weighted.requantize.scale)} scales, {w[0]} filters")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """(n, *size, oc)."""
        return ((present(inputs, 2).shape[0], *self.size, present(inputs, 1).shape[0]),)

    def products(self, inputs: Sequence[Array | None], *, folded: bool) -> Iterator[Product]:
        """Patches of the spread input times reversed filters."""
        w, x = present(inputs, 1), present(inputs, 2)
        operand, fill = self.weighted.operand(x, folded=folded)
        reversed_taps = self.weighted.weights(w, axis=0)[:, ::-1, ::-1]
        over = spread_window(self._kernel(w.shape), self._before(x.shape, w.shape), self.size)
        product = Product(
            cropped_patches(spread(operand, self.stride, fill), over, fill),
            np.ascontiguousarray(reversed_taps).reshape(w.shape[0], -1),
            self._bias(inputs, w.shape[0]),
        )
        yield product.folded(fill) if folded else product

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """Phase by phase without the zeros where the order of a sum does not matter."""
        bits = self.weighted.accumulator_bits
        if not (datapath.graph or wraps_in_int32(datapath, bits)):
            return sum_products(self, inputs, datapath)
        w, x = present(inputs, 1), present(inputs, 2)
        operand, _ = self.weighted.operand(x, folded=False)
        taps = self.weighted.weights(w, axis=0)
        bias = self._bias(inputs, w.shape[0])
        wide = np.int64 if bits > 32 else np.int32
        out = np.empty((x.shape[0], *self.size, w.shape[0]), dtype=wide)
        before = self._before(x.shape, w.shape)
        for phase in phases(self._kernel(w.shape), self.stride, before, self.size):
            rows, columns = phase.taps
            block = np.ascontiguousarray(taps[:, rows[:, None], columns]).reshape(w.shape[0], -1)
            place = (
                slice(None),
                slice(phase.first[0], None, self.stride[0]),
                slice(phase.first[1], None, self.stride[1]),
            )
            reached = cropped_patches(operand, phase.window)
            out[place] = matmul(reached, block, bias, datapath, bits).reshape(out[place].shape)
        return out.reshape(-1, w.shape[0])

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Accumulate, then requantize each output channel."""
        shape = (present(inputs, 2).shape[0], *self.size, present(inputs, 1).shape[0])
        asked = tuple(int(v) for v in present(inputs, 0).reshape(-1))
        if asked != shape:
            raise IllegalValues(f"the output shape must be {shape}, as declared; found {asked}")
        sums = self.accumulate(inputs, datapath)
        out = requantize_array(sums, self.weighted.requantize, self.weighted.dtype)
        return (out.reshape(shape),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """MACs = n h w oc ky kx ic of the input's plane: the scatter, zeros left out."""
        w, x, bias = present(inputs, 1), present(inputs, 2), optional(inputs, 3)
        return Work(
            n=x.shape[0],
            oy=x.shape[1],
            ox=x.shape[2],
            oc=w.shape[0],
            ky=w.shape[1],
            kx=w.shape[2],
            ic=w.shape[3],
            weight_bits=w.bits,
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            weight_elements=w.elements,
            bias_elements=0 if bias is None else bias.elements,
            output_elements=outputs[0].elements,
            requantizations=outputs[0].elements,
            requantizer_scales=len(self.weighted.requantize.scale),
        )

    @staticmethod
    def _kernel(w: Shape) -> tuple[int, int]:
        return (w[1], w[2])

    @staticmethod
    def _bias(inputs: Sequence[Array | None], channels: int) -> NDArray[np.integer]:
        bias = optional(inputs, 3)
        return np.zeros(channels, dtype=np.int32) if bias is None else bias

    def _before(self, x: Shape, w: Shape) -> tuple[int, int]:
        """Rows and columns of the scatter that lie before the output.

        LiteRT pads as the convolution from `size` back to x would: nothing for VALID.
        """
        if not isinstance(self.padding, str):
            return self.padding[:2]
        if self.padding == "VALID":
            return (0, 0)
        before = []
        for size, stride, kernel in zip(self.size, self.stride, w[1:3], strict=True):
            steps = -(-size // stride)
            before.append(max((steps - 1) * stride + kernel - size, 0) // 2)
        return (before[0], before[1])
