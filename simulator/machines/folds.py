"""Folds of a product on a systolic array in closed form: cycles, and the demand on each SRAM.

`timing: scalesim` counts a fold as SCALE-Sim does: edge folds in full, no output drain (Samajdar
et al., ISPASS 2020). `timing: physical` counts the rows and columns that a fold uses and, output
stationary, the drain through the array. Numbers the columns of a systolic machine's row.
"""

from typing import Final, Literal, TypeAlias, get_args

from simulator.jit import njit
from simulator.machines.actions import (
    ACCUMULATIONS,
    COMPUTE_CYCLES,
    MACS,
    OVERHEAD_CYCLES,
    REGISTER_BYTES,
    STALL_CYCLES,
    Counts,
)
from simulator.machines.base import (
    ACCUMULATOR_BITS,
    COMMON,
    REFUSALS,
    Column,
    choice,
    fixed,
)
from simulator.machines.counting import ceil_div, cycles_for

Dataflow: TypeAlias = Literal["weight_stationary", "output_stationary", "input_stationary"]
Timing: TypeAlias = Literal["physical", "scalesim"]
FoldCycles: TypeAlias = tuple[int, int, int, int, int]

COLUMNS: Final = (
    Column("array.rows"),
    Column("array.cols"),
    Column("array.dataflow", choice(*get_args(Dataflow))),
    Column("timing", choice(*get_args(Timing))),
    Column("vector.lanes"),
    Column("memory.ifmap_sram.bytes"),
    Column("memory.ifmap_sram.bytes_per_cycle", fixed),
    Column("memory.weight_sram.bytes"),
    Column("memory.weight_sram.bytes_per_cycle", fixed),
    Column("memory.ofmap_sram.bytes"),
    Column("memory.ofmap_sram.bytes_per_cycle", fixed),
    Column("memory.dram.bytes_per_cycle", fixed),
)
(
    ROWS,
    COLS,
    DATAFLOW,
    TIMING,
    LANES,
    IFMAP_BYTES,
    IFMAP_RATE,
    WEIGHT_BYTES,
    WEIGHT_RATE,
    OFMAP_BYTES,
    OFMAP_RATE,
    DRAM_RATE,
) = range(len(COMMON), len(COMMON) + len(COLUMNS))
WEIGHT_STATIONARY, OUTPUT_STATIONARY, INPUT_STATIONARY = range(3)
IFMAP, WEIGHT, OFMAP, DRAM = range(4)
ARRAY_UNIT, VECTOR_UNIT = range(2)
BY_COMPUTE, BY_IFMAP, BY_WEIGHT, BY_OFMAP, BY_DRAM, BY_OVERHEAD = range(6)
OFMAP_TOO_SMALL: Final = len(REFUSALS)


@njit
def held_and_streamed(dataflow: int, m: int, n: int, steps: int) -> tuple[int, int, int]:
    """What rows and columns hold and what streams past: (on rows, on columns, streamed)."""
    if dataflow == WEIGHT_STATIONARY:
        return steps, n, m
    if dataflow == INPUT_STATIONARY:
        return steps, m, n
    return m, n, steps


