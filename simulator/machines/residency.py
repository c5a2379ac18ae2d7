"""Which operand of a product stays on a systolic array's chip, and in what order its tiles run.

The search is exhaustive over column folds and tiles, each with three orders, and cut off by lower
bounds, so that most layers take a handful of candidates. Fewer cycles win, then less DRAM traffic.
Every candidate of a machine is one of a machine with more rows, columns, bytes or bandwidth, where
it costs no more: so does the best.
"""

from typing import Final, TypeAlias

from simulator.jit import njit
from simulator.machines.actions import Counts
from simulator.machines.counting import ceil_div, cycles_for
from simulator.machines.folds import (
    COLS,
    DATAFLOW,
    DRAM_RATE,
    IFMAP_BYTES,
    INPUT_STATIONARY,
    TIMING,
    WEIGHT_BYTES,
    Layout,
    Product,
    Widths,
    demand,
    fewest_tiles,
    largest_tile,
    layout,
    row_folds_of,
)

Operands: TypeAlias = tuple[int, int]
"""Of what is tiled and of what lies on the columns: bits, or how much of it fits on chip."""
Plan: TypeAlias = tuple[int, int, int, int, int]
"""Folds over rows and columns, tiles, and how often what is tiled and what lies on the columns
comes from DRAM; all 0 where there is no plan."""
NEVER: Final = 2**62


@njit
def lines_that_fit(bits: int, lines: int, room: int) -> int:
    """How many of `lines`, all of them `bits` large, half an SRAM holds."""
    return lines if bits <= room else room // ceil_div(bits, lines)


@njit
def next_folds(length: int, folds: int) -> int:
    """The next larger number of folds that makes the longest one shorter; 0 after the last."""
    longest = ceil_div(length, folds)
    return 0 if longest == 1 else ceil_div(length, longest - 1)


@njit
def column_first(shape: Layout, col_folds: int, fits: Operands, tile: int) -> int:
    """DRAM reads of what is tiled where the columns of some folds stay while all tiles run.

    Tiles larger than their SRAM pass each fold from DRAM. Returns 0 where no fold stays.
    """
    together = col_folds if fits[1] >= shape[1] else fits[1] // ceil_div(shape[1], col_folds)
    if together == 0:
        return 0
    if fits[0] >= shape[2]:
        return 1
    return col_folds if tile > fits[0] else ceil_div(col_folds, together)


@njit
def tile_first(shape: Layout, col_folds: int, fits: Operands, tiles: int) -> int:
    """DRAM reads of what lies on the columns where some tiles stay while all folds run, or 0."""
    together = tiles if fits[0] >= shape[2] else fits[0] // ceil_div(shape[2], tiles)
    if together == 0:
        return 0
    if fits[1] >= shape[1]:
        return 1
    return tiles if ceil_div(shape[1], col_folds) > fits[1] else ceil_div(tiles, together)


@njit
def best_order(
    shape: Layout, col_folds: int, tiles: int, fits: Operands, bits: Operands
) -> tuple[int, int, int]:
    """The order that moves least: DRAM reads (tiled, on columns) and the bits they move.

    Outputs stay and neither operand does, or folds stay while tiles run, or the other way round;
    what fits whole is read once.
    """
    tiled = 1 if fits[0] >= shape[2] else col_folds
    column = 1 if fits[1] >= shape[1] else tiles
    moved = tiled * bits[0] + column * bits[1]
    again = column_first(shape, col_folds, fits, ceil_div(shape[2], tiles))
    if again > 0 and again * bits[0] + bits[1] < moved:
        tiled, column, moved = again, 1, again * bits[0] + bits[1]
    again = tile_first(shape, col_folds, fits, tiles)
    if again > 0 and bits[0] + again * bits[1] < moved:
        tiled, column, moved = 1, again, bits[0] + again * bits[1]
    return tiled, column, moved


