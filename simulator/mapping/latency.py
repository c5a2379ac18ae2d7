"""Cycles of one loop nest: what the ports of the memories add to one step a cycle.

The model is ZigZag's (Mei et al., "A Uniform Latency Model for DNN Accelerators with Diverse
Architectures and Dataflows", DATE 2022; the onload terms as its version 3.9 has them): a
double-buffered level has the whole period to be refilled, another only the time of its topmost
reuse; transfers that share a port add up where their windows overlap; the worst port stalls the
array. Loading the first tiles, unloading the last and draining the array come on top.
"""

import math

from simulator.jit import njit
from simulator.mapping.commands import command_stall
from simulator.mapping.layout import (
    BUFFERED,
    COUNTS,
    CUT,
    CYCLES,
    DEPTH,
    DRAIN,
    DRAIN_CYCLES,
    ELEMENT_BITS,
    ENERGY,
    FIXED,
    IDEAL,
    INPUT,
    L_ALLOWED,
    L_COUNT,
    L_PERIOD,
    L_REAL,
    LARGEST,
    LATENCY,
    LEVEL,
    LINK,
    LOADING,
    LOOP_COUNT,
    M_HOLDS,
    M_PORTS,
    MEMORY,
    OFFLOAD,
    ONLOAD,
    OUTPUT,
    PER_OPERAND,
    PERIOD,
    READ_DOWN,
    READ_UP,
    RESULT,
    REUSE,
    SCRATCH,
    STALL,
    T_LARGEST,
    T_LEVEL,
    T_OPERAND,
    T_RATE,
    T_REQUEST,
    T_SIDE,
    T_SLOT,
    T_WAY,
    TRANSFER,
    TRANSFER_COUNT,
    WEIGHT,
    WRITE_DOWN,
    WRITE_UP,
    Ints,
    Reals,
    inwards,
    tile_row,
)
from simulator.mapping.nest import (
    energy_of,
    moves,
    outermost_reduction,
    refills,
    set_buffers,
    set_levels,
)


@njit
def set_links(ints: Ints, reals: Reals, start: int, end: int, last: int) -> None:
    """Fill the cycles, the allowed cycles, the period and the count of one port's transfers."""
    total = ints[CYCLES, ints[COUNTS, LOOP_COUNT]]
    for index in range(start, end):
        row, link = TRANSFER + index, LINK + index
        operand, side = ints[row, T_OPERAND], ints[row, T_SIDE]
        if not moves(ints, reals, operand, ints[row, T_LEVEL], ints[row, T_WAY], last):
            ints[link, L_COUNT] = 0
            continue
        elements = ints[row, T_LARGEST]
        if side > 0:
            elements *= ints[tile_row(LARGEST, operand, side - 1), ints[CUT + operand, side - 1]]
        period, rate = ints[PERIOD + operand, side], ints[row, T_RATE]
        ints[link, L_REAL] = int((elements * ints[ELEMENT_BITS + operand, side] + rate - 1) / rate)
        ints[link, L_REAL] += ints[row, T_REQUEST]
        ints[link, L_PERIOD] = period
        ints[link, L_COUNT] = int(total / period)
        ints[link, L_ALLOWED] = period
        if side > 0 and ints[BUFFERED + operand, side] == 0:
            ints[link, L_ALLOWED] = int(period / ints[REUSE + operand, side])


@njit
def list_span(ints: Ints, top: int, links: int, time: int, sign: int) -> int:
    """Push [0, time) of so many links on the stack of `idle_until`; returns the new top."""
    ints[SCRATCH + 1, top], ints[SCRATCH + 2, top] = links, time
    ints[SCRATCH + 3, top] = sign
    return top + 1


@njit
def idle_until(ints: Ints, reals: Reals, count: int, time: int) -> int:
    """Cycles in [0, time) in which none of `count` listed links may transfer.

    The list in `scratch[0]` is in order of periods, each of which divides the next; a window is
    the start of its period. A recursion, unrolled: rows 1 to 3 are links left, time and sign.
    """
    order, left = SCRATCH, SCRATCH + 1
    until, weight = SCRATCH + 2, SCRATCH + 3
    idle, top = 0, 1
    ints[left, 0], ints[until, 0], ints[weight, 0] = count, time, 1
    while top > 0:
        top -= 1
        n, t, w = ints[left, top], ints[until, top], ints[weight, top]
        if n == 0 or t <= 0:
            idle += w * max(0, t)
            continue
        link = LINK + ints[order, n - 1]
        period, window = ints[link, L_PERIOD], ints[link, L_ALLOWED]
        whole, rest = t // period, t % period
        if whole > 0:
            top = list_span(ints, top, n - 1, period, w * whole)
            top = list_span(ints, top, n - 1, window, -w * whole)
        if rest > window:
            top = list_span(ints, top, n - 1, rest, w)
            top = list_span(ints, top, n - 1, window, -w)
    return idle


