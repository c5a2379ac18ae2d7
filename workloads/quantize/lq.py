"""LQ-Nets' learned quantizer: a basis of K reals for 2^K levels, fitted to what it quantizes.

LQ-Nets: Zhang et al., ECCV 2018, arXiv 1807.10029, section 3. Codes stand for {-1, 1} per bit of
weights and {0, 1} per bit of activations behind a ReLU, as in the published program; the paper
writes {-1, 1} throughout. A step never raises the error, but what it reaches is local: from the
paper's first bases it may end above the best uniform grid, from that grid it cannot
(`workloads.quantize.lq_start`).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.errors import BadConfig, IllegalValues
from simulator.numeric.levels import CodeSet, encode, levels, signs
from workloads.quantize.quantizer import PER_TENSOR, Array, Codes, Layout, Quantizer, Reals, reals

RIDGE: Final = 1e-4
"""What holds the bases of weights to the old ones (microsoft/LQ-Nets)."""
DECAY: Final = 0.9
"""The share of the old basis in a moving average (the same program)."""
WIDEST: Final = 8
"""Bits of a code; a byte holds it."""
_SINGULAR: Final = 1e-12
"""Singular values, relative to the greatest, below which a fit leaves a direction as it was."""


@dataclass(frozen=True)
class LqGrid(Quantizer):
    """real = sum over j of v_j b_j(code): codes 0 .. 2^K - 1, nearest level, a midpoint downwards.

    `basis` holds one basis, or one per parameter of `layout`, each of K reals. Not a `Grid`: its
    levels are not equally far apart.
    """

    basis: tuple[tuple[float, ...], ...]
    code_set: CodeSet
    layout: Layout = PER_TENSOR

    def __post_init__(self) -> None:
        widths = {len(v) for v in self.basis}
        if len(widths) != 1 or not 1 <= self.bits <= WIDEST:
            raise BadConfig(f"a basis needs 1 to {WIDEST} reals a parameter; found {widths}")
        if self.layout.group_size:
            raise BadConfig("a learned basis is one a tensor or one a channel; groups have none")
        if not np.isfinite(self.basis).all():
            raise BadConfig(f"the reals of a basis must be finite; found {self.basis}")

    @classmethod
    def of(cls, basis: Array, code_set: CodeSet, layout: Layout = PER_TENSOR) -> "LqGrid":
        """From an array (K,) or (parameters, K)."""
        rows = np.atleast_2d(np.asarray(basis, dtype=np.float64)).tolist()
        return cls(tuple(tuple(row) for row in rows), code_set, layout)

    @property
    def bits(self) -> int:
        """K."""
        return len(self.basis[0])

    @property
    def array(self) -> Reals:
        """The bases, (parameters, K)."""
        return np.array(self.basis)

    def quantize(self, x: Array) -> Codes:
        """The code of every value, int32, the shape of x."""
        rows = self._rows(reals(x))
        found = [encode(r, v, self.code_set) for r, v in zip(rows, self.array, strict=True)]
        return self._shaped(np.stack(found), x.shape).astype(np.int32)

    def dequantize(self, codes: Array) -> Reals:
        """The level of every code."""
        reached = levels(self.array, self.code_set)
        found = np.take_along_axis(reached, self._rows(codes).astype(np.intp), axis=1)
        return self._shaped(found, codes.shape)

    def squared_error(self, x: Array, codes: Array | None = None) -> Reals:
        """Sum of (x - level)^2 for each parameter, at given codes or at the nearest levels."""
        found = self.fake_quantize(x) if codes is None else self.dequantize(codes)
        return np.asarray(np.square(self._rows(reals(x) - found)).sum(axis=1))

    def fitted(self, x: Array, codes: Array, ridge: float = 0.0) -> "LqGrid":
        """The bases of least squares at given codes: (B'B + ridge I) v = B'x + ridge v_old.

        Where codes leave a direction of v open, it stays as it was.
        """
        each = signs(self.bits, self.code_set)
        made = []
        for row, code, old in zip(self._rows(reals(x)), self._rows(codes), self.array, strict=True):
            # Codes are few: what the sums need is how often each comes, and the sum of its reals.
            counts = np.bincount(code, minlength=len(each))
            totals = np.bincount(code, weights=row, minlength=len(each))
            square = (each.T * counts) @ each + ridge * np.eye(self.bits)
            gap = each.T @ totals + ridge * old - square @ old
            made.append(old + np.linalg.pinv(square, _SINGULAR, hermitian=True) @ gap)
        return LqGrid.of(np.array(made), self.code_set, self.layout)

    def _rows(self, x: Array) -> Array:
        axis = self.layout.axis
        count = 1 if axis is None else x.shape[axis]
        rows = (x if axis is None else np.moveaxis(x, axis, 0)).reshape(count, -1)
        if len(rows) != len(self.basis):
            raise IllegalValues(
                f"{len(self.basis)} bases for a tensor of shape {x.shape}, which has {len(rows)}"
            )
        return rows

    def _shaped(self, rows: Array, shape: tuple[int, ...]) -> Array:
        axis = self.layout.axis
        if axis is None:
            return rows.reshape(shape)
        sides = [shape[axis], *(n for k, n in enumerate(shape) if k != axis % len(shape))]
        return np.ascontiguousarray(np.moveaxis(rows.reshape(sides), 0, axis))


def qem(x: Array, grid: LqGrid, *, alternations: int = 1, ridge: float = 0.0) -> LqGrid:
    """The bases after so many rounds of encoding and fitting to x; the paper takes one a step.

    `ridge` is `RIDGE` for weights, a basis a channel, and 0 for activations, a basis a layer. The
    squared error falls or stays at each half of a round.
    """
    if alternations < 1 or ridge < 0:
        raise BadConfig(
            f"a step needs 1 or more alternations and a ridge >= 0; found {alternations}, {ridge}"
        )
    for _ in range(alternations):
        grid = grid.fitted(x, grid.quantize(x), ridge)
    return grid


def moving_average(old: LqGrid, new: LqGrid, decay: float = DECAY) -> LqGrid:
    """The bases decay v_old + (1 - decay) v_new, which the next forward pass quantizes with.

    At the codes that `new` was fitted at, the error is no greater than that of `old`.
    """
    if not 0 <= decay < 1:
        raise BadConfig(f"decay must be in [0, 1); found {decay}")
    basis = decay * old.array + (1 - decay) * new.array
    return LqGrid.of(basis, old.code_set, old.layout)
