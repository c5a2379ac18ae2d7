"""MultiThreshold: how many thresholds of its channel an element reaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import present
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.real_work import computes_reals, on_reals
from simulator.registry import register
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class MultiThreshold(Operator):
    """y = scale * (number of thresholds t of the channel with x >= t) + bias, in float32.

    Inputs x and thresholds (channels, count) or (1, count) for all; channels lie along `axis`.
    """

    kind = "multi_threshold"
    formats = (
        "onnx:qonnx.custom_op.general.MultiThreshold",
        "onnx:finn.custom_op.general.MultiThreshold",
        "onnx:MultiThreshold",
    )
    reference = "qonnx 1.0.0, custom_op/general/multithreshold.py"
    fixed_widths = "its thresholds are inputs"

    axis: int
    scale: float
    bias: float

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options axis, out_scale and out_bias."""
        options = source.options
        scale, bias = options.get("out_scale", 1.0), options.get("out_bias", 0.0)
        return cls(options["axis"], float(scale), float(bias))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse thresholds that are not one row, or one a channel."""
        x, thresholds = present(inputs, 0).shape, present(inputs, 1).shape
        if not 0 <= self.axis < len(x):
            raise IllegalGraph(f"axis {self.axis} lies outside a tensor of shape {x}")
        if len(thresholds) != 2 or thresholds[0] not in (1, x[self.axis]):
            raise IllegalGraph(f"thresholds {thresholds} for {x[self.axis]} channels")

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The input's shape."""
        return (present(inputs, 0).shape,)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """One comparison a threshold; thresholds need not be sorted."""
        x, thresholds = present(inputs, 0), present(inputs, 1)
        values = np.moveaxis(x, self.axis, -1)
        count = np.zeros(values.shape, dtype=np.float32)
        for column in range(thresholds.shape[1]):
            count += values >= thresholds[:, column]
        y = np.float32(self.scale) * count + np.float32(self.bias)
        return (np.ascontiguousarray(np.moveaxis(y, -1, self.axis)),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """As many comparisons an element as there are thresholds."""
        x, thresholds = present(inputs, 0), present(inputs, 1)
        work = Work(
            weight_bits=thresholds.bits,
            activation_bits=x.bits,
            output_bits=outputs[0].bits,
            input_elements=x.elements,
            weight_elements=thresholds.elements,
            output_elements=x.elements,
            elementwise=x.elements * thresholds.shape[1],
            requantizations=x.elements,
        )
        return on_reals(work, 0, 0) if computes_reals((x, thresholds)) else work
