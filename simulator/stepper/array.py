"""The array cycle by cycle: operands move right and down, from register to register.

Elements are visited from the far corner back, so that each reads what its neighbours held at the
end of the cycle before. A register without new data is not clocked. `tags` say which vector an
operand or a sum belongs to; where two that meet differ, the skew at the edges is wrong.
"""

from typing import Any, NamedTuple

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
"""A fold: its first step or row and how many, its columns, and what it takes of the tiled."""


class Chip(NamedTuple):
    """Registers of all elements, what they do, and what is counted; arrays of int64.

    down, right : [rows, cols, lanes], operands that enter at the top (or are held) and at the left.
    sums : [rows, cols, 1 + stages], the accumulator and each stage's partial sum.
    tags : [2, rows, cols], the vector that came from the left and from above, or -1.
    value, total : [lanes], [1 + stages], what is about to be clocked.
    widths : bits of what moves down and right; kinds: the counters of their toggles.
    rules : [1 + stages, 3], see `simulator.stepper.element.add_step`.
    swapped : 1 where columns hold activations, so that a result is [channel, pixel].
    """

    down: Any
    right: Any
    sums: Any
    tags: Any
    value: Any
    total: Any
    widths: Any
    kinds: Any
    rules: Any
    swapped: int
    active: Any
    counters: Any
    trace: Any


@njit
def take(chip: Chip, matrix: Any, line: int, first: int) -> None:
    """Put the taps from `first` on of one line of an operand on the edge; 0 outside it."""
    for lane in range(chip.value.shape[0]):
        inside = line < matrix.shape[0] and first + lane < matrix.shape[1]
        chip.value[lane] = matrix[line, first + lane] if inside else 0


@njit
def end_cycle(chip: Chip, phase: int) -> None:
    """Keep every register as it is now, where a trace is wanted, and count the cycle."""
    cycle, trace, lanes = chip.counters[CYCLES], chip.trace, chip.down.shape[2]
    if cycle < trace.shape[0]:
        for i in range(chip.down.shape[0]):
            for j in range(chip.down.shape[1]):
                for lane in range(lanes):
                    trace[cycle, i, j, lane] = chip.down[i, j, lane]
                    trace[cycle, i, j, lanes + lane] = chip.right[i, j, lane]
                trace[cycle, i, j, 2 * lanes] = chip.sums[i, j, 0]
                trace[cycle, i, j, 2 * lanes + 1] = chip.tags[0, i, j] if phase == STREAM else -1
                trace[cycle, i, j, 2 * lanes + 2] = phase
    chip.counters[CYCLES] += 1


@njit
def arriving(chip: Chip, i: int, j: int, cycle: int, vectors: int) -> Any:
    """The vector that reaches an element in this cycle, from the left as from above, or -1.

    Edge row i starts i cycles late and column j j cycles.
    """
    left = cycle - i if j == 0 else chip.tags[0, i, j - 1]
    above = cycle - j if i == 0 else chip.tags[1, i - 1, j]
    chip.tags[0, i, j] = left if 0 <= left < vectors else -1
    chip.tags[1, i, j] = above if 0 <= above < vectors else -1
    if chip.tags[0, i, j] != chip.tags[1, i, j]:
        chip.counters[OUT_OF_STEP] += 1
    return chip.tags[0, i, j]


@njit
def clock_down(chip: Chip, i: int, j: int) -> None:
    """Take the operand above, or the one at the top edge."""
    value = chip.value if i == 0 else chip.down[i - 1, j]
    write(chip.down[i, j], value, chip.widths[0], chip.counters, chip.kinds[0])


@njit
def clock_right(chip: Chip, i: int, j: int) -> None:
    """Take the operand of the left neighbour, or the one at the left edge."""
    value = chip.value if j == 0 else chip.right[i, j - 1]
    write(chip.right[i, j], value, chip.widths[1], chip.counters, chip.kinds[1])


@njit
def clock_sum(chip: Chip, i: int, j: int, value: Any) -> None:
    """Take a sum into an element's accumulator."""
    write(chip.sums[i, j], value, chip.rules[-1, 1], chip.counters, SUM_TOGGLES)


@njit
def start_sum(chip: Chip, t: int, c: int) -> None:
    """Fit what a sum starts from, the bias, into the accumulator."""
    start = chip.total[0]
    chip.total[0] = fit(start, chip.rules[-1, 1], chip.rules[-1, 2])
    if chip.total[0] != start:
        row, channel = (c, t) if chip.swapped else (t, c)
        note_overflow(chip.counters, row, channel, -1)


@njit
def multiply(chip: Chip, i: int, j: int, step: int, taps: int, t: int, c: int) -> None:
    """Add an element's products of this step to the sum in `total`."""
    first = step * chip.value.shape[0]
    tap = add_step(chip.total, chip.right[i, j], chip.down[i, j], first, taps, chip.rules)
    if tap >= 0:
        row, channel = (c, t) if chip.swapped else (t, c)
        note_overflow(chip.counters, row, channel, tap)
    chip.active[i, j] += 1


