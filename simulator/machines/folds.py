"""Folds of a product on a systolic array in closed form: cycles, and the demand on each SRAM.

`timing: scalesim` counts a fold as SCALE-Sim does: edge folds in full, no output drain (Samajdar
et al., ISPASS 2020). `timing: physical` counts the rows and columns that a fold uses and, output
stationary, the drain: sums leave behind the last row in use, idle rows are bypassed (assumption).
So a fold costs what the smaller array would, and more rows or columns never cost more; on an array
whose sums cross its idle rows they may. Numbers the columns of a systolic machine's row.
"""

from typing import Final, Literal, TypeAlias, get_args

from simulator.jit import njit
from simulator.machines.actions import (
    ACCUMULATIONS,
    COMPUTE_CYCLES,
    OVERHEAD_CYCLES,
    REGISTER_BYTES,
    STALL_CYCLES,
    Counts,
)
from simulator.machines.base import (
    ACCUMULATOR_BITS,
    COMMON,
    DOT_WIDTH,
    REFUSALS,
    Column,
    choice,
    fixed,
)
from simulator.machines.composition import reduction_steps, step_bits
from simulator.machines.counting import ceil_div, cycles_for

Dataflow: TypeAlias = Literal["weight_stationary", "output_stationary", "input_stationary"]
Timing: TypeAlias = Literal["physical", "scalesim"]
Product: TypeAlias = tuple[int, int, int, int]
"""A layer as `groups` products of [m, k] by [k, n]."""
Widths: TypeAlias = tuple[int, int, int]
"""Stored bits of a weight, an activation and an output."""
Layout: TypeAlias = tuple[int, int, int]
"""Steps, what lies on the columns, what is cut into tiles; see `layout`."""
Folds: TypeAlias = tuple[int, int, int]
"""Folds over the rows, folds over the columns, tiles."""
Demand: TypeAlias = tuple[int, int, int, int, int]
"""Cycles of the array, with its SRAMs, and of the ifmap, weight and ofmap SRAM alone."""

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
    Column("memory.ofmap_sram.resident_bytes"),
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
    OFMAP_RESIDENT,
) = range(len(COMMON), len(COMMON) + len(COLUMNS))
WEIGHT_STATIONARY, OUTPUT_STATIONARY, INPUT_STATIONARY = range(3)
IFMAP, WEIGHT, OFMAP, DRAM = range(4)
ARRAY_UNIT, VECTOR_UNIT = range(2)
BY_COMPUTE, BY_IFMAP, BY_WEIGHT, BY_OFMAP, BY_DRAM, BY_OVERHEAD = range(6)
OFMAP_TOO_SMALL: Final = len(REFUSALS)


@njit
def layout(machine: Counts, product: Product, widths: Widths) -> Layout:
    """How a product lies on the array: (steps, on columns, tiled).

    Columns hold filters, input stationary pixels; the other of the two is cut into tiles: what
    streams past what is held, output stationary what the rows hold. `steps` are groups of
    `dot_width` taps: what the rows hold, output stationary what streams.
    """
    _, m, n, k = product
    steps = reduction_steps(machine, widths[0], widths[1], k, machine[DOT_WIDTH])
    if machine[DATAFLOW] == INPUT_STATIONARY:
        return steps, m, n
    return steps, n, m


@njit
def row_folds_of(machine: Counts, steps: int) -> int:
    """Folds over the taps; output stationary they stream, so that there is one."""
    if machine[DATAFLOW] == OUTPUT_STATIONARY:
        return 1
    return int(ceil_div(steps, machine[ROWS]))


