"""How busy a layer's real operands keep a systolic array: zeros, toggles, and what gates save.

Counts equal the stepper's register by register. Where a layer has more products than are visited,
stretches of its stream are drawn and the counts come with a standard error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from simulator.graph import Array
from simulator.mac import MacOperator, Product
from simulator.machines.base import Machine
from simulator.stepper.activity_kernels import (
    COUNTS,
    GATED_PRODUCT_TOGGLES,
    GATED_SUM_WRITES,
    HELD_TOGGLES,
    HELD_WRITES,
    PRODUCT_TOGGLES,
    SUM_TOGGLES,
    Registers,
    held_vectors,
    load_held,
)
from simulator.stepper.array import COLUMN_0, COLUMNS, ROW_0, TILE_0, TILES
from simulator.stepper.layout import Ints, Layout, products_by_group
from simulator.stepper.output_activity import output_activity
from simulator.work import Work

MOST_PRODUCTS: Final = 1 << 24
"""Products visited before stretches are drawn instead: some tenths of a second."""
STRETCH: Final = 16
"""Consecutive vectors of a drawn stretch, after one that only sets the registers."""
LEAST_STRETCHES: Final = 30
"""Drawn at least, so that a standard error means something."""


@dataclass(frozen=True)
class Activity:
    """What one layer's operands did on an array.

    toggles, writes : bits that changed and words clocked, by register kind.
    product_toggles : partial products, of a bit of each operand, that changed in multipliers at
        work; `gated_product_toggles` where one keeps its operands while one of the two is zero.
    gated_accumulator_writes : accumulator clocks left where one is not clocked for zero products.
    zero_activations, zero_weights, zero_products : products with such an operand, of `products`.
    essential_bits : ones in the magnitudes of the activations, over all products (Albericio et
        al., MICRO 2017): the passes of a bit-serial multiplier that skips zeros.
    standard_error : of each toggle count; empty where every product was visited.
    sampled : the share of the products that was visited.
    """

    products: int
    zero_activations: int
    zero_weights: int
    zero_products: int
    essential_bits: int
    toggles: Mapping[str, int]
    writes: Mapping[str, int]
    product_toggles: int
    gated_product_toggles: int
    gated_accumulator_writes: int
    standard_error: Mapping[str, float]
    sampled: float


def activity(
    operator: MacOperator,
    inputs: Sequence[Array | None],
    machine: Machine,
    work: Work,
    seed: int = 0,
    most_products: int = MOST_PRODUCTS,
) -> Activity:
    """Count what a layer's operands do on a `model: systolic` machine.

    Beyond `most_products` products, stretches of vectors (columns and tiles, output stationary)
    are drawn with `seed`. Raises Unsupported as `simulator.stepper.step.step`.
    """
    layout = Layout.of(operator, machine, work, composed=True)
    products = products_by_group(operator, list(inputs), layout, work)
    return _counted(layout, products, seed, most_products)


def uniform_activity(
    operator: MacOperator,
    inputs: Sequence[Array | None],
    machine: Machine,
    work: Work,
    codes: tuple[int, int],
    seed: int = 0,
    most_products: int = MOST_PRODUCTS,
) -> Activity:
    """The same for operands of which every code is as likely, and no bias: what data-blind means.

    `codes` are the least and the greatest an activation may have, less its zero point where the
    machine subtracts it; weights have all codes of the machine's width.
    """
    layout = Layout.of(operator, machine, work, composed=True)
    products = products_by_group(operator, list(inputs), layout, work)
    rng, half = np.random.default_rng(seed), 1 << (layout.datapath.weight_bits - 1)
    drawn = [
        Product(
            rng.integers(codes[0], codes[1] + 1, p.x.shape).astype(np.int16),
            rng.integers(-half, half, p.w.shape).astype(np.int16),
            np.zeros_like(p.bias),
            p.first_channel,
        )
        for p in products
    ]
    return _counted(layout, drawn, seed, most_products)


def _counted(layout: Layout, products: Sequence[Product], seed: int, most: int) -> Activity:
    total = sum(p.x.shape[0] * p.w.size for p in products)
    if total <= most:
        counts, errors, visited = _whole(layout, products), np.zeros(0), total
    else:
        counts, errors, visited = _sample(layout, products, seed, most)
    return _named(layout, products, counts, errors, visited / max(total, 1))


def _named(
    layout: Layout, products: Sequence[Product], counts: Ints, errors: Array, sampled: float
) -> Activity:
    held, passing = (1, 0) if layout.swapped else (0, 1)
    weight, moved = (HELD_TOGGLES + held, HELD_TOGGLES + passing)
    of = {"weight": weight, "activation": moved, "accumulator": SUM_TOGGLES}
    named = {**of, "product": PRODUCT_TOGGLES, "gated_product": GATED_PRODUCT_TOGGLES}
    zeros = [sum(found) for found in zip(*(_zeros(product) for product in products), strict=True)]
    shift = HELD_WRITES - HELD_TOGGLES
    return Activity(
        products=sum(p.x.shape[0] * p.w.size for p in products),
        zero_activations=zeros[0],
        zero_weights=zeros[1],
        zero_products=zeros[2],
        essential_bits=zeros[3],
        toggles=MappingProxyType({kind: int(counts[i]) for kind, i in of.items()}),
        writes=MappingProxyType({kind: int(counts[i + shift]) for kind, i in of.items()}),
        product_toggles=int(counts[PRODUCT_TOGGLES]),
        gated_product_toggles=int(counts[GATED_PRODUCT_TOGGLES]),
        gated_accumulator_writes=int(counts[GATED_SUM_WRITES]),
        standard_error=MappingProxyType(
            {kind: float(errors[i]) for kind, i in named.items()} if errors.size else {}
        ),
        sampled=sampled,
    )


def _zeros(product: Product) -> tuple[int, int, int, int]:
    """Products with a zero activation, a zero weight, either; ones in activations' magnitudes."""
    x, w = product.x, product.w
    rows, channels = len(x), len(w)
    x_open = np.count_nonzero(x, axis=0).astype(np.int64)
    w_open = np.count_nonzero(w, axis=0).astype(np.int64)
    total = rows * w.size
    bits = np.bitwise_count(np.abs(x.astype(np.int32))).sum(dtype=np.int64)
    return (
        total - channels * int(x_open.sum()),
        total - rows * int(w_open.sum()),
        total - int(x_open @ w_open),
        channels * int(bits),
    )


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


