"""Commands that feed an array: what their number and their length cost beside a step a cycle."""

from simulator.jit import njit
from simulator.mapping.layout import (
    C_HOLDS,
    C_ISSUE,
    C_LEAST,
    C_LOAD,
    C_LOOP,
    C_STEPS,
    COUNTS,
    DEPTH,
    LEVEL,
    M_REFILL,
    MEMORY,
    PERIOD,
    PLACE,
    SIZE,
    TOGETHER,
    TOTAL,
    Ints,
    Reals,
    boundary_row,
)
from simulator.mapping.nest import refills


@njit
def refill_stall(ints: Ints, reals: Reals) -> int:
    """Cycles that commands to refill whole memories take beyond one step a cycle."""
    stall, total = 0, ints[COUNTS, TOTAL]
    for operand in range(3):
        for level in range(ints[DEPTH, operand]):
            if refills(ints, operand, level):
                least = ints[MEMORY + ints[LEVEL + operand, level], M_REFILL]
                period = ints[PERIOD, boundary_row(operand, level + 1)]
                stall = max(stall, (least - period) * (total // period))
    return int(stall)


@njit
def command_stall(ints: Ints, reals: Reals) -> int:
    """Cycles that the array's commands take beyond one step a cycle.

    A held tile's steps are cut into commands, each of so many steps of one loop. They take the
    time of their steps, the first no less than the next tile's load, or the time of their issue.
    """
    most = ints[COUNTS, C_STEPS]
    stall = refill_stall(ints, reals) if ints[COUNTS, TOGETHER] != 0 else 0
    if most == 0:
        return stall
    boundary = boundary_row(ints[COUNTS, C_HOLDS], 0)
    held, place = ints[PERIOD, boundary], ints[PLACE, boundary]
    steps = int(reals[SIZE + place, ints[COUNTS, C_LOOP]])
    whole, rest = steps // most, steps % most
    least = ints[COUNTS, C_LEAST]
    cycles, count = whole * max(most, least), whole
    if rest > 0:
        cycles, count = cycles + max(rest, least), count + 1
    runs = held // steps
    load = max(0, ints[COUNTS, C_LOAD] - max(min(steps, most), least))
    cycles = max(runs * cycles + load, runs * count * ints[COUNTS, C_ISSUE])
    return int(max(stall, (cycles - held) * (ints[COUNTS, TOTAL] // held)))
