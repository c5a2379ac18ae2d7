"""Convolution of codes on learned bases, in planes of one-bit products."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self, final

import numpy as np

from simulator.decode import optional
from simulator.graph import Array, Source, TensorType
from simulator.learned import BIAS, LearnedProduct, check_learned, code_sets, weighted_work
from simulator.numeric.bitplane import Planes, pack_filters, pack_windows
from simulator.plain_products import PlainConvolution, check_convolution
from simulator.real_bounds import bounds_of
from simulator.registry import register
from simulator.windowed import Windows
from simulator.work import Work


@register
@final
@dataclass(frozen=True)
class LqConv2D(LearnedProduct, PlainConvolution):
    """y[.., o] = cut(sum over ky, kx, ic of W(q_w) X(q_x) + b[o]), W and X the codes' levels.

    Inputs x (n, h, w, c), weights (filters, ky, kx, c / groups), their bases, bias. Padding adds
    nothing, whether or not a code stands for 0. `grid_conv_2d` is the same of uniform grids.
    """

    kind = "lq_conv_2d"
    formats = ("bitlane:LQ_CONV_2D",)
    reference = "LQ-Nets (Zhang et al., ECCV 2018) section 3.4, in float64, rounded to float32"

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options kernel, stride, dilation, padding, x_codes, w_codes and bounds."""
        return cls(Windows.of(source), *code_sets(source), bounds_of(source))

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse channels that do not divide into groups, and bases of other widths."""
        check_convolution(inputs[:2])
        check_learned(inputs, outputs)

    def blocks(
        self, x: Array, w: Array, bits: tuple[int, int]
    ) -> Iterator[tuple[Planes, Planes, int]]:
        """A group of channels at a time."""
        filters, each = w.shape[0], w.shape[3]
        block, over = filters * each // x.shape[3], self.windows.over(x.shape)
        for first in range(0, filters, block):
            start = first // block * each
            part = np.ascontiguousarray(x[..., start : start + each])
            rows = pack_windows(part, bits[0], self.x_codes, over)
            own = w[first : first + block]
            pack = partial(pack_filters, own, bits[1], self.w_codes)
            yield rows, self.kept(w, first, pack), first

    def shapes(self, x: tuple[int, ...], w: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """(n, oy, ox, filters)."""
        return ((x[0], *self.windows.over(x).output, w[0]),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """The products of a convolution, and what weighs their planes."""
        plain = PlainConvolution.work(self, inputs[:2], outputs)
        bias = optional(inputs, BIAS)
        biased = replace(plain, bias_elements=0 if bias is None else bias.elements)
        return weighted_work(biased, inputs)
