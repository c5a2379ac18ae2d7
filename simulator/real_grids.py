"""Real operands of a product that lie on known grids: their integer codes, and back.

QONNX and DequantizeLinear carry quantized values as float32. A runtime multiplies those; a machine
multiplies the codes, and so do the audits: both views are of the same operands.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from simulator.decode import DTYPE_RANGE, Weighted, present, refuse
from simulator.errors import IllegalValues
from simulator.graph import Array, Source, TensorType
from simulator.numeric.requantize import make_requantize

WIDEST: Final = 16
"""Bits of the codes that an integer product takes."""


@dataclass(frozen=True)
class Grids:
    """real = scale (code - zero point) of x, and of w with one scale or one an output channel."""

    x_scale: float
    x_zero: int
    w_scales: tuple[float, ...]
    w_zeros: tuple[int, ...]

    @classmethod
    def of(cls, source: Source, channel_axis: int) -> Self:
        """From the types of inputs 0 and 1; refuses operands without such grids."""
        x, w = present(source.inputs, 0), present(source.inputs, 1)
        if x.quant is None or w.quant is None or not known(x, w, channel_axis):
            refuse(
                source.place,
                f"both operands must lie on known grids of up to {WIDEST} bits",
                "others",
                "Quantize both.",
            )
        x_grid, w_grid = x.quant, w.quant
        return cls(x_grid.scale[0], x_grid.zero_point[0], w_grid.scale, w_grid.zero_point)

    def weighted(self) -> Weighted:
        """Raw sums, wide enough never to wrap, of these operands."""
        requantize = make_requantize("none", (1.0,), 0, *DTYPE_RANGE["int32"])
        return Weighted(self.x_zero, self.w_zeros, 64, requantize, "int64")

    def activations(self, x: Array, *, folded: bool) -> tuple[NDArray[np.int16], int]:
        """(code - zero point, 0), or raw codes and the zero point of their padding."""
        centred = np.rint(x.astype(np.float64) / self.x_scale)
        if folded:
            return _narrowed(centred + self.x_zero), self.x_zero
        return _narrowed(centred), 0

    def weights(self, w: Array, axis: int) -> NDArray[np.int16]:
        """Weight codes less their zero points; channels lie along `axis`."""
        scales = np.array(self.w_scales)
        if scales.size > 1:
            scales = scales.reshape([-1 if k == axis else 1 for k in range(w.ndim)])
        return _narrowed(np.rint(w.astype(np.float64) / scales))

    def real(self, sums: Array) -> NDArray[np.float32]:
        """Sums (.., channels) in reals, rounded once to float32."""
        scales = self.x_scale * np.array(self.w_scales)
        return np.asarray((sums.astype(np.float64) * scales).astype(np.float32))


def known(x: TensorType, w: TensorType, channel_axis: int) -> bool:
    """Whether x has one grid, and w one or one an index of `channel_axis`, narrow enough."""
    if x.quant is None or w.quant is None:
        return False
    single = len(x.quant.scale) == 1
    along = len(w.quant.scale) == 1 or w.quant.axis == channel_axis
    return single and along and max(x.bits, w.bits) <= WIDEST


def _narrowed(codes: NDArray[Any]) -> NDArray[np.int16]:
    low, high = DTYPE_RANGE["int16"]
    if codes.size and not (codes.min() >= low and codes.max() <= high):
        worst = codes.min() if codes.min() < low else codes.max()
        raise IllegalValues(
            f"codes less their zero point must fit int16; found {worst:.0f}. Use fewer bits."
        )
    return codes.astype(np.int16)
