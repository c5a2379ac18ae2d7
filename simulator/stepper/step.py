"""A layer's real operands through a systolic array, register by register: bits, cycles, toggles.

The folds and tiles are those of the analytic model's mapping. The cycles are counted by running
until the last sum has left the array, not by a formula.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from simulator.errors import IllegalValues, Unsupported
from simulator.graph import Array
from simulator.mac import MacOperator, Product
from simulator.machines.base import Machine
from simulator.numeric.matmul import overflow_message
from simulator.stepper.array import KINDS, ROWS, TILES, Chip, held_fold, output_fold
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
from simulator.stepper.layout import Ints, Layout, products_by_group
from simulator.work import Work

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
    layout = Layout.of(operator, machine, work)
    products = products_by_group(operator, inputs, layout.datapath.zero_point == "folded", work)
    array = _Array(layout, traced_cycles)
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


class _Array:
    """Registers of one array and what is counted on them, over the groups of a layer."""

    def __init__(self, layout: Layout, traced: int) -> None:
        self.layout = layout
        rows, cols = layout.machine.array.rows, layout.machine.array.cols
        lanes, sums = layout.datapath.dot_width, len(layout.rules)
        self.chip = Chip(
            down=np.zeros((rows, cols, lanes), np.int64),
            right=np.zeros((rows, cols, lanes), np.int64),
            sums=np.zeros((rows, cols, sums), np.int64),
            tags=np.full((2, rows, cols), -1, np.int64),
            value=np.zeros(lanes, np.int64),
            total=np.zeros(sums, np.int64),
            widths=layout.widths,
            kinds=np.array(KINDS[:: -1 if layout.swapped else 1], dtype=np.int64),
            rules=layout.rules,
            swapped=int(layout.swapped),
            active=np.zeros((rows, cols), np.int64),
            counters=np.zeros(COUNTERS, np.int64),
            trace=np.zeros((traced, rows, cols, 2 * lanes + 3), np.int64),
        )

    def run(self, product: Product) -> Ints:
        """The accumulators [rows, channels] of one product; raises IllegalValues at a trap."""
        layout = self.layout
        on_cols, tiled = layout.operands(product)
        result = np.zeros((len(tiled), len(on_cols), len(self.chip.rules)), np.int64)
        bias = product.bias.astype(np.int64)
        result[:, :, 0] = bias[:, None] if layout.swapped else bias[None, :]
        folds = layout.folds(tiled.shape[1], len(on_cols), len(tiled))
        self._check_size(folds)
        counters = self.chip.counters
        counters[TRAP_ROW] = -1
        for fold in folds:
            self._fold(on_cols, tiled, result, fold)
        if layout.datapath.overflow == "trap" and counters[TRAP_ROW] >= 0:
            row, channel, tap = (int(counters[c]) for c in (TRAP_ROW, TRAP_CHANNEL, TRAP_TAP))
            channel += product.first_channel
            raise IllegalValues(overflow_message(layout.datapath, row, channel, tap))
        sums = result[:, :, 0]
        return sums.T if layout.swapped else sums

    def traced(self) -> Ints:
        """The trace, weights before activations whichever of them the array holds."""
        chip, lanes = self.chip, self.layout.datapath.dot_width
        trace: Ints = chip.trace[: int(chip.counters[CYCLES])]
        if not self.layout.swapped:
            return trace
        weights, activations = trace[..., lanes : 2 * lanes], trace[..., :lanes]
        return np.concatenate([weights, activations, trace[..., 2 * lanes :]], axis=-1)

    def _fold(self, on_cols: Ints, tiled: Ints, result: Ints, fold: Ints) -> None:
        layout = self.layout
        if layout.output_stationary:
            span, drains = layout.span(fold), layout.physical
            output_fold(self.chip, on_cols, tiled, result, fold, span, drains)
        else:
            held_fold(self.chip, on_cols, tiled, result, fold, layout.span(fold))

    def _check_size(self, folds: list[Ints]) -> None:
        rows, cols = self.chip.active.shape
        cycles = sum(int(f[ROWS] + f[TILES]) for f in folds) + len(folds) * (rows + cols)
        if cycles * rows * cols > MOST_STEPS:
            raise Unsupported(
                f"{cycles * rows * cols} steps of single elements are more than {MOST_STEPS}; "
                "take a smaller layer or array"
            )