@njit
def partial_sum_tile(machine: Counts, on_rows: int, on_cols: int, streamed: int) -> int:
    """How much of the stream one tile takes, so that its partial sums fit half the ofmap SRAM.

    Partial sums wait there at accumulator width while the next row fold runs; output stationary
    keeps them in the array, and SCALE-Sim has no limit. Returns 0 where not even one row fits.
    """
    unlimited = machine[DATAFLOW] == OUTPUT_STATIONARY or machine[TIMING] != 0
    if unlimited or on_rows <= machine[ROWS]:
        return streamed
    row_bits = min(on_cols, machine[COLS]) * machine[ACCUMULATOR_BITS]
    return int(min(streamed, machine[OFMAP_BYTES] * 4 // row_bits))


@njit
def fold_edges(machine: Counts, rows: int, cols: int) -> tuple[int, int, int]:
    """Cycles of a fold before and after its stream: (load, fill, drain)."""
    physical = machine[TIMING] == 0
    if not physical:
        rows, cols = machine[ROWS], machine[COLS]
    if machine[DATAFLOW] == OUTPUT_STATIONARY:
        return 0, rows + cols - 2, machine[ROWS] if physical else 0
    return rows, machine[ROWS] + cols - 2, 0


@njit
def fold_cycles(
    machine: Counts,
    rows: int,
    cols: int,
    stream: int,
    first: bool,
    last: bool,
    bits: tuple[int, int, int],
) -> FoldCycles:
    """One fold: (cycles of the array, cycles with its SRAMs, and the demand on each SRAM).

    `bits` are those of the weights and of the activations of one step, and of an output.
    """
    w_bits, a_bits, o_bits = bits
    load, fill, drain = fold_edges(machine, rows, cols)
    ifmap = weight = ofmap = held = drained = 0
    if machine[DATAFLOW] == OUTPUT_STATIONARY:
        ifmap = cycles_for(stream * rows * a_bits, machine[IFMAP_RATE])
        weight = cycles_for(stream * cols * w_bits, machine[WEIGHT_RATE])
        drained = cycles_for(rows * cols * o_bits, machine[OFMAP_RATE])
    else:
        carried = 0 if first else machine[ACCUMULATOR_BITS]
        carried += o_bits if last else machine[ACCUMULATOR_BITS]
        ofmap = cycles_for(stream * cols * carried, machine[OFMAP_RATE])
        if machine[DATAFLOW] == WEIGHT_STATIONARY:
            held = cycles_for(rows * cols * w_bits, machine[WEIGHT_RATE])
            ifmap = cycles_for(stream * rows * a_bits, machine[IFMAP_RATE])
        else:
            held = cycles_for(rows * cols * a_bits, machine[IFMAP_RATE])
            weight = cycles_for(stream * rows * w_bits, machine[WEIGHT_RATE])
    busy = max(load, held) + max(stream, max(ifmap, max(weight, ofmap))) + fill
    busy += max(drain, drained)
    if machine[DATAFLOW] == INPUT_STATIONARY:
        ifmap += held
    else:
        weight += held
    return load + stream + fill + drain, busy, ifmap, weight, ofmap + drained


@njit
def array_cycles(
    machine: Counts,
    on_rows: int,
    on_cols: int,
    streamed: int,
    tile: int,
    bits: tuple[int, int, int],
) -> FoldCycles:
    """All folds of one group, by their few distinct shapes; as `fold_cycles`.

    Rows come in a first, middle and last fold (partial sums are written, carried, finished),
    columns and tiles in full ones and an edge.
    """
    full_rows = (on_rows - 1) // machine[ROWS]
    full_cols = (on_cols - 1) // machine[COLS]
    full_tiles = (streamed - 1) // tile
    compute = busy = ifmap = weight = ofmap = 0
    for row_kind in range(3):
        rows = on_rows - full_rows * machine[ROWS] if row_kind == 2 else machine[ROWS]
        row_count = (min(full_rows, 1), max(full_rows - 1, 0), 1)[row_kind]
        first = row_kind == 0 or (row_kind == 2 and full_rows == 0)
        for col_kind in range(2):
            cols = on_cols - full_cols * machine[COLS] if col_kind == 1 else machine[COLS]
            col_count = full_cols if col_kind == 0 else 1
            for tile_kind in range(2):
                stream = streamed - full_tiles * tile if tile_kind == 1 else tile
                count = row_count * col_count * (full_tiles if tile_kind == 0 else 1)
                if count > 0:
                    fold = fold_cycles(machine, rows, cols, stream, first, row_kind == 2, bits)
                    compute += count * fold[0]
                    busy += count * fold[1]
                    ifmap += count * fold[2]
                    weight += count * fold[3]
                    ofmap += count * fold[4]
    return compute, busy, ifmap, weight, ofmap


@njit
def operand_reads(machine: Counts, m: int, n: int, tiles: int) -> tuple[int, int]:
    """How often each input tap and each weight is read from its SRAM: (inputs, weights)."""
    if machine[DATAFLOW] == WEIGHT_STATIONARY:
        return ceil_div(n, machine[COLS]), tiles
    if machine[DATAFLOW] == INPUT_STATIONARY:
        return tiles, ceil_div(m, machine[COLS])
    return ceil_div(n, machine[COLS]), ceil_div(m, machine[ROWS])


@njit
def count_registers(
    machine: Counts, actions: Counts, held_bits: int, a_bits: int, w_bits: int
) -> None:
    """Count register bytes: each PE passes its streamed operands on and keeps its sum.

    Idle PEs are clock-gated (assumption); a held operand is written once per fold.
    """
    passed = a_bits + w_bits
    if machine[DATAFLOW] == WEIGHT_STATIONARY:
        passed = a_bits
    elif machine[DATAFLOW] == INPUT_STATIONARY:
        passed = w_bits
    bits = actions[MACS] * passed + actions[ACCUMULATIONS] * machine[ACCUMULATOR_BITS]
    actions[REGISTER_BYTES] = ceil_div(bits + held_bits, 8)


@njit
def bound_by(actions: Counts, waiting: int, ifmap: int, weight: int, ofmap: int) -> int:
    """What most of a layer's time waits for: its start, DRAM, the busiest SRAM, or the work."""
    if actions[OVERHEAD_CYCLES] > actions[COMPUTE_CYCLES] + actions[STALL_CYCLES]:
        return BY_OVERHEAD
    if waiting > 0:
        return BY_DRAM
    if actions[STALL_CYCLES] == 0:
        return BY_COMPUTE
    if ifmap >= weight and ifmap >= ofmap:
        return BY_IFMAP
    return BY_WEIGHT if weight >= ofmap else BY_OFMAP
