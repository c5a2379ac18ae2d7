"""Bits that change where multipliers take products in any order; see `simulator.stepper.orders`.

A cell is what a unit adds into at a time: multipliers whose products meet in one accumulator. The
partial sum of an output comes back to it where the order has left it and returns.
"""

from typing import Any, NamedTuple

import numpy as np

from simulator.jit import njit
from simulator.mapping.layout import IC, KX, KY, OC, OX, OY, G, N
from simulator.numeric.bit_count import toggled
from simulator.stepper.activity_kernels import (
    COUNTS,
    GATED_PRODUCT_TOGGLES,
    GATED_SUM_WRITES,
    HELD_TOGGLES,
    HELD_WRITES,
    PRODUCT_TOGGLES,
    SUM_TOGGLES,
    SUM_WRITES,
    product_toggles,
)
from simulator.stepper.element import fit

PRODUCTS = COUNTS
"""Behind the counts of every stream: products taken."""
LOOK_BACK = 16
"""Steps before a stretch in which the last operands of a multiplier are looked for."""
WEIGHT, ACTIVATION, GATED_WEIGHT, GATED_ACTIVATION, WEIGHT_AT, ACTIVATION_AT = range(6)
"""What a multiplier keeps: its operands, those it took last where a gate sees a zero, and where
the operands lie, counted from 1."""


class Walk(NamedTuple):
    """A layer, an order, and what the registers hold; int64 but for the operands.

    x, w : int16 [groups, pixels, taps] and [groups, filters, taps]; starts [groups, filters].
    loops : [loops, 2], loop and factor, inner to outer; bounds, strides : [8].
    spans : [turns, cells, 2], first member of a cell in a turn, and the one behind its last.
    cells : [cells, 9], its place in each loop but reduced ones, and `apart`.
    members : [members, 4], a multiplier and its place in ic, ky and kx.
    kept : [multipliers, 6]; results, last : [cells], what an accumulator holds and of which output.
    sums, seen : [groups * pixels * filters * apart], partial sums and the stretch they are of.
    base, reduced, reach : [8], scratch; counts : [COUNTS + 1].
    """

    x: Any
    w: Any
    starts: Any
    loops: Any
    bounds: Any
    strides: Any
    spans: Any
    cells: Any
    members: Any
    kept: Any
    results: Any
    last: Any
    sums: Any
    seen: Any
    widths: Any
    rule: Any
    base: Any
    reduced: Any
    reach: Any
    counts: Any
    apart: int


@njit
def reduces(loop: int) -> bool:
    """Whether steps of a loop add to the same sums."""
    return loop in (IC, KY, KX)


@njit
def go_to(walk: Walk, step: int) -> Any:
    """Set `base` to where each loop stands in a step; returns how many steps of its sums precede.

    These are the steps of the loops that reduce, in their own order.
    """
    for loop in range(8):
        walk.base[loop] = 0
    before, radix = np.int64(0), np.int64(1)
    reach = walk.reach
    reach[:] = walk.strides
    for place in range(walk.loops.shape[0]):
        loop, factor = walk.loops[place, 0], walk.loops[place, 1]
        digit = step % factor
        step //= factor
        walk.base[loop] += digit * reach[loop]
        reach[loop] *= factor
        if reduces(loop):
            before += digit * radix
            radix *= factor
    return before


@njit
def reduce_to(walk: Walk, step: int, base: Any) -> None:
    """Set the reduced loops of `base` to where their step number `step` has them."""
    base[IC], base[KY], base[KX] = 0, 0, 0
    reach = walk.reach
    reach[:] = walk.strides
    for place in range(walk.loops.shape[0]):
        loop, factor = walk.loops[place, 0], walk.loops[place, 1]
        if reduces(loop):
            base[loop] += step % factor * reach[loop]
            step //= factor
            reach[loop] *= factor


@njit
def output_of(walk: Walk, cell: int) -> tuple[int, int, int]:
    """Group, pixel and filter of a cell's output at `base`; the group is -1 where there is none."""
    place, base, bounds = walk.cells[cell], walk.base, walk.bounds
    for loop in (N, G, OC, OY, OX):
        if base[loop] + place[loop] >= bounds[loop]:
            return -1, 0, 0
    pixel = (base[N] + place[N]) * bounds[OY] + base[OY] + place[OY]
    return base[G] + place[G], pixel * bounds[OX] + base[OX] + place[OX], base[OC] + place[OC]