@njit
def largest_tile(machine: Counts, shape: Layout, row_folds: int, width: int) -> int:
    """How much one tile takes at most: the rows, or what half the ofmap SRAM holds of its sums.

    Partial sums of `width` columns wait there at accumulator width while the next row fold runs;
    SCALE-Sim has no limit. Returns 0 where not even one row of them fits.
    """
    if machine[DATAFLOW] == OUTPUT_STATIONARY:
        return int(machine[ROWS])
    if row_folds == 1 or machine[TIMING] != 0:
        return shape[2]
    room = machine[OFMAP_BYTES] - machine[OFMAP_RESIDENT]
    return int(min(shape[2], room * 4 // (width * machine[ACCUMULATOR_BITS])))


@njit
def fewest_tiles(machine: Counts, shape: Layout) -> int:
    """No more tiles than any plan has."""
    if machine[DATAFLOW] == OUTPUT_STATIONARY:
        return int(ceil_div(shape[2], machine[ROWS]))
    return 1


@njit
def phases(machine: Counts, shape: Layout, folds: Folds) -> tuple[int, int, int]:
    """Cycles of all folds of one product: (load, stream with fill, drain).

    A fold that uses r rows and c columns for T cycles takes r + (T + r + c - 2), output stationary
    (T + r + c - 2) + r. Summed over all folds, only their number is left.
    """
    steps, on_cols, tiled = shape
    row_folds, col_folds, tiles = folds
    count = row_folds * col_folds * tiles
    if machine[TIMING] != 0:
        edges = count * (machine[ROWS] + machine[COLS] - 2)
        if machine[DATAFLOW] == OUTPUT_STATIONARY:
            return 0, count * steps + edges, 0
        return count * machine[ROWS], row_folds * col_folds * tiled + edges, 0
    if machine[DATAFLOW] == OUTPUT_STATIONARY:
        drain = col_folds * tiled
        return 0, count * (steps - 2) + drain + tiles * on_cols, drain
    load = tiles * col_folds * steps
    fill = load + tiles * row_folds * on_cols - 2 * count
    return load, row_folds * col_folds * tiled + fill, 0


@njit
def sram_bits(
    machine: Counts, product: Product, folds: Folds, widths: Widths
) -> tuple[int, int, int]:
    """Bits that cross the port of each SRAM in a layer: (ifmap, weight, ofmap)."""
    groups, m, n, k = product
    ifmap, weight = operand_reads(machine, folds)
    sums = 0
    if machine[DATAFLOW] != OUTPUT_STATIONARY:
        sums = 2 * (folds[0] - 1) * machine[ACCUMULATOR_BITS]
    return (
        groups * ifmap * m * k * widths[1],
        groups * weight * n * k * widths[0],
        groups * m * n * (sums + widths[2]),
    )


@njit
def demand(machine: Counts, product: Product, folds: Folds, widths: Widths) -> Demand:
    """Cycles of a layer: of the array, with its SRAMs, and of each SRAM alone.

    An SRAM too slow for a phase (load, stream, drain) makes that phase as long as its transfers.
    Each is taken over the whole layer: small buffers level out ragged folds, and operands that
    arrive one after another are skewed already.
    """
    groups, _m, _n, _k = product
    load, stream, drain = phases(machine, layout(machine, product, widths), folds)
    load, stream, drain = groups * load, groups * stream, groups * drain
    bits = sram_bits(machine, product, folds, widths)
    ifmap = cycles_for(bits[0], machine[IFMAP_RATE])
    weight = cycles_for(bits[1], machine[WEIGHT_RATE])
    ofmap = cycles_for(bits[2], machine[OFMAP_RATE])
    if machine[DATAFLOW] == WEIGHT_STATIONARY:
        busy = max(load, weight) + max(stream, max(ifmap, ofmap))
    elif machine[DATAFLOW] == INPUT_STATIONARY:
        busy = max(load, ifmap) + max(stream, max(weight, ofmap))
    elif drain > 0:
        busy = max(stream, max(ifmap, weight)) + max(drain, ofmap)
    else:
        busy = max(max(stream, ofmap), max(ifmap, weight))
    return load + stream + drain, busy, ifmap, weight, ofmap


@njit
def operand_reads(machine: Counts, folds: Folds) -> tuple[int, int]:
    """How often each input tap and each weight is read from its SRAM: (inputs, weights).

    What is tiled passes every column fold; what lies on the columns is read again for every tile.
    """
    if machine[DATAFLOW] == INPUT_STATIONARY:
        return folds[2], folds[1]
    return folds[1], folds[2]


@njit
def moved_down(length: int, size: int, past: int) -> int:
    """Register writes that move one column of each fold of `length` down to, or `past`, its row.

    Pieces of `size` and a rest: r rows take r (r + 1) / 2 writes to fill, r (r - 1) / 2 to empty.
    """
    full = (length - 1) // size
    rest = length - full * size
    return (full * size * (size + 1 - past) + rest * (rest + 1 - past)) // 2


@njit
def count_registers(
    machine: Counts, actions: Counts, product: Product, folds: Folds, widths: Widths
) -> None:
    """Count register bytes: each element passes its streamed operands on and keeps its sum.

    What is held moves down through the rows to its own, output stationary the sums to the last
    row. Elements without data are clock-gated (assumption). As the register-level stepper counts.
    """
    groups, m, n, k = product
    steps, on_cols, tiled = layout(machine, product, widths)
    word, sums = machine[DOT_WIDTH], actions[ACCUMULATIONS]
    if machine[DATAFLOW] == OUTPUT_STATIONARY:
        passed = widths[0] + widths[1]
        held = 0
        sums += groups * (m * n + n * moved_down(tiled, ceil_div(tiled, folds[2]), 2))
    else:
        weights = machine[DATAFLOW] == WEIGHT_STATIONARY
        passed, width = (widths[1], widths[0]) if weights else (widths[0], widths[1])
        held = groups * folds[2] * on_cols * moved_down(steps, machine[ROWS], 0)
        held *= step_bits(machine, k, steps, width)
    bits = actions[ACCUMULATIONS] * word * passed + sums * machine[ACCUMULATOR_BITS]
    actions[REGISTER_BYTES] = ceil_div(bits + held, 8)


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
