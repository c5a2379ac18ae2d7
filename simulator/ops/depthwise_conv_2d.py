"""Depthwise 2-D convolution: each input channel has its own filters."""

from collections.abc import Sequence
from typing import final

import numpy as np

from simulator.convolution import Convolution, Shape
from simulator.decode import bias_or_zeros, present
from simulator.errors import IllegalGraph
from simulator.graph import Array
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import depthwise
from simulator.registry import register


@register
@final
class DepthwiseConv2D(Convolution):
    """acc[o] = b[o] + sum over ky, kx of w[0, ky, kx, o] (x[.., o // multiplier] - zx).

    Weights (1, ky, kx, c * multiplier).
    """

    kind = "depthwise_conv_2d"
    formats = ("tflite:DEPTHWISE_CONV_2D",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference_integer_ops::DepthwiseConvPerChannel"

    @staticmethod
    def layout(x: Shape, w: Shape) -> tuple[int, int]:
        """As many groups as input channels."""
        if w[0] != 1 or x[3] == 0 or w[3] == 0 or w[3] % x[3]:
            raise IllegalGraph(
                f"depthwise weights must be (1, ky, kx, a multiple of {x[3]} channels); found {w}"
            )
        return w[3], x[3]

    def accumulate(self, inputs: Sequence[Array | None], datapath: Datapath) -> Array:
        """Window sums, channel by channel, without patches."""
        x, w = present(inputs, 0), present(inputs, 1)
        operand = x.astype(np.int16) - np.int16(self.input_zero_point)
        return depthwise(
            operand,
            w[0].astype(np.int16),
            bias_or_zeros(inputs, w.shape[3]),
            self.window(x.shape, w.shape),
            datapath,
        )