def _sample(
    layout: Layout, products: Sequence[Product], seed: int, most: int
) -> tuple[Ints, Array, int]:
    """Counts scaled up from drawn stretches, their standard errors, and products visited.

    Simple random sampling without replacement, ratio estimator on products (Cochran, Sampling
    Techniques, 3rd ed., equations 6.9 and 6.13).
    """
    stretches, registers = _stretches(layout, products), _registers(layout)
    taps = products[0].w.shape[1]
    sizes = np.array([stretch.size(taps) for stretch in stretches], dtype=np.float64)
    count = min(len(stretches), max(LEAST_STRETCHES, int(most / sizes.mean())))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(stretches))[:count])
    found = np.zeros((count, COUNTS))
    for place, index in enumerate(drawn):
        registers.counts[:] = 0
        _visit(layout, registers, products, stretches[index])
        found[place] = registers.counts
    m = sizes[drawn]
    ratio = found.sum(axis=0) / m.sum()
    spread = ((found - ratio * m[:, None]) ** 2).sum(axis=0) / max(count - 1, 1)
    left = 1 - count / len(stretches)
    errors = len(stretches) * np.sqrt(left * spread / count)
    totals = ratio * sizes.sum()
    held = _held_counts(layout, products)
    if held is not None:
        for kind in (HELD_TOGGLES, HELD_WRITES):
            totals[kind], errors[kind] = held[kind], 0.0
    return np.rint(totals).astype(np.int64), errors, int(m.sum())


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
