"""How a layer lies on a systolic array: its products by group, its folds, its registers' widths."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from simulator.errors import Unsupported
from simulator.graph import Array
from simulator.mac import MacOperator, Product
from simulator.machines.base import Machine
from simulator.machines.folds import OFMAP_TOO_SMALL
from simulator.machines.systolic import Systolic, mapping
from simulator.numeric.datapath import Datapath
from simulator.stepper.array import COLUMNS, ROWS, TILES
from simulator.work import Work

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """One layer on one array.

    rules : [1 + stages, 3], see `simulator.stepper.element.add_step`.
    widths : bits of what columns hold and of what passes; an operand less its zero point is one
        bit wider. `swapped` where columns hold activations.
    """

    machine: Systolic
    datapath: Datapath
    col_folds: int
    tiles: int
    rules: Ints
    widths: Ints
    swapped: bool

    @classmethod
    def of(
        cls,
        operator: MacOperator,
        machine: Machine,
        work: Work,
        *,
        composed: bool = False,
        datapath: Datapath | None = None,
    ) -> Self:
        """The layout of the analytic model's mapping; raises Unsupported where there is none.

        `composed` multipliers are looked at as if each took its operands at once; `datapath` is
        the layer's own where it is not the machine's.
        """
        if not isinstance(machine, Systolic):
            raise Unsupported(
                f"{machine.name}: only model: systolic has an array to step through; "
                f"found model: {machine.model}"
            )
        if machine.datapath.composition != "fixed" and not composed:
            raise Unsupported(
                f"{machine.name}: datapath.composition: the stepper has whole multipliers, one "
                f"product a cycle; found '{machine.datapath.composition}'; set it to fixed"
            )
        row_folds, col_folds, tiles, _, _ = mapping(work.row(), machine.row())
        if row_folds == 0:
            raise Unsupported(f"{machine.name}: {machine.refusals[OFMAP_TOO_SMALL]}")
        datapath = datapath or machine.datapath.datapath()
        last = (1, datapath.accumulator_bits, datapath.overflow == "saturate")
        rules = [(s.fan_in, s.bits, s.overflow == "saturate") for s in datapath.stages]
        swapped = machine.array.dataflow == "input_stationary"
        widths = operand_widths(operator, datapath)
        return cls(
            machine,
            datapath,
            col_folds,
            tiles,
            np.array([*rules, last], dtype=np.int64),
            np.array(widths[:: -1 if swapped else 1], dtype=np.int64),
            swapped,
        )

    @property
    def output_stationary(self) -> bool:
        """Whether sums stay and both operands move."""
        return self.machine.array.dataflow == "output_stationary"

    @property
    def physical(self) -> bool:
        """Whether idle rows and columns take no part and sums drain, as hardware has it."""
        return self.machine.timing == "physical"

    def operands(self, product: Product) -> tuple[Ints, Ints]:
        """(what the columns hold or take, what passes or is tiled), each [lines, taps]."""
        x, w = product.x.astype(np.int64), product.w.astype(np.int64)
        return (x, w) if self.swapped else (w, x)

    def folds(self, taps: int, on_cols: int, tiled: int) -> list[Ints]:
        """(first row, rows, first column, columns, first of the tile, tile) of each fold."""
        steps = -(-taps // self.datapath.dot_width)
        rows = steps if self.output_stationary else self.machine.array.rows
        return [
            np.array((*r, *c, *t), dtype=np.int64)
            for c in pieces(on_cols, -(-on_cols // self.col_folds))
            for t in pieces(tiled, -(-tiled // self.tiles))
            for r in pieces(steps, rows)
        ]

    def span(self, fold: Ints) -> tuple[int, int]:
        """Rows and columns that take part in a fold."""
        if not self.physical:
            return self.machine.array.rows, self.machine.array.cols
        return int(fold[TILES if self.output_stationary else ROWS]), int(fold[COLUMNS])


def operand_widths(operator: MacOperator, datapath: Datapath) -> tuple[int, int]:
    """Bits of a weight and an activation at the multiplier, one more less their zero points."""
    signed = any(operator.weighted.weight_zero_points)
    subtracted = datapath.zero_point != "folded"
    return datapath.weight_bits + signed, datapath.activation_bits + subtracted


def products_by_group(
    operator: MacOperator, inputs: "Sequence[Array | None]", folded: bool, work: Work
) -> list[Product]:
    """One product a group: a depthwise convolution gives one a filter.

    Raises Unsupported for an operator whose products are not those of its work.
    """
    products = list(operator.products(inputs, folded=folded))
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


def pieces(length: int, size: int) -> list[tuple[int, int]]:
    """(first, count) of each piece of at most `size`."""
    return [(first, min(size, length - first)) for first in range(0, length, size)]
