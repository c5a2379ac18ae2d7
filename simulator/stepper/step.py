"""A layer's real operands through a systolic array, register by register: bits, cycles, toggles.

The folds and tiles are those of the analytic model's mapping. The cycles are counted by running
until the last sum has left the array, not by a formula.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalValues, Unsupported
from simulator.graph import Array
from simulator.mac import MacOperator, Product
from simulator.machines.base import Machine
from simulator.machines.folds import OFMAP_TOO_SMALL
from simulator.machines.systolic import Systolic, mapping
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import overflow_message
from simulator.stepper.array import COLUMNS, KINDS, ROWS, TILES, Chip, held_fold, output_fold
from simulator.stepper.element import (
    ACTIVATION_TOGGLES,
    ACTIVATION_WRITES,
    COUNTERS,
    CYCLES,
    OUT_OF_STEP,
    SUM_TOGGLES,
    SUM_WRITES,
    TRAP_CHANNEL,
    TRAP_ROW,
    TRAP_TAP,
    WEIGHT_TOGGLES,
    WEIGHT_WRITES,
)
from simulator.work import Work

Ints = NDArray[np.int64]
MOST_STEPS: Final = 2 * 10**9
"""Processing elements times cycles that are stepped through at most: some minutes."""


@dataclass(frozen=True)
class Stepped:
    """What a layer did on an array, counted register by register.

    accumulators : int64 [output pixels, channels], bias included.
    cycles : of the array alone, without waiting for a memory.
    active : int64 [rows, cols], cycles in which each element multiplied.
    toggles, writes : bits that changed, and words clocked, in all registers of each kind.
    trace : int64 [cycles, rows, cols, 2 dot_width + 3]: weights, activations, accumulator, the
        vector an element works on or -1, the phase (0 load, 1 stream, 2 drain); empty unless
        asked for.
    """

    accumulators: Ints
    cycles: int
    active: Ints
    toggles: Mapping[str, int]
    writes: Mapping[str, int]
    trace: Ints

    @property
    def utilization(self) -> float:
        """Of all elements over all cycles, the share that multiplied."""
        return int(self.active.sum()) / (self.cycles * self.active.size)


def step(
    operator: MacOperator,
    inputs: Sequence[Array | None],
    machine: Machine,
    work: Work,
    traced_cycles: int = 0,
) -> Stepped:
    """Step through a layer on a `model: systolic` machine, its datapath included.

    `work` is the layer's own count; each of its groups runs in turn. `traced_cycles` keeps the
    registers of the first cycles. Raises Unsupported for another machine or operator, or one too
    large, and IllegalValues where an accumulator that traps overflows.
    """
    if not isinstance(machine, Systolic):
        raise Unsupported(
            f"{machine.name}: only model: systolic has an array to step through; "
            f"found model: {machine.model}"
        )
    if machine.datapath.composition != "fixed":
        raise Unsupported(
            f"{machine.name}: datapath.composition: the stepper has whole multipliers, one product "
            f"a cycle; found '{machine.datapath.composition}'; set it to fixed"
        )
    datapath = machine.datapath.datapath()
    folded = datapath.zero_point == "folded"
    products = _by_group(operator, list(operator.products(inputs, folded=folded)), work)
    signed = any(operator.weighted.weight_zero_points)
    widths = (datapath.weight_bits + signed, datapath.activation_bits + (not folded))
    array = _Array(machine, work, datapath, widths, traced_cycles)
    sums = [array.run(product) for product in products]
    counters = array.chip.counters
    if counters[OUT_OF_STEP]:
        raise AssertionError(f"{counters[OUT_OF_STEP]} operands met the sums of another vector")
    kinds = {"weight": 0, "activation": 1, "accumulator": 2}
    toggles = (WEIGHT_TOGGLES, ACTIVATION_TOGGLES, SUM_TOGGLES)
    writes = (WEIGHT_WRITES, ACTIVATION_WRITES, SUM_WRITES)
    return Stepped(
        np.concatenate(sums, axis=1),
        int(counters[CYCLES]),
        array.chip.active,
        MappingProxyType({kind: int(counters[toggles[i]]) for kind, i in kinds.items()}),
        MappingProxyType({kind: int(counters[writes[i]]) for kind, i in kinds.items()}),
        array.traced(),
    )


def _by_group(operator: MacOperator, products: list[Product], work: Work) -> list[Product]:
    """One product a group: a depthwise convolution gives one a filter."""
    m, n, k = work.n * work.oy * work.ox, work.oc, work.ky * work.kx * work.ic
    each = len(products) // work.groups if work.groups else 0
    merged = [
        Product(
            products[first].x,
            np.concatenate([p.w for p in products[first : first + each]]),
            np.concatenate([p.bias for p in products[first : first + each]]),
            products[first].first_channel,
        )
        for first in range(0, len(products), max(each, 1))
    ]
    if any(p.x.shape != (m, k) or p.w.shape != (n, k) for p in merged) or not merged:
        raise Unsupported(
            f"{operator.kind}: the stepper takes convolutions and products with a matrix of "
            "weights; choose such a layer"
        )
    return merged


class _Array:
    """Registers of one array and what is counted on them, over the groups of a layer."""

    def __init__(
        self,
        machine: Systolic,
        work: Work,
        datapath: Datapath,
        widths: tuple[int, int],
        traced: int,
    ) -> None:
        rows, cols, lanes = machine.array.rows, machine.array.cols, datapath.dot_width
        row = machine.row()
        self.row_folds, self.col_folds, self.tiles, _, _ = mapping(work.row(), row)
        if self.row_folds == 0:
            raise Unsupported(f"{machine.name}: {machine.refusals[OFMAP_TOO_SMALL]}")
        self.machine, self.datapath = machine, datapath
        stages = datapath.stages
        rules = np.array(
            [
                *((s.fan_in, s.bits, s.overflow == "saturate") for s in stages),
                (1, datapath.accumulator_bits, datapath.overflow == "saturate"),
            ],
            dtype=np.int64,
        )
        self.swapped = machine.array.dataflow == "input_stationary"
        turn = -1 if self.swapped else 1
        self.chip = Chip(
            down=np.zeros((rows, cols, lanes), np.int64),
            right=np.zeros((rows, cols, lanes), np.int64),
            sums=np.zeros((rows, cols, 1 + len(stages)), np.int64),
            tags=np.full((2, rows, cols), -1, np.int64),
            value=np.zeros(lanes, np.int64),
            total=np.zeros(1 + len(stages), np.int64),
            # An operand less its zero point is one bit wider.
            widths=np.array(widths[::turn], dtype=np.int64),
            kinds=np.array(KINDS[::turn], dtype=np.int64),
            rules=rules,
            swapped=int(self.swapped),
            active=np.zeros((rows, cols), np.int64),
            counters=np.zeros(COUNTERS, np.int64),
            trace=np.zeros((traced, rows, cols, 2 * lanes + 3), np.int64),
        )

    def run(self, product: Product) -> Ints:
        """The accumulators [rows, channels] of one product; raises IllegalValues at a trap."""
        x, w = product.x.astype(np.int64), product.w.astype(np.int64)
        tiled, on_cols = (w, x) if self.swapped else (x, w)
        result = np.zeros((len(tiled), len(on_cols), len(self.chip.rules)), np.int64)
        bias = product.bias.astype(np.int64)
        result[:, :, 0] = bias[:, None] if self.swapped else bias[None, :]
        self._check_size(product, len(tiled), len(on_cols))
        counters = self.chip.counters
        counters[TRAP_ROW] = -1
        for fold in self._folds(x.shape[1], len(on_cols), len(tiled)):
            self._fold(on_cols, tiled, result, fold)
        if self.datapath.overflow == "trap" and counters[TRAP_ROW] >= 0:
            row, channel, tap = (int(counters[c]) for c in (TRAP_ROW, TRAP_CHANNEL, TRAP_TAP))
            channel += product.first_channel
            raise IllegalValues(overflow_message(self.datapath, row, channel, tap))
        sums = result[:, :, 0]
        return sums.T if self.swapped else sums

    def traced(self) -> Ints:
        """The trace, weights before activations whichever of them the array holds."""
        chip, lanes = self.chip, self.datapath.dot_width
        trace: Ints = chip.trace[: int(chip.counters[CYCLES])]
        if not self.swapped:
            return trace
        weights, activations = trace[..., lanes : 2 * lanes], trace[..., :lanes]
        return np.concatenate([weights, activations, trace[..., 2 * lanes :]], axis=-1)

    def _fold(self, on_cols: Ints, tiled: Ints, result: Ints, fold: Ints) -> None:
        array, physical = self.machine.array, self.machine.timing == "physical"
        stationary = array.dataflow == "output_stationary"
        span = (int(fold[TILES] if stationary else fold[ROWS]), int(fold[COLUMNS]))
        span = span if physical else (array.rows, array.cols)
        if stationary:
            output_fold(self.chip, on_cols, tiled, result, fold, span, physical)
        else:
            held_fold(self.chip, on_cols, tiled, result, fold, span)

    def _folds(self, taps: int, on_cols: int, tiled: int) -> list[Ints]:
        """(first row, rows, first column, columns, first of the tile, tile) of each fold."""
        steps = -(-taps // self.datapath.dot_width)
        stationary = self.machine.array.dataflow == "output_stationary"
        rows = steps if stationary else self.machine.array.rows
        return [
            np.array((*r, *c, *t), dtype=np.int64)
            for c in _pieces(on_cols, -(-on_cols // self.col_folds))
            for t in _pieces(tiled, -(-tiled // self.tiles))
            for r in _pieces(steps, rows)
        ]

    def _check_size(self, product: Product, tiled: int, on_cols: int) -> None:
        folds = self._folds(product.x.shape[1], on_cols, tiled)
        rows, cols = self.chip.active.shape
        cycles = sum(int(f[ROWS] + f[TILES]) for f in folds) + len(folds) * (rows + cols)
        if cycles * rows * cols > MOST_STEPS:
            raise Unsupported(
                f"{cycles * rows * cols} steps of single elements are more than {MOST_STEPS}; "
                "take a smaller layer or array"
            )


def _pieces(length: int, size: int) -> list[tuple[int, int]]:
    return [(first, min(size, length - first)) for first in range(0, length, size)]
