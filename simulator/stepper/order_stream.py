"""A layer's stream in an `Order`: every step, or stretches of consecutive ones."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from simulator.mac import Product
from simulator.mapping.layout import IC, KX, KY, OC, OX, OY, N
from simulator.numeric.datapath import Datapath
from simulator.stepper.activity_kernels import COUNTS, HELD_TOGGLES, HELD_WRITES
from simulator.stepper.counted import Stream
from simulator.stepper.layout import Ints
from simulator.stepper.order_kernels import (
    ACTIVATION,
    PRODUCTS,
    WEIGHT,
    Walk,
    look_back,
    reduces,
    walk_operand,
    walk_steps,
)
from simulator.stepper.orders import IDLE, Order

STRETCH_PRODUCTS: Final = 1024
"""Products of a drawn stretch, about; so many steps, but no fewer than `LEAST_STEPS`."""
LEAST_STEPS: Final = 4


class OrderStream(Stream):
    """The products of a layer in an order; sums in that order, fitted to the accumulator.

    `widths` are bits of a weight and an activation. Narrower sums before the accumulator are not
    told apart. A drawn stretch begins with what the steps before it left in the registers.
    """

    least_stretches = 200

    def __init__(
        self, order: Order, products: Sequence[Product], datapath: Datapath, widths: tuple[int, int]
    ) -> None:
        self.order = order
        self.walk = _walk(order, products, datapath, widths)
        units = order.places.shape[0] * order.places.shape[1]
        self.length = max(LEAST_STEPS, -(-STRETCH_PRODUCTS // units))
        self.visits = 0

    @property
    def stretches(self) -> int:
        """How many stretches there are."""
        return int(-(-self.order.steps // self.length))

    def whole(self) -> Ints:
        """Every step."""
        return self._visit(0, self.order.steps)[0]

    def visit(self, index: int) -> tuple[Ints, int]:
        """One stretch."""
        first = index * self.length
        return self._visit(first, min(first + self.length, self.order.steps))

    def exactly(self, most_products: int) -> Mapping[int, int]:
        """What an operand toggles that stays for many steps: only the first of them is visited."""
        found, places = {}, self.order.places.shape
        for kind, loops in ((WEIGHT, (N, OY, OX)), (ACTIVATION, (OC,))):
            stays = 1
            for loop, factor in self.order.loops:
                if places[0] > 1 or (loop not in loops and factor > 1):
                    break
                stays *= factor
            if self.order.steps // stays * places[1] <= most_products:
                self.walk.counts[:], self.walk.kept[:] = 0, 0
                walk_operand(self.walk, kind, (self.order.steps, stays))
                for place in (HELD_TOGGLES + kind, HELD_WRITES + kind):
                    found[place] = int(self.walk.counts[place])
        return found

    def effort(self) -> float:
        """Products of a stretch and of the sums that its outputs have before it, over the first."""
        outputs, left, reduction = 1, self.length, 1
        for loop, factor in self.order.loops:
            outputs *= 1 if reduces(loop) else min(factor, left)
            left = -(-left // factor)
            reduction *= factor if reduces(loop) else 1
        return float(1 + (1 + outputs) * reduction / 2 / self.length)

    def _visit(self, first: int, end: int) -> tuple[Ints, int]:
        self.visits += 1
        self.walk.counts[:] = 0
        look_back(self.walk, first)
        walk_steps(self.walk, first, end, self.visits)
        return self.walk.counts[:COUNTS].copy(), int(self.walk.counts[PRODUCTS])


def _walk(
    order: Order, products: Sequence[Product], datapath: Datapath, widths: tuple[int, int]
) -> Walk:
    x, w = np.stack([p.x for p in products]), np.stack([p.w for p in products])
    spans, cells, members = _cells(order)
    apart = int(order.apart.max()) + 1
    return Walk(
        x=x,
        w=w,
        starts=np.stack([p.bias.astype(np.int64) for p in products]),
        loops=np.array(order.loops, dtype=np.int64).reshape(-1, 2),
        bounds=order.bounds,
        strides=order.strides,
        spans=spans,
        cells=cells,
        members=members,
        kept=np.zeros((order.places.shape[1], 6), np.int64),
        results=np.zeros(len(cells), np.int64),
        last=np.full(len(cells), -1, np.int64),
        sums=np.zeros(x.shape[0] * x.shape[1] * w.shape[1] * apart, np.int64),
        seen=np.full(x.shape[0] * x.shape[1] * w.shape[1] * apart, -1, np.int64),
        widths=np.array(widths, dtype=np.int64),
        rule=np.array([datapath.accumulator_bits, datapath.overflow == "saturate"], np.int64),
        base=np.zeros(8, np.int64),
        reduced=np.zeros(8, np.int64),
        reach=np.zeros(8, np.int64),
        counts=np.zeros(PRODUCTS + 1, np.int64),
        apart=apart,
    )


def _cells(order: Order) -> tuple[Ints, Ints, Ints]:
    """`Walk.spans`, `Walk.cells` and `Walk.members` of an order."""
    turns, units = order.places.shape[:2]
    keys = np.concatenate([order.places, order.apart[:, :, None]], axis=2).reshape(-1, 9)
    keys[:, [IC, KY, KX]] = 0
    idle = order.places.reshape(-1, 8)[:, N] == IDLE
    cells, which = np.unique(keys[~idle], axis=0, return_inverse=True)
    found: list[list[list[tuple[int, int, int, int]]]] = [
        [[] for _ in range(len(cells))] for _ in range(turns)
    ]
    busy = np.flatnonzero(~idle).tolist()
    for number, cell in zip(busy, which.reshape(-1).tolist(), strict=True):
        turn, unit = divmod(number, units)
        place = order.places[turn, unit]
        found[turn][cell].append((unit, int(place[IC]), int(place[KY]), int(place[KX])))
    spans = np.zeros((turns, len(cells), 2), np.int64)
    members: list[tuple[int, int, int, int]] = []
    for turn in range(turns):
        for at in range(len(cells)):
            first = len(members)
            members += found[turn][at]
            spans[turn, at] = first, len(members)
    return spans, cells.astype(np.int64), np.array(members, dtype=np.int64).reshape(-1, 4)