@njit
def window_union(ints: Ints, reals: Reals, start: int, end: int) -> int:
    """Cycles of the layer in which at least one link of a port may transfer."""
    order, count = SCRATCH + 0, 0
    for index in range(start, end):
        link = LINK + index
        if ints[link, L_COUNT] == 0:
            continue
        if ints[link, L_PERIOD] == ints[link, L_ALLOWED]:
            return int(ints[link, L_PERIOD] * ints[link, L_COUNT])
        place = count
        while place > 0 and ints[LINK + ints[order, place - 1], L_PERIOD] > ints[link, L_PERIOD]:
            ints[order, place] = ints[order, place - 1]
            place -= 1
        ints[order, place] = index
        count += 1
    longest = LINK + ints[order, count - 1]
    period = ints[longest, L_PERIOD]
    return int((period - idle_until(ints, reals, count, period)) * ints[longest, L_COUNT])


@njit
def port_stall(ints: Ints, reals: Reals, start: int, end: int) -> int:
    """Cycles for which one port, the transfers `start` to `end`, keeps the array waiting."""
    late, early, windows, active = 0, 0, 0, 0
    for index in range(start, end):
        link = LINK + index
        if ints[link, L_COUNT] > 0:
            slack = (ints[link, L_REAL] - ints[link, L_ALLOWED]) * (ints[link, L_COUNT] - 1)
            if slack > 0:
                late += slack
            else:
                early += slack
            windows += ints[link, L_ALLOWED] * (ints[link, L_COUNT] - 1)
            active += 1
    if active == 1:
        return late
    if early + windows <= 0:
        return late
    return int(late + max(0, early + windows - window_union(ints, reals, start, end)))


@njit
def into_array(row_operand: int, way: int) -> bool:
    """Whether it is a partial sum on its way back, which no first or last transfer is."""
    return row_operand == OUTPUT and inwards(way)


@njit
def hides(ints: Ints, row: int) -> bool:
    """Whether a transfer that happens once may overlap with computing.

    A memory that is refilled as a whole hands its tile over when all of it is there.
    """
    operand, side = ints[row, T_OPERAND], ints[row, T_SIDE]
    whole = side > 0 and refills(ints, operand, side - 1)
    return not whole and not into_array(operand, ints[row, T_WAY])