@njit
def least_moved(shape: Layout, col_folds: int, fits: Operands, bits: Operands) -> int:
    """No more than any order moves with this or more column folds."""
    if fits[0] >= shape[2]:
        return bits[0] + bits[1]
    tiled = col_folds if fits[1] == 0 else min(col_folds, ceil_div(shape[1], fits[1]))
    moved = tiled * bits[0] + bits[1]
    if fits[0] > 0:
        moved = min(moved, bits[0] + ceil_div(shape[2], fits[0]) * bits[1])
    return moved


@njit
def least_moved_here(shape: Layout, col_folds: int, fits: Operands, bits: Operands) -> int:
    """No more than any order moves with these column folds, however many the tiles."""
    if fits[0] >= shape[2]:
        return bits[0] + bits[1]
    tiled = column_first(shape, col_folds, fits, 0)
    moved = (tiled if tiled > 0 else col_folds) * bits[0] + bits[1]
    if fits[0] > 0:
        moved = min(moved, bits[0] + ceil_div(shape[2], fits[0]) * bits[1])
    return moved


@njit
def plan(
    machine: Counts,
    product: Product,
    widths: Widths,
    distinct: Operands,
    other: int,
    prologue: int,
) -> Plan:
    """The best folds, tiles and order of a layer.

    `distinct` are its inputs and weights in bits, `other` what DRAM moves besides; `prologue` the
    cycles of the transfers before the first operation.
    """
    groups = product[0]
    shape = layout(machine, product, widths)
    bits, fits = resident(machine, shape, groups, distinct)
    row_folds = row_folds_of(machine, shape[0])
    best = (0, 0, 0, 0, 0)
    best_cycles = best_moved = NEVER
    col_folds = ceil_div(shape[1], machine[COLS])
    while col_folds > 0:
        tile = largest_tile(machine, shape, row_folds, ceil_div(shape[1], col_folds))
        if best[0] > 0:
            tiles = fewest_tiles(machine, shape)
            busy = demand(machine, product, (row_folds, col_folds, tiles), widths)[1] + prologue
            moved = least_moved(shape, col_folds, fits, bits)
            cycles = max(busy, cycles_for(moved + other, machine[DRAM_RATE]))
            if cycles > best_cycles or (cycles == best_cycles and moved >= best_moved):
                break
        least, before = least_moved_here(shape, col_folds, fits, bits), NEVER
        tiles = ceil_div(shape[2], tile) if tile > 0 else 0
        while tiles > 0 and before > least:
            tiled, column, moved = best_order(shape, col_folds, tiles, fits, bits)
            if moved < before:
                before = moved
                folds = (row_folds, col_folds, tiles)
                busy = demand(machine, product, folds, widths)[1] + prologue
                cycles = max(busy, cycles_for(moved + other, machine[DRAM_RATE]))
                if cycles < best_cycles or (cycles == best_cycles and moved < best_moved):
                    best_cycles, best_moved = cycles, moved
                    best = (row_folds, col_folds, tiles, tiled, column)
                if busy > best_cycles:
                    break
            tiles = 0 if machine[TIMING] != 0 else next_folds(shape[2], tiles)
        col_folds = 0 if machine[TIMING] != 0 else next_folds(shape[1], col_folds)
    return best


@njit
def resident(
    machine: Counts, shape: Layout, groups: int, distinct: Operands
) -> tuple[Operands, Operands]:
    """Bits of the operands of all groups, (tiled, on columns), and how much of one group fits."""
    tiled, column = distinct
    tiled_room, column_room = machine[IFMAP_BYTES] * 4, machine[WEIGHT_BYTES] * 4
    if machine[DATAFLOW] == INPUT_STATIONARY:
        tiled, column = column, tiled
        tiled_room, column_room = column_room, tiled_room
    fits = (
        lines_that_fit(ceil_div(tiled, groups), shape[2], tiled_room),
        lines_that_fit(ceil_div(column, groups), shape[1], column_room),
    )
    return (tiled, column), fits
