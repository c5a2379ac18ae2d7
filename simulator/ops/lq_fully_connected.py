"""Fully connected layer of codes on learned bases, in planes of one-bit products."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import optional, present
from simulator.graph import Array, Source, TensorType
from simulator.learned import (
    BIAS,
    WEIGHTS,
    LearnedProduct,
    X,
    check_learned,
    code_sets,
    weighted_work,
)
from simulator.numeric.bitplane import Planes, pack
from simulator.real_bounds import bounds_of
from simulator.registry import register
from simulator.row_products import check_rows, rows_shape, rows_work
from simulator.work import Work

Shape = tuple[int, ...]


@register
@final
@dataclass(frozen=True)
class LqFullyConnected(LearnedProduct):
    """y[.., o] = cut(sum over i of W(q_w[o, i]) X(q_x[.., i]) + b[o]), W and X the codes' levels.

    Inputs x (.., i), weights (o, i), their bases, bias; the output is (.., o), or (rows, o) without
    `keep_dims`. `grid_matmul` is the same of uniform grids.
    """

    kind = "lq_fully_connected"
    formats = ("bitlane:LQ_FULLY_CONNECTED",)
    reference = "LQ-Nets (Zhang et al., ECCV 2018) section 3.4, in float64, rounded to float32"

    keep_dims: bool = True

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options x_codes, w_codes, bounds and keep_num_dims."""
        keep = bool(source.options.get("keep_num_dims", True))
        return cls(*code_sets(source), bounds_of(source), keep)

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse weights that do not fit the last dimension, and bases of other widths."""
        check_rows(present(inputs, X), present(inputs, WEIGHTS), None, keep_dims=self.keep_dims)
        check_learned(inputs, outputs)

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[Shape, ...]:
        """(.., o), or (rows, o)."""
        return self.shapes(present(inputs, X).shape, present(inputs, WEIGHTS).shape)

    def blocks(
        self, x: Array, w: Array, bits: tuple[int, int]
    ) -> Iterator[tuple[Planes, Planes, int]]:
        """One."""
        rows = pack(x.reshape(-1, w.shape[1]), bits[0], self.x_codes)
        yield rows, self.kept(w, 0, lambda: pack(w, bits[1], self.w_codes)), 0

    def shapes(self, x: Shape, w: Shape) -> tuple[Shape, ...]:
        """(.., o) with `keep_dims`, or (rows, o)."""
        return (rows_shape(x, w, keep_dims=self.keep_dims),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """The products of the rows, and what weighs their planes."""
        x, w, bias = present(inputs, X), present(inputs, WEIGHTS), optional(inputs, BIAS)
        return weighted_work(rows_work(x, w, bias, outputs[0]), inputs)
