"""Bits that change in an array's registers and at its multipliers, without stepping each cycle.

The folds are those of `simulator.stepper.array`, and so is the order in which a register sees its
operands; what a cycle of skew shifts in time changes no count. A fold costs one visit a product.
"""

from typing import Any, NamedTuple

import numpy as np

from simulator.jit import njit
from simulator.numeric.bit_count import bit_count, toggled
from simulator.stepper.array import COLUMN_0, COLUMNS, ROW_0, ROWS, TILE_0
from simulator.stepper.element import add_step, fit

(
    HELD_TOGGLES,
    PASSING_TOGGLES,
    SUM_TOGGLES,
    HELD_WRITES,
    PASSING_WRITES,
    SUM_WRITES,
    PRODUCT_TOGGLES,
    GATED_PRODUCT_TOGGLES,
    GATED_SUM_WRITES,
) = range(9)
"""What is counted. `HELD` moves down the columns, `PASSING` along the rows; products are the
partial ones of multipliers at work, which keep their operands where a gate sees a zero."""
COUNTS = GATED_SUM_WRITES + 1


class Registers(NamedTuple):
    """What an array's registers hold between folds, int64.

    held, passing : [rows, cols, lanes]; sums : [rows, cols, 1 + stages].
    used, gated : [2, rows, cols, lanes], the last operands, held and passing, that a multiplier
        took, and that it took when a gate lets only non-zero products through.
    widths : bits of held and passing operands; rules : see `simulator.stepper.element.add_step`.
    total, lanes : [1 + stages] and [2, lanes], scratch.
    """

    held: Any
    passing: Any
    sums: Any
    used: Any
    gated: Any
    widths: Any
    rules: Any
    total: Any
    lanes: Any
    counts: Any


@njit
def product_toggles(before: tuple[int, int], after: tuple[int, int], widths: Any) -> Any:
    """How many of a multiplier's one-bit partial products change with its two operands.

    Each is the conjunction of a bit of either, so those that are set before and after are the bits
    that each operand keeps, multiplied.
    """
    masks = ((1 << widths[0]) - 1, (1 << widths[1]) - 1)
    w, x = before[0] & masks[0], before[1] & masks[1]
    w_next, x_next = after[0] & masks[0], after[1] & masks[1]
    kept = bit_count(w & w_next) * bit_count(x & x_next)
    return bit_count(w) * bit_count(x) + bit_count(w_next) * bit_count(x_next) - 2 * kept


@njit
def operand(matrix: Any, line: int, tap: int) -> Any:
    """One value of an operand; 0 outside it, as at the edge of an array."""
    return matrix[line, tap] if line < matrix.shape[0] and tap < matrix.shape[1] else np.int64(0)


@njit
def take_sum(sums: Any, total: Any, bits: int) -> Any:
    """Clock a total into an accumulator and its stages; how many of their bits change."""
    changed = np.int64(0)
    for s in range(total.shape[0]):
        changed += toggled(sums[s], total[s], bits)
        sums[s] = total[s]
    return changed


@njit
def add_products(total: Any, lanes: Any, rules: Any, first: int, taps: int) -> None:
    """Add the products of the lanes, taps `first` and on, to a total."""
    if rules.shape[0] > 1:
        add_step(total, lanes[1], lanes[0], first, taps, rules)
        return
    dot = np.int64(0)
    for lane in range(lanes.shape[1]):
        dot += lanes[0, lane] * lanes[1, lane]
    total[0] = fit(total[0] + dot, rules[0, 1], rules[0, 2])


@njit
def start(registers: Registers) -> None:
    """Fit what a sum starts from into the accumulator."""
    rules = registers.rules
    registers.total[0] = fit(registers.total[0], rules[-1, 1], rules[-1, 2])


@njit
def load_held(registers: Registers, held: Any, fold: Any, span: tuple[int, int]) -> None:
    """Shift what is held down into its rows: an element sees every value bound for below it."""
    rows, cols = span
    counts, bits = registers.counts, registers.widths[0]
    lanes = registers.held.shape[2]
    for j in range(cols):
        line = fold[COLUMN_0] + j if j < fold[COLUMNS] else held.shape[0]
        for lane in range(lanes):
            below, chain, last = np.int64(0), np.int64(0), np.int64(0)
            for i in range(rows - 1, -1, -1):
                step = fold[ROW_0] + i if i < fold[ROWS] else held.shape[1]
                value = operand(held, line, step * lanes + lane)
                if i == rows - 1:
                    last = value
                else:
                    chain += toggled(below, value, bits)
                before = registers.held[i, j, lane]
                counts[HELD_TOGGLES] += toggled(before, last, bits) + chain
                registers.held[i, j, lane], below = value, value
    counts[HELD_WRITES] += rows * (rows + 1) // 2 * cols