@njit
def tap_of(walk: Walk, member: int, base: Any) -> Any:
    """The tap that a member of a cell takes, or -1."""
    ic, ky = base[IC] + walk.members[member, 1], base[KY] + walk.members[member, 2]
    kx, bounds = base[KX] + walk.members[member, 3], walk.bounds
    if ic >= bounds[IC] or ky >= bounds[KY] or kx >= bounds[KX]:
        return np.int64(-1)
    return (ky * bounds[KX] + kx) * bounds[IC] + ic


@njit
def start_of(walk: Walk, cell: int, output: tuple[int, int, int]) -> Any:
    """What the first sum of an output starts from: the bias, other parts of it from nothing."""
    start = walk.starts[output[0], output[2]] if walk.cells[cell, 8] == 0 else np.int64(0)
    return fit(start, walk.rule[0], walk.rule[1])


@njit
def sum_before(walk: Walk, cell: int, output: tuple[int, int, int], steps: int) -> Any:
    """The partial sum that a cell has of an output after so many steps of the reduction."""
    total = start_of(walk, cell, output)
    group, pixel, channel = output
    base = walk.reduced
    for step in range(steps):
        reduce_to(walk, step, base)
        for turn in range(walk.spans.shape[0]):
            dot = np.int64(0)
            for member in range(walk.spans[turn, cell, 0], walk.spans[turn, cell, 1]):
                tap = tap_of(walk, member, base)
                if tap >= 0:
                    x = np.int64(walk.x[group, pixel, tap])
                    dot += x * np.int64(walk.w[group, channel, tap])
            total = fit(total + dot, walk.rule[0], walk.rule[1])
    return total


@njit
def number_of(walk: Walk, cell: int, output: tuple[int, int, int]) -> Any:
    """Where an output's partial sum of this cell is kept."""
    group, pixel, channel = output
    index = (group * walk.x.shape[1] + pixel) * walk.w.shape[1] + channel
    return index * walk.apart + walk.cells[cell, 8]


@njit
def operand_at(walk: Walk, kind: int, output: tuple[int, int, int], tap: int) -> Any:
    """The weight or activation of a product, and where it lies, counted from 1."""
    group, pixel, channel = output
    taps = walk.x.shape[2]
    if kind == WEIGHT:
        at = (group * walk.w.shape[1] + channel) * taps + tap + 1
        return np.int64(walk.w[group, channel, tap]), at
    at = (group * walk.x.shape[1] + pixel) * taps + tap + 1
    return np.int64(walk.x[group, pixel, tap]), at


@njit
def clock_operand(walk: Walk, unit: int, kind: int, operand: tuple[int, int]) -> None:
    """Take an operand, and where it lies, into a multiplier's register."""
    kept, counts = walk.kept[unit], walk.counts
    counts[HELD_TOGGLES + kind] += toggled(kept[kind], operand[0], walk.widths[kind])
    counts[HELD_WRITES + kind] += 1 if kept[WEIGHT_AT + kind] != operand[1] else 0
    kept[kind], kept[WEIGHT_AT + kind] = operand


@njit
def take_product(walk: Walk, unit: int, weight: tuple[int, int], value: tuple[int, int]) -> bool:
    """Clock two operands, and where they lie, into a multiplier; whether neither is zero."""
    kept, counts, pair = walk.kept[unit], walk.counts, (weight[0], value[0])
    before = (kept[WEIGHT], kept[ACTIVATION])
    counts[PRODUCT_TOGGLES] += product_toggles(before, pair, walk.widths)
    clock_operand(walk, unit, WEIGHT, weight)
    clock_operand(walk, unit, ACTIVATION, value)
    counts[PRODUCTS] += 1
    if pair[0] == 0 or pair[1] == 0:
        return False
    gated = (kept[GATED_WEIGHT], kept[GATED_ACTIVATION])
    counts[GATED_PRODUCT_TOGGLES] += product_toggles(gated, pair, walk.widths)
    kept[GATED_WEIGHT], kept[GATED_ACTIVATION] = pair
    return True


@njit
def walk_operand(walk: Walk, kind: int, span: tuple[int, int]) -> None:
    """The registers of one operand alone; `span`: all steps, and how many it stays for."""
    steps, stays = span
    for step in range(0, steps, stays):
        go_to(walk, step)
        for turn in range(walk.spans.shape[0]):
            for cell in range(walk.spans.shape[1]):
                output = output_of(walk, cell)
                if output[0] < 0:
                    continue
                for member in range(walk.spans[turn, cell, 0], walk.spans[turn, cell, 1]):
                    tap = tap_of(walk, member, walk.base)
                    if tap >= 0:
                        operand = operand_at(walk, kind, output, tap)
                        clock_operand(walk, walk.members[member, 0], kind, operand)