@njit
def set_loading(ints: Ints, reals: Reals, start: int, end: int, computing: float) -> None:
    """Fill `loading` of one port's transfers; those that happen once overlap with computing.

    What the array needs for its first step cannot overlap. The longest takes the free cycles of
    the port first.
    """
    need, once = 0, 0
    rate = ints[TRANSFER + start, T_RATE]
    for index in range(start, end):
        row, link = TRANSFER + index, LINK + index
        operand, way = ints[row, T_OPERAND], ints[row, T_WAY]
        reals[LOADING + 4 * operand + way, ints[row, T_LEVEL]] = (
            ints[link, L_REAL] if ints[link, L_COUNT] > 0 else 0
        )
        if ints[link, L_COUNT] == 0 or into_array(operand, way):
            continue
        if ints[link, L_COUNT] == 1:
            once += 1 if hides(ints, row) else 0
            continue
        side = ints[row, T_SIDE]
        elements = ints[row, T_LARGEST]
        if side > 0:
            elements *= ints[tile_row(LARGEST, operand, side - 1), ints[CUT + operand, side - 1]]
        need += int(elements * ints[ELEMENT_BITS + operand, side] / ints[link, L_PERIOD])
    free = max(0.0, (rate - need) / rate * computing)
    done = 0
    while once > 0 and free > 0:
        longest, place = -1, -1
        for index in range(start, end):
            link, row = LINK + index, TRANSFER + index
            fresh = ints[link, L_COUNT] == 1 and hides(ints, row)
            if fresh and (done >> (index - start)) & 1 == 0 and ints[link, L_REAL] > longest:
                longest, place = ints[link, L_REAL], index
        done |= 1 << (place - start)
        once -= 1
        operand = ints[TRANSFER + place, T_OPERAND]
        first = (
            ints[tile_row(LARGEST, operand, 0), ints[CUT + operand, 0]]
            * ints[ELEMENT_BITS + operand, 1]
        )
        hidden = min(max(0.0, float(longest - (first + rate - 1) // rate)), free)
        row = TRANSFER + place
        reals[LOADING + 4 * operand + ints[row, T_WAY], ints[row, T_LEVEL]] = longest - hidden
        free -= hidden


@njit
def shared_by_inputs(ints: Ints, reals: Reals, operand: int, level: int) -> bool:
    """Whether a port of this level carries both weights and inputs."""
    memory = MEMORY + ints[LEVEL + operand, level]
    both = (1 << WEIGHT) | (1 << INPUT)
    return bool((ints[memory, M_HOLDS] & both) == both and ints[memory, M_PORTS] != PER_OPERAND)


@njit
def input_parts(ints: Ints, reals: Reals, operand: int) -> tuple[float, float, float]:
    """Cycles that fill an input operand's chain on its own, half shared and shared ports."""
    alone = half = shared = 0.0
    for level in range(ints[DEPTH, operand] - 1):
        into = reals[LOADING + 4 * operand + WRITE_DOWN, level]
        out = reals[LOADING + 4 * operand + READ_DOWN, level + 1]
        below = shared_by_inputs(ints, reals, operand, level)
        above = shared_by_inputs(ints, reals, operand, level + 1)
        if below and above:
            shared += max(into, out)
        elif below or above:
            half = max(into, out)
        else:
            alone += max(into, out)
    return alone, half, shared


@njit
def onload(ints: Ints, reals: Reals) -> float:
    """Cycles before the first step: both inputs' chains filled, in the better order."""
    alone_i, half_i, shared_i = input_parts(ints, reals, INPUT)
    alone_w, half_w, shared_w = input_parts(ints, reals, WEIGHT)
    weights_last = shared_i + max(shared_w + half_w + alone_w, half_i + alone_i)
    inputs_last = shared_w + max(shared_i + half_i + alone_i, half_w + alone_w)
    return float(min(weights_last, inputs_last))


@njit
def offload(ints: Ints, reals: Reals) -> float:
    """Cycles after the last step: the last outputs climb their chain."""
    cycles = 0.0
    for level in range(ints[DEPTH, OUTPUT] - 1):
        up = reals[LOADING + 4 * OUTPUT + READ_UP, level]
        cycles += max(up, reals[LOADING + 4 * OUTPUT + WRITE_UP, level + 1])
    return cycles


@njit
def latency_of(ints: Ints, reals: Reals, limit: float) -> float:
    """Cycles of the nest; gives up where they pass `limit`, with a number above it."""
    set_buffers(ints, reals)
    transfers, last = ints[COUNTS, TRANSFER_COUNT], outermost_reduction(ints, reals)
    ideal, stall = ints[CYCLES, ints[COUNTS, LOOP_COUNT]], command_stall(ints, reals)
    reals[RESULT, IDEAL], reals[RESULT, DRAIN] = ideal, reals[FIXED, DRAIN_CYCLES]
    # The outermost memory first: it is the slowest, and often settles it.
    end = transfers
    while end > 0:
        start = end - 1
        while start > 0 and ints[TRANSFER + start - 1, T_SLOT] == ints[TRANSFER + start, T_SLOT]:
            start -= 1
        set_links(ints, reals, start, end, last)
        stall = max(stall, port_stall(ints, reals, start, end))
        reals[RESULT, LATENCY] = ideal + stall + reals[FIXED, DRAIN_CYCLES]
        if reals[RESULT, LATENCY] > limit:
            return float(reals[RESULT, LATENCY])
        end = start
    reals[RESULT, STALL] = stall
    start = 0
    for end in range(1, transfers + 1):
        if end == transfers or ints[TRANSFER + end, T_SLOT] != ints[TRANSFER + start, T_SLOT]:
            set_loading(ints, reals, start, end, float(ideal + stall))
            start = end
    reals[RESULT, ONLOAD] = math.ceil(onload(ints, reals))
    reals[RESULT, OFFLOAD] = math.ceil(offload(ints, reals))
    reals[RESULT, LATENCY] += reals[RESULT, ONLOAD] + reals[RESULT, OFFLOAD]
    return float(reals[RESULT, LATENCY])


@njit
def cost_of_nest(ints: Ints, reals: Reals) -> None:
    """Fill `accesses` and `result` of a nest whose loops, tiles and cuts are in place."""
    set_levels(ints, reals)
    reals[RESULT, ENERGY] = energy_of(ints, reals)
    latency_of(ints, reals, math.inf)
