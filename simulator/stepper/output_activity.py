"""Bits that change in an output-stationary array; see `simulator.stepper.activity_kernels`."""

from typing import Any

import numpy as np

from simulator.jit import njit
from simulator.numeric.bit_count import toggled
from simulator.stepper.activity_kernels import (
    GATED_PRODUCT_TOGGLES,
    GATED_SUM_WRITES,
    HELD_TOGGLES,
    HELD_WRITES,
    PRODUCT_TOGGLES,
    SUM_TOGGLES,
    SUM_WRITES,
    Registers,
    add_products,
    operand,
    product_toggles,
    start,
    take_sum,
)
from simulator.stepper.array import COLUMN_0, COLUMNS, TILE_0, TILES
from simulator.stepper.element import fit


@njit
def pass_line(
    registers: Registers, matrix: Any, line: int, place: tuple[int, int], across: int
) -> None:
    """One line of an operand through `across` elements; `place`: which operand, its row or column.

    Operand 0 moves down a column, operand 1 right along a row.
    """
    kind, at = place
    bits, steps = registers.widths[kind], -(-matrix.shape[1] // registers.lanes.shape[1])
    lanes = registers.lanes.shape[1]
    for lane in range(lanes):
        entering = operand(matrix, line, lane)
        before, chain = entering, np.int64(0)
        for step in range(1, steps):
            value = operand(matrix, line, step * lanes + lane)
            chain += toggled(before, value, bits)
            before = value
        for other in range(across):
            if kind == 0:
                change = toggled(registers.held[other, at, lane], entering, bits)
                registers.held[other, at, lane] = before
            else:
                change = toggled(registers.passing[at, other, lane], entering, bits)
                registers.passing[at, other, lane] = before
            registers.counts[HELD_TOGGLES + kind] += change + chain
    registers.counts[HELD_WRITES + kind] += steps * across


@njit
def change_inputs(kept: Any, lanes: Any, place: tuple[int, int, int], widths: Any) -> Any:
    """Take a lane's two operands into a multiplier; how many of its partial products change."""
    i, j, lane = place
    old, new = (kept[0, i, j, lane], kept[1, i, j, lane]), (lanes[0, lane], lanes[1, lane])
    kept[0, i, j, lane], kept[1, i, j, lane] = new
    return product_toggles(old, new, widths)


@njit
def scalar_sums(
    registers: Registers, w: Any, x: Any, lines: tuple[int, int], at: tuple[int, int]
) -> None:
    """`element_sums` for one lane and no stages: a step reads its operands and nothing else."""
    i, j = at
    widths, rules, counts = registers.widths, registers.rules, registers.counts
    used, gated, running = registers.used, registers.gated, registers.total[0]
    used_w, used_x = used[0, i, j, 0], used[1, i, j, 0]
    gated_w, gated_x, kept = gated[0, i, j, 0], gated[1, i, j, 0], registers.sums[i, j, 0]
    bits, saturates = rules[0, 1], rules[0, 2]
    products, gated_products, changed, opened = np.int64(0), np.int64(0), np.int64(0), 0
    for tap in range(x.shape[1]):
        weight, value = w[lines[1], tap], x[lines[0], tap]
        products += product_toggles((used_w, used_x), (weight, value), widths)
        used_w, used_x = weight, value
        if weight != 0 and value != 0:
            gated_products += product_toggles((gated_w, gated_x), (weight, value), widths)
            gated_w, gated_x = weight, value
            opened += 1
        running = fit(running + weight * value, bits, saturates)
        changed += toggled(kept, running, bits)
        kept = running
    used[0, i, j, 0], used[1, i, j, 0] = used_w, used_x
    gated[0, i, j, 0], gated[1, i, j, 0] = gated_w, gated_x
    registers.total[0], registers.sums[i, j, 0] = running, running
    counts[PRODUCT_TOGGLES] += products
    counts[GATED_PRODUCT_TOGGLES] += gated_products
    counts[SUM_TOGGLES] += changed
    counts[SUM_WRITES] += x.shape[1]
    counts[GATED_SUM_WRITES] += opened


@njit
def element_sums(registers: Registers, w: Any, x: Any, fold: Any, place: tuple[int, int]) -> None:
    """All steps of one element of output stationary, at `place` of the array."""
    i, j = place
    lines = (fold[TILE_0] + i, fold[COLUMN_0] + j)
    if registers.rules.shape[0] == 1 and registers.lanes.shape[1] == 1:
        scalar_sums(registers, w, x, lines, place)
        return
    lanes, taps, widths = registers.lanes, x.shape[1], registers.widths
    used, gated, total, rules = registers.used, registers.gated, registers.total, registers.rules
    sums, bits = registers.sums[i, j], registers.rules[-1, 1]
    count = lanes.shape[1]
    products, gated_products, changed, opened_steps = np.int64(0), np.int64(0), np.int64(0), 0
    steps = -(-taps // count)
    for step in range(steps):
        opened = False
        for lane in range(count):
            tap = step * count + lane
            lanes[0, lane], lanes[1, lane] = operand(w, lines[1], tap), operand(x, lines[0], tap)
            if tap < taps:
                products += change_inputs(used, lanes, (i, j, lane), widths)
                if lanes[0, lane] != 0 and lanes[1, lane] != 0:
                    gated_products += change_inputs(gated, lanes, (i, j, lane), widths)
                    opened = True
        add_products(total, lanes, rules, step * count, taps)
        changed += take_sum(sums, total, bits)
        opened_steps += 1 if opened else 0
    counts = registers.counts
    counts[PRODUCT_TOGGLES] += products
    counts[GATED_PRODUCT_TOGGLES] += gated_products
    counts[SUM_TOGGLES] += changed
    counts[SUM_WRITES] += steps
    counts[GATED_SUM_WRITES] += opened_steps


@njit
def output_activity(
    registers: Registers, w: Any, x: Any, starts: Any, fold: Any, shape: tuple[int, int, bool]
) -> None:
    """One fold of output stationary; `shape`: rows, columns, whether the sums drain downwards.

    starts [rows of w] are what the sums begin with.
    """
    rows, cols, drains = shape
    counts = registers.counts
    for i in range(fold[TILES]):
        for j in range(fold[COLUMNS]):
            registers.total[:] = 0
            registers.total[0] = starts[fold[COLUMN_0] + j]
            start(registers)
            changed = take_sum(registers.sums[i, j], registers.total, registers.rules[-1, 1])
            counts[SUM_TOGGLES] += changed
    clocked = fold[TILES] * fold[COLUMNS]
    for i in range(rows):
        line = fold[TILE_0] + i if i < fold[TILES] else x.shape[0]
        pass_line(registers, x, line, (1, i), cols)
    for j in range(cols):
        line = fold[COLUMN_0] + j if j < fold[COLUMNS] else w.shape[0]
        pass_line(registers, w, line, (0, j), rows)
    for i in range(fold[TILES]):
        for j in range(fold[COLUMNS]):
            registers.total[:] = registers.sums[i, j]
            element_sums(registers, w, x, fold, (i, j))
    if drains:
        drain_sums(registers, rows, cols)
        clocked += rows * (rows - 1) // 2 * cols
    counts[SUM_WRITES] += clocked
    counts[GATED_SUM_WRITES] += clocked


@njit
def drain_sums(registers: Registers, rows: int, cols: int) -> None:
    """Sums move down row by row: each boundary is crossed by all that started above it."""
    bits = registers.rules[-1, 1]
    for j in range(cols):
        for s in range(registers.sums.shape[2]):
            for i in range(1, rows):
                change = toggled(registers.sums[i, j, s], registers.sums[i - 1, j, s], bits)
                registers.counts[SUM_TOGGLES] += change * (rows - i)
            for i in range(1, rows):
                registers.sums[i, j, s] = registers.sums[0, j, s]
