"""A layer's stream on a systolic array: folds, and stretches of their vectors.

Counts equal the stepper's register by register.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from simulator.mac import Product
from simulator.stepper.activity_kernels import (
    COUNTS,
    HELD_TOGGLES,
    HELD_WRITES,
    Registers,
    held_vectors,
    load_held,
)
from simulator.stepper.array import COLUMN_0, COLUMNS, ROW_0, TILE_0, TILES
from simulator.stepper.counted import Stream
from simulator.stepper.layout import Ints, Layout
from simulator.stepper.output_activity import output_activity

STRETCH: Final = 16
"""Consecutive vectors of a drawn stretch, after one that only sets the registers."""


class FoldStream(Stream):
    """The folds of a layer, the registers going from one to the next.

    A stretch is so many consecutive vectors past a stack of folds, or output stationary a fold.
    """

    def __init__(self, layout: Layout, products: Sequence[Product]) -> None:
        self.layout, self.products = layout, products
        self.held_is_activation = layout.swapped
        self.parts = _stretches(layout, products)
        self.registers = _registers(layout)

    def whole(self) -> Ints:
        """Every fold in order."""
        return _whole(self.layout, self.products)

    @property
    def stretches(self) -> int:
        """How many stretches there are."""
        return len(self.parts)

    def visit(self, index: int) -> tuple[Ints, int]:
        """One stretch."""
        self.registers.counts[:] = 0
        _visit(self.layout, self.registers, self.products, self.parts[index])
        counts: Ints = self.registers.counts.copy()
        return counts, self.parts[index].size(self.products[0].w.shape[1])

    def exactly(self, most_products: int) -> Mapping[int, int]:
        """What loading the held operand toggles; nothing where nothing is held."""
        held = _held_counts(self.layout, self.products)
        kinds = () if held is None else (HELD_TOGGLES, HELD_WRITES)
        return {kind: int(held[kind]) for kind in kinds if held is not None}


def _registers(layout: Layout) -> Registers:
    rows, cols = layout.machine.array.rows, layout.machine.array.cols
    lanes, sums = layout.datapath.dot_width, len(layout.rules)
    return Registers(
        held=np.zeros((rows, cols, lanes), np.int64),
        passing=np.zeros((rows, cols, lanes), np.int64),
        sums=np.zeros((rows, cols, sums), np.int64),
        used=np.zeros((2, rows, cols, lanes), np.int64),
        gated=np.zeros((2, rows, cols, lanes), np.int64),
        widths=layout.widths,
        rules=layout.rules,
        total=np.zeros(sums, np.int64),
        lanes=np.zeros((2, lanes), np.int64),
        counts=np.zeros(COUNTS, np.int64),
    )


def _starts(layout: Layout, product: Product, tiled: int, on_cols: int) -> Ints:
    """What each sum starts from: int64 [tiled, columns], the bias by channel."""
    bias = product.bias.astype(np.int64)
    return np.broadcast_to(bias[:, None] if layout.swapped else bias[None, :], (tiled, on_cols))


def _whole(layout: Layout, products: Sequence[Product]) -> Ints:
    """The counts of every fold in order, the registers going from one to the next."""
    registers = _registers(layout)
    for product in products:
        on_cols, tiled = layout.operands(product)
        starts = _starts(layout, product, len(tiled), len(on_cols))
        sums = np.zeros((0, 0, 0), np.int64)
        for fold in layout.folds(tiled.shape[1], len(on_cols), len(tiled)):
            if layout.output_stationary:
                _output_fold(layout, registers, product, fold)
                continue
            if fold[ROW_0] == 0:
                sums = _entering(layout, starts, fold, 0, int(fold[TILES]))
            span = layout.span(fold)
            load_held(registers, on_cols, fold, span)
            held_vectors(registers, tiled, sums, fold, (*span, 0, int(fold[TILES])))
    counts: Ints = registers.counts
    return counts


def _output_fold(layout: Layout, registers: Registers, product: Product, fold: Ints) -> None:
    on_cols, tiled = layout.operands(product)
    shape = (*layout.span(fold), layout.physical)
    output_activity(registers, on_cols, tiled, product.bias.astype(np.int64), fold, shape)


def _entering(layout: Layout, starts: Ints, fold: Ints, first: int, end: int) -> Ints:
    """The sums that enter the first of a stack of folds: [vectors, columns, 1 + stages]."""
    columns = slice(int(fold[COLUMN_0]), int(fold[COLUMN_0] + fold[COLUMNS]))
    vectors = slice(int(fold[TILE_0]) + first, int(fold[TILE_0]) + end)
    sums = np.zeros((end - first, int(fold[COLUMNS]), len(layout.rules)), np.int64)
    sums[:, :, 0] = starts[vectors, columns]
    return sums


@dataclass(frozen=True)
class _Stretch:
    """Folds over the same columns and tile, and which of the tile's vectors are counted."""

    product: int
    folds: tuple[Ints, ...]
    first: int
    end: int

    def size(self, taps: int) -> int:
        """Products in it."""
        columns = int(self.folds[0][COLUMNS])
        return (self.end - self.first) * columns * taps


def _stretches(layout: Layout, products: Sequence[Product]) -> list[_Stretch]:
    found = []
    for index, product in enumerate(products):
        on_cols, tiled = layout.operands(product)
        stacks: dict[tuple[int, int], list[Ints]] = {}
        for fold in layout.folds(tiled.shape[1], len(on_cols), len(tiled)):
            stacks.setdefault((int(fold[COLUMN_0]), int(fold[TILE_0])), []).append(fold)
        for stack in stacks.values():
            length = int(stack[0][TILES])
            step = length if layout.output_stationary else STRETCH
            found += [
                _Stretch(index, tuple(stack), first, min(first + step, length))
                for first in range(0, length, step)
            ]
    return found


def _held_counts(layout: Layout, products: Sequence[Product]) -> Ints | None:
    """What loading the held operand toggles, exactly; None where nothing is held."""
    if layout.output_stationary:
        return None
    registers = _registers(layout)
    for product in products:
        on_cols, tiled = layout.operands(product)
        for fold in layout.folds(tiled.shape[1], len(on_cols), len(tiled)):
            load_held(registers, on_cols, fold, layout.span(fold))
    counts: Ints = registers.counts
    return counts


def _visit(
    layout: Layout, registers: Registers, products: Sequence[Product], stretch: _Stretch
) -> None:
    """Add a stretch's counts.

    The vector before it sets the registers. A tile's first vector follows another fold: there the
    tile's last stands for that fold's, and what multipliers held stays from the fold visited last.
    """
    product = products[stretch.product]
    if layout.output_stationary:
        _output_fold(layout, registers, product, stretch.folds[0])
        return
    on_cols, tiled = layout.operands(product)
    starts = _starts(layout, product, len(tiled), len(on_cols))
    fold, opens = stretch.folds[0], stretch.first == 0
    before = int(fold[TILES]) - 1 if opens else stretch.first - 1
    warm = _entering(layout, starts, fold, before, before + 1)
    sums = _entering(layout, starts, fold, stretch.first, stretch.end)
    for fold in stretch.folds:
        span = layout.span(fold)
        kept = [array.copy() for array in (registers.used[0], registers.gated[0], registers.counts)]
        load_held(registers, on_cols, fold, span)
        held_vectors(registers, tiled, warm, fold, (*span, before, before + 1))
        if opens:
            registers.used[0], registers.gated[0] = kept[0], kept[1]
        registers.counts[:] = kept[2]
        held_vectors(registers, tiled, sums, fold, (*span, stretch.first, stretch.end))