@njit
def load_held(chip: Chip, held: Any, fold: Any, rows: int, cols: int) -> None:
    """Move what is held down into its rows, the last row's first."""
    for cycle in range(rows):
        for i in range(cycle, -1, -1):
            for j in range(cols):
                if i == 0:
                    row = rows - 1 - cycle
                    step = fold[ROW_0] + row if row < fold[ROWS] else held.shape[1]
                    line = fold[COLUMN_0] + j if j < fold[COLUMNS] else held.shape[0]
                    take(chip, held, line, step * chip.value.shape[0])
                clock_down(chip, i, j)
        end_cycle(chip, LOAD)


@njit
def held_element(
    chip: Chip, passing: Any, result: Any, fold: Any, place: tuple[int, int, int], tag: int
) -> None:
    """One element of weight or input stationary in a cycle in which vector `tag` reaches it."""
    i, j, last = place
    t, c, step = fold[TILE_0] + tag, fold[COLUMN_0] + j, fold[ROW_0] + i
    used_row, used = i < fold[ROWS], j < fold[COLUMNS]
    if j == 0:
        step_read = step if used_row else passing.shape[1]
        take(chip, passing, t, step_read * chip.value.shape[0])
    clock_right(chip, i, j)
    for s in range(chip.total.shape[0]):
        entering = result[t, c, s] if i == 0 and used else 0
        chip.total[s] = chip.sums[i - 1, j, s] if i > 0 else entering
    if used and step == 0:
        start_sum(chip, t, c)
    if used and used_row:
        multiply(chip, i, j, step, passing.shape[1], t, c)
    clock_sum(chip, i, j, chip.total)
    if used and i == last:
        for s in range(chip.total.shape[0]):
            result[t, c, s] = chip.total[s]


@njit
def held_fold(
    chip: Chip, held: Any, passing: Any, result: Any, fold: Any, span: tuple[int, int]
) -> None:
    """One fold of weight or input stationary: load what is held, then stream past it.

    result [tiled, columns, 1 + stages] holds the sums that enter at the top and takes those that
    leave below the last row. `span` says how many rows and columns take part, idle ones included.
    """
    rows, cols = span
    chip.tags[:] = -1
    load_held(chip, held, fold, rows, cols)
    cycle = 0
    while chip.tags[0, rows - 1, cols - 1] != fold[TILES] - 1:
        for i in range(rows - 1, -1, -1):
            for j in range(cols - 1, -1, -1):
                tag = arriving(chip, i, j, cycle, fold[TILES])
                if tag >= 0:
                    held_element(chip, passing, result, fold, (i, j, rows - 1), tag)
        end_cycle(chip, STREAM)
        cycle += 1


@njit
def output_element(chip: Chip, w: Any, x: Any, fold: Any, place: tuple[int, int], tag: int) -> None:
    """One element of output stationary in a cycle in which step `tag` reaches it."""
    i, j = place
    t, c, lanes = fold[TILE_0] + i, fold[COLUMN_0] + j, chip.value.shape[0]
    if j == 0:
        take(chip, x, t if i < fold[TILES] else x.shape[0], tag * lanes)
    clock_right(chip, i, j)
    if i == 0:
        take(chip, w, c if j < fold[COLUMNS] else w.shape[0], tag * lanes)
    clock_down(chip, i, j)
    if i < fold[TILES] and j < fold[COLUMNS]:
        chip.total[:] = chip.sums[i, j]
        multiply(chip, i, j, tag, w.shape[1], t, c)
        clock_sum(chip, i, j, chip.total)


@njit
def drain(chip: Chip, result: Any, fold: Any, rows: int, cols: int) -> None:
    """Move the sums down, row by row, out below the last."""
    for cycle in range(rows):
        for j in range(cols):
            result[fold[TILE_0] + rows - 1 - cycle, fold[COLUMN_0] + j] = chip.sums[rows - 1, j]
        for i in range(rows - 1, cycle, -1):
            for j in range(cols):
                clock_sum(chip, i, j, chip.sums[i - 1, j])
        end_cycle(chip, DRAIN)


@njit
def output_fold(
    chip: Chip, w: Any, x: Any, result: Any, fold: Any, span: tuple[int, int], drains: bool
) -> None:
    """One fold of output stationary: activations right, weights down, then the sums down and out.

    result [rows, columns, 1 + stages] holds where the sums start and takes where they end. Without
    `drains` they are read where they stand, in no time.
    """
    rows, cols = span
    chip.tags[:] = -1
    for i in range(fold[TILES]):
        for j in range(fold[COLUMNS]):
            chip.total[:] = result[fold[TILE_0] + i, fold[COLUMN_0] + j]
            start_sum(chip, fold[TILE_0] + i, fold[COLUMN_0] + j)
            clock_sum(chip, i, j, chip.total)
    cycle = 0
    while chip.tags[0, rows - 1, cols - 1] != fold[ROWS] - 1:
        for i in range(rows - 1, -1, -1):
            for j in range(cols - 1, -1, -1):
                tag = arriving(chip, i, j, cycle, fold[ROWS])
                if tag >= 0:
                    output_element(chip, w, x, fold, (i, j), tag)
        end_cycle(chip, STREAM)
        cycle += 1
    if drains:
        drain(chip, result, fold, rows, cols)
        return
    for i in range(fold[TILES]):
        for j in range(fold[COLUMNS]):
            result[fold[TILE_0] + i, fold[COLUMN_0] + j] = chip.sums[i, j]


KINDS = (WEIGHT_TOGGLES, ACTIVATION_TOGGLES)
"""The counters of what moves down and right, unless the columns hold activations."""