@njit
def step_cell(walk: Walk, turn: int, cell: int, before: int, stretch: int) -> None:
    """One turn of one cell at `base`: its multipliers, then its accumulator."""
    output = output_of(walk, cell)
    if output[0] < 0:
        return
    dot, taken, opened = np.int64(0), False, False
    for member in range(walk.spans[turn, cell, 0], walk.spans[turn, cell, 1]):
        tap = tap_of(walk, member, walk.base)
        if tap < 0:
            continue
        taken = True
        weight = operand_at(walk, WEIGHT, output, tap)
        value = operand_at(walk, ACTIVATION, output, tap)
        if take_product(walk, walk.members[member, 0], weight, value):
            opened = True
        dot += weight[0] * value[0]
    if not taken:
        return
    number = number_of(walk, cell, output)
    if walk.seen[number] != stretch:
        walk.seen[number] = stretch
        walk.sums[number] = sum_before(walk, cell, output, before)
    total = fit(walk.sums[number] + dot, walk.rule[0], walk.rule[1])
    walk.sums[number] = total
    walk.counts[SUM_TOGGLES] += toggled(walk.results[cell], total, walk.rule[0])
    walk.counts[SUM_WRITES] += 1
    walk.counts[GATED_SUM_WRITES] += 1 if opened or walk.last[cell] != number else 0
    walk.results[cell], walk.last[cell] = total, number


@njit
def walk_steps(walk: Walk, first: int, end: int, stretch: int) -> None:
    """Steps `first` to `end` of a layer, the registers as they are; `stretch` is their number."""
    for step in range(first, end):
        before = go_to(walk, step)
        for turn in range(walk.spans.shape[0]):
            for cell in range(walk.spans.shape[1]):
                step_cell(walk, turn, cell, before, stretch)


@njit
def look_back(walk: Walk, first: int) -> None:
    """Set the registers as the steps before `first` leave them, as far as `LOOK_BACK` tells.

    What was taken longer ago stays as it is, but for nothing taken since the layer's start.
    """
    open_units = np.zeros((2, walk.kept.shape[0]), np.int64)
    open_cells = np.zeros(walk.results.shape[0], np.int64)
    start = max(0, first - LOOK_BACK)
    if start == 0:
        walk.kept[:] = 0
        walk.results[:], walk.last[:] = 0, -1
    for step in range(first - 1, start - 1, -1):
        before = go_to(walk, step)
        for turn in range(walk.spans.shape[0] - 1, -1, -1):
            for cell in range(walk.spans.shape[1]):
                recall_cell(walk, (turn, cell), before, open_units, open_cells)
        if open_units.min() != 0 and open_cells.min() != 0:
            return


@njit
def recall_cell(
    walk: Walk, place: tuple[int, int], before: int, open_units: Any, open_cells: Any
) -> None:
    """Set what one turn of one cell at `base` has left in registers that no later one set."""
    turn, cell = place
    output = output_of(walk, cell)
    if output[0] < 0:
        return
    taken = False
    for member in range(walk.spans[turn, cell, 0], walk.spans[turn, cell, 1]):
        tap, unit = tap_of(walk, member, walk.base), walk.members[member, 0]
        if tap < 0:
            continue
        taken = True
        weight = operand_at(walk, WEIGHT, output, tap)
        value = operand_at(walk, ACTIVATION, output, tap)
        if open_units[0, unit] == 0:
            open_units[0, unit] = 1
            walk.kept[unit, WEIGHT], walk.kept[unit, WEIGHT_AT] = weight
            walk.kept[unit, ACTIVATION], walk.kept[unit, ACTIVATION_AT] = value
        if open_units[1, unit] == 0 and weight[0] != 0 and value[0] != 0:
            open_units[1, unit] = 1
            walk.kept[unit, GATED_WEIGHT] = weight[0]
            walk.kept[unit, GATED_ACTIVATION] = value[0]
    if taken and open_cells[cell] == 0:
        open_cells[cell] = 1
        walk.last[cell] = number_of(walk, cell, output)
        walk.results[cell] = sum_before(walk, cell, output, before + 1)
