"""The array cycle by cycle: operands move right and down, from register to register.

Elements are visited from the far corner back, so that each reads what its neighbours held at the
end of the cycle before. A register without new data is not clocked. `tags` say which vector an
operand or a sum belongs to; where two that meet differ, the skew at the edges is wrong.
"""

from typing import Any

from simulator.jit import njit
from simulator.stepper.element import (
    ACTIVATION_TOGGLES,
    CYCLES,
    OUT_OF_STEP,
    SUM_TOGGLES,
    WEIGHT_TOGGLES,
    add_step,
    fit,
    note_overflow,
    write,
)

LOAD, STREAM, DRAIN = range(3)
ROW_0, ROWS, COLUMN_0, COLUMNS, TILE_0, TILES = range(6)


@njit
def lanes_of(matrix: Any, line: int, first: int, value: Any) -> None:
    """The taps from `first` on of one line of an operand matrix; 0 outside it."""
    for lane in range(value.shape[0]):
        inside = line < matrix.shape[0] and first + lane < matrix.shape[1]
        value[lane] = matrix[line, first + lane] if inside else 0


@njit
def record(a: Any, b: Any, sums: Any, tags: Any, phase: int, counters: Any, trace: Any) -> None:
    """Keep every register at the end of this cycle, and end it."""
    cycle = counters[CYCLES]
    if cycle < trace.shape[0]:
        lanes = a.shape[2]
        for i in range(a.shape[0]):
            for j in range(a.shape[1]):
                for lane in range(lanes):
                    trace[cycle, i, j, lane] = a[i, j, lane]
                    trace[cycle, i, j, lanes + lane] = b[i, j, lane]
                trace[cycle, i, j, 2 * lanes] = sums[i, j, 0]
                trace[cycle, i, j, 2 * lanes + 1] = tags[0, i, j] if phase == STREAM else -1
                trace[cycle, i, j, 2 * lanes + 2] = phase
    counters[CYCLES] += 1


@njit
def held_fold(
    held_matrix: Any,
    passing_matrix: Any,
    result: Any,
    fold: Any,
    span: Any,
    registers: Any,
    widths: Any,
    rules: Any,
    swapped: bool,
    active: Any,
    counters: Any,
    trace: Any,
) -> None:
    """One fold of weight or input stationary: load what is held, then stream past it.

    result [tiled, columns, 1 + stages] holds the sums that enter at the top and takes those that
    leave below the last row. `fold` says which taps, columns and tile; `span` how many rows and
    columns take part, idle ones included.
    """
    held, moving, sums, tags, value, total = registers
    rows, cols = span
    kind = (ACTIVATION_TOGGLES, WEIGHT_TOGGLES) if swapped else (WEIGHT_TOGGLES, ACTIVATION_TOGGLES)
    bits = (widths[1], widths[0]) if swapped else (widths[0], widths[1])
    lanes, taps = held.shape[2], held_matrix.shape[1]
    top = fold[ROW_0] + fold[ROWS]
    tags[:] = -1
    for cycle in range(rows):
        for i in range(cycle, -1, -1):
            for j in range(cols):
                if i == 0:
                    row = fold[ROW_0] + rows - 1 - cycle
                    line = fold[COLUMN_0] + j if j < fold[COLUMNS] else held_matrix.shape[0]
                    lanes_of(held_matrix, line, (row if row < top else taps) * lanes, value)
                    write(held[i, j], value, bits[0], counters, kind[0])
                else:
                    write(held[i, j], held[i - 1, j], bits[0], counters, kind[0])
        record(held, moving, sums, tags, LOAD, counters, trace)
    cycle = 0
    while tags[0, rows - 1, cols - 1] != fold[TILES] - 1:
        for i in range(rows - 1, -1, -1):
            row = fold[ROW_0] + i
            for j in range(cols - 1, -1, -1):
                tag = cycle - i if j == 0 else tags[0, i, j - 1]
                sum_tag = cycle - j if i == 0 else tags[1, i - 1, j]
                tag = tag if 0 <= tag < fold[TILES] else -1
                sum_tag = sum_tag if 0 <= sum_tag < fold[TILES] else -1
                tags[0, i, j], tags[1, i, j] = tag, sum_tag
                if tag != sum_tag:
                    counters[OUT_OF_STEP] += 1
                if tag < 0:
                    continue
                t, c = fold[TILE_0] + tag, fold[COLUMN_0] + j
                real = j < fold[COLUMNS]
                if j == 0:
                    lanes_of(passing_matrix, t, (row if row < top else taps) * lanes, value)
                    write(moving[i, j], value, bits[1], counters, kind[1])
                else:
                    write(moving[i, j], moving[i, j - 1], bits[1], counters, kind[1])
                for s in range(total.shape[0]):
                    total[s] = sums[i - 1, j, s] if i > 0 else (result[t, c, s] if real else 0)
                y, channel = (c, t) if swapped else (t, c)
                if i == 0 and row == 0 and real:
                    start = total[0]
                    total[0] = fit(start, rules[-1, 1], rules[-1, 2])
                    if total[0] != start:
                        note_overflow(counters, y, channel, -1)
                if row < top and real:
                    tap = add_step(total, moving[i, j], held[i, j], row * lanes, taps, rules)
                    if tap >= 0:
                        note_overflow(counters, y, channel, tap)
                    active[i, j] += 1
                write(sums[i, j], total, rules[-1, 1], counters, SUM_TOGGLES)
                if i == rows - 1 and real:
                    for s in range(total.shape[0]):
                        result[t, c, s] = total[s]
        record(held, moving, sums, tags, STREAM, counters, trace)
        cycle += 1