@njit
def pass_row(
    registers: Registers, passing: Any, fold: Any, place: tuple[int, int, int], span_cols: int
) -> None:
    """One row of a held fold as its vectors go by; `place`: row, first and last vector + 1."""
    i, first, end = place
    bits, counts, mask = registers.widths[1], registers.counts, (1 << registers.widths[0]) - 1
    used, gated = registers.used, registers.gated
    for lane in range(registers.passing.shape[2]):
        tap = (fold[ROW_0] + i) * registers.passing.shape[2] + lane
        works = i < fold[ROWS] and tap < passing.shape[1]
        entering = operand(passing, fold[TILE_0] + first, tap) if works else np.int64(0)
        before, chain, gated_chain = entering, np.int64(0), np.int64(0)
        any_open = entering != 0
        first_open, last_open = entering, entering
        for t in range(first + 1, end):
            value = operand(passing, fold[TILE_0] + t, tap) if works else np.int64(0)
            chain += toggled(before, value, bits)
            before = value
            if value != 0:
                if any_open:
                    gated_chain += toggled(last_open, value, bits)
                else:
                    first_open, any_open = value, True
                last_open = value
        for j in range(span_cols):
            change = toggled(registers.passing[i, j, lane], entering, bits) + chain
            counts[PASSING_TOGGLES] += change
            registers.passing[i, j, lane] = before
            if not works or j >= fold[COLUMNS]:
                continue
            weight = registers.held[i, j, lane]
            ones = bit_count(weight & mask)
            old = (used[0, i, j, lane], used[1, i, j, lane])
            counts[PRODUCT_TOGGLES] += product_toggles(old, (weight, entering), registers.widths)
            counts[PRODUCT_TOGGLES] += ones * chain
            used[1, i, j, lane], used[0, i, j, lane] = before, weight
            if any_open and weight != 0:
                old = (gated[0, i, j, lane], gated[1, i, j, lane])
                opened = product_toggles(old, (weight, first_open), registers.widths)
                counts[GATED_PRODUCT_TOGGLES] += opened + ones * gated_chain
                gated[1, i, j, lane], gated[0, i, j, lane] = last_open, weight
    counts[PASSING_WRITES] += (end - first) * span_cols


@njit
def sum_down(
    registers: Registers, passing: Any, fold: Any, place: tuple[int, int, int, int]
) -> Any:
    """The scratch total down one column; `place`: rows, those that multiply, vector, column."""
    rows, works, vector, j = place
    total, lanes, rules = registers.total, registers.lanes, registers.rules
    held, sums = registers.held, registers.sums
    count, taps, bits = lanes.shape[1], passing.shape[1], rules[-1, 1]
    simple = rules.shape[0] == 1 and count == 1
    saturates, changed = rules[-1, 2], np.int64(0)
    if simple:
        running = total[0]
        for i in range(rows):
            if i < works:
                product = held[i, j, 0] * operand(passing, vector, fold[ROW_0] + i)
                running = fit(running + product, bits, saturates)
            changed += toggled(sums[i, j, 0], running, bits)
            sums[i, j, 0] = running
        total[0] = running
        return changed
    for i in range(rows):
        if i < works:
            tap = (fold[ROW_0] + i) * count
            for lane in range(count):
                lanes[0, lane] = held[i, j, lane]
                lanes[1, lane] = operand(passing, vector, tap + lane)
            add_products(total, lanes, rules, tap, taps)
        changed += take_sum(sums[i, j], total, bits)
    return changed


@njit
def held_sums(
    registers: Registers, passing: Any, result: Any, fold: Any, span: tuple[int, int, int, int]
) -> None:
    """The sums of a held fold as they move down; `span`: rows, columns, first, last vector + 1.

    result [vectors, columns, 1 + stages] counts from the first vector and the fold's first column.
    """
    rows, cols, first, end = span
    for j in range(cols):
        used = j < fold[COLUMNS]
        for t in range(first, end if used else first + 1):
            for s in range(registers.total.shape[0]):
                registers.total[s] = result[t - first, j, s] if used else 0
            if used and fold[ROW_0] == 0:
                start(registers)
            works = fold[ROWS] if used else 0
            registers.counts[SUM_TOGGLES] += sum_down(
                registers, passing, fold, (rows, works, fold[TILE_0] + t, j)
            )
            if used:
                for s in range(registers.total.shape[0]):
                    result[t - first, j, s] = registers.total[s]
    writes = (end - first) * rows * cols
    registers.counts[SUM_WRITES] += writes
    registers.counts[GATED_SUM_WRITES] += writes


@njit
def held_vectors(
    registers: Registers, passing: Any, result: Any, fold: Any, span: tuple[int, int, int, int]
) -> None:
    """Vectors `first` to `end` of a fold of weight or input stationary, what is held in place."""
    rows, cols, first, end = span
    for i in range(rows):
        pass_row(registers, passing, fold, (i, first, end), cols)
    held_sums(registers, passing, result, fold, span)