@njit
def output_fold(
    w_matrix: Any,
    x_matrix: Any,
    result: Any,
    fold: Any,
    span: Any,
    registers: Any,
    widths: Any,
    rules: Any,
    drains: bool,
    active: Any,
    counters: Any,
    trace: Any,
) -> None:
    """One fold of output stationary: activations right, weights down, then the sums down and out.

    result [rows, columns, 1 + stages] holds where the sums start and takes where they end. Without
    `drains` they are read where they stand, in no time.
    """
    w, x, sums, tags, value, total = registers
    rows, cols = span
    lanes, taps = w.shape[2], w_matrix.shape[1]
    steps = (taps + lanes - 1) // lanes
    tags[:] = -1
    for i in range(fold[TILES]):
        for j in range(fold[COLUMNS]):
            m, n = fold[TILE_0] + i, fold[COLUMN_0] + j
            total[:] = 0
            total[0] = fit(result[m, n, 0], rules[-1, 1], rules[-1, 2])
            if total[0] != result[m, n, 0]:
                note_overflow(counters, m, n, -1)
            write(sums[i, j], total, rules[-1, 1], counters, SUM_TOGGLES)
    cycle = 0
    while tags[0, rows - 1, cols - 1] != steps - 1:
        for i in range(rows - 1, -1, -1):
            for j in range(cols - 1, -1, -1):
                tag = cycle - i if j == 0 else tags[0, i, j - 1]
                w_tag = cycle - j if i == 0 else tags[1, i - 1, j]
                tag = tag if 0 <= tag < steps else -1
                w_tag = w_tag if 0 <= w_tag < steps else -1
                tags[0, i, j], tags[1, i, j] = tag, w_tag
                if tag != w_tag:
                    counters[OUT_OF_STEP] += 1
                if tag < 0:
                    continue
                m, n = fold[TILE_0] + i, fold[COLUMN_0] + j
                if j == 0:
                    line = m if i < fold[TILES] else x_matrix.shape[0]
                    lanes_of(x_matrix, line, tag * lanes, value)
                    write(x[i, j], value, widths[1], counters, ACTIVATION_TOGGLES)
                else:
                    write(x[i, j], x[i, j - 1], widths[1], counters, ACTIVATION_TOGGLES)
                if i == 0:
                    line = n if j < fold[COLUMNS] else w_matrix.shape[0]
                    lanes_of(w_matrix, line, tag * lanes, value)
                    write(w[i, j], value, widths[0], counters, WEIGHT_TOGGLES)
                else:
                    write(w[i, j], w[i - 1, j], widths[0], counters, WEIGHT_TOGGLES)
                if i < fold[TILES] and j < fold[COLUMNS]:
                    total[:] = sums[i, j]
                    tap = add_step(total, x[i, j], w[i, j], tag * lanes, taps, rules)
                    if tap >= 0:
                        note_overflow(counters, m, n, tap)
                    write(sums[i, j], total, rules[-1, 1], counters, SUM_TOGGLES)
                    active[i, j] += 1
        record(w, x, sums, tags, STREAM, counters, trace)
        cycle += 1
    if not drains:
        for i in range(fold[TILES]):
            for j in range(fold[COLUMNS]):
                result[fold[TILE_0] + i, fold[COLUMN_0] + j] = sums[i, j]
        return
    for cycle in range(rows):
        for j in range(cols):
            result[fold[TILE_0] + rows - 1 - cycle, fold[COLUMN_0] + j] = sums[rows - 1, j]
        for i in range(rows - 1, cycle, -1):
            for j in range(cols):
                write(sums[i, j], sums[i - 1, j], rules[-1, 1], counters, SUM_TOGGLES)
        record(w, x, sums, tags, DRAIN, counters, trace)
