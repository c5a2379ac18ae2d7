"""Cycles of one loop nest: what the ports of the memories add to one step a cycle.

The model is ZigZag's (Mei et al., "A Uniform Latency Model for DNN Accelerators with Diverse
Architectures and Dataflows", DATE 2022; the onload terms as its version 3.9 has them): a
double-buffered level has the whole period to be refilled, another only the time of its topmost
reuse; transfers that share a port add up where their windows overlap; the worst port stalls the
array. Loading the first tiles, unloading the last and draining the array come on top. With
`timing: physical` no port moves its words in less time than they take; ZigZag has no such floor.
"""

import math

from simulator.jit import njit
from simulator.mapping.commands import command_stall
from simulator.mapping.layout import (
    ALLOWED,
    BUSY,
    COUNTS,
    CUT,
    DEPTH,
    DRAIN,
    DRAIN_CYCLES,
    ELEMENT_BITS,
    ENERGY,
    FIXED,
    IDEAL,
    INPUT,
    JOINT,
    LARGEST,
    LATENCY,
    LOADING,
    NEAREST,
    OFFLOAD,
    ONLOAD,
    OUTPUT,
    PERIOD,
    PLACE,
    READ_DOWN,
    READ_UP,
    REFILLS,
    RESULT,
    SCRATCH,
    STALL,
    T_BOUNDARY,
    T_INSTANCES,
    T_LARGEST,
    T_LEVEL,
    T_OPERAND,
    T_RATE,
    T_SIDE,
    T_SLOT,
    T_WAY,
    T_WORD,
    TOTAL,
    TRANSFER,
    TRANSFER_COUNT,
    WEIGHT,
    WORDS,
    WRITE_DOWN,
    WRITE_UP,
    Ints,
    Reals,
    boundary_row,
    inwards,
    tile_row,
)
from simulator.mapping.nest import energy_of, refills, set_accesses, set_buffers, set_levels


@njit
def list_span(ints: Ints, top: int, links: int, time: int, sign: int) -> int:
    """Push [0, time) of so many links on the stack of `idle_until`; returns the new top."""
    ints[SCRATCH + 1, top], ints[SCRATCH + 2, top] = links, time
    ints[SCRATCH + 3, top] = sign
    return top + 1


@njit
def idle_until(ints: Ints, reals: Reals, count: int, time: int) -> int:
    """Cycles in [0, time) in which none of `count` listed transfers may happen.

    Their periods and windows are in rows 4 and 5 of `SCRATCH`, in order of periods, each of which
    divides the next; a window is the start of its period. A recursion, unrolled: rows 1 to 3 are
    transfers left, time and sign.
    """
    left, until, weight = SCRATCH + 1, SCRATCH + 2, SCRATCH + 3
    idle, top = 0, 1
    ints[left, 0], ints[until, 0], ints[weight, 0] = count, time, 1
    while top > 0:
        top -= 1
        n, t, w = ints[left, top], ints[until, top], ints[weight, top]
        if n == 0 or t <= 0:
            idle += w * max(0, t)
            continue
        period, window = ints[SCRATCH + 4, n - 1], ints[SCRATCH + 5, n - 1]
        whole = int(t / period)
        rest = t - whole * period
        if whole > 0:
            top = list_span(ints, top, n - 1, period, w * whole)
            top = list_span(ints, top, n - 1, window, -w * whole)
        if rest > window:
            top = list_span(ints, top, n - 1, rest, w)
            top = list_span(ints, top, n - 1, window, -w)
    return idle


@njit
def window_union(ints: Ints, reals: Reals, start: int, end: int) -> int:
    """Cycles of the layer in which at least one transfer of a port may happen."""
    periods, windows, count = SCRATCH + 4, SCRATCH + 5, 0
    for index in range(start, end):
        boundary = ints[TRANSFER + index, T_BOUNDARY]
        if ints[BUSY + index, ints[PLACE, boundary]] == 0:
            continue
        period, allowed = ints[PERIOD, boundary], ints[ALLOWED, boundary]
        if period == allowed:
            return int(ints[COUNTS, TOTAL])
        place = count
        while place > 0 and ints[periods, place - 1] > period:
            ints[periods, place] = ints[periods, place - 1]
            ints[windows, place] = ints[windows, place - 1]
            place -= 1
        ints[periods, place], ints[windows, place] = period, allowed
        count += 1
    longest = ints[periods, count - 1]
    again = int(ints[COUNTS, TOTAL] / longest)
    return int((longest - idle_until(ints, reals, count, longest)) * again)


@njit
def port_stall(ints: Ints, reals: Reals, start: int, end: int, most: int) -> int:
    """Cycles for which one port, the transfers `start` to `end`, keeps the array waiting.

    At least `most`, which another port needs anyway.
    """
    late, early, windows, longest, active = 0, 0, 0, 0, 0
    for index in range(start, end):
        boundary = ints[TRANSFER + index, T_BOUNDARY]
        cycles, again = ints[BUSY + index, ints[PLACE, boundary]], ints[REFILLS, boundary] - 1
        if cycles > 0:
            allowed = ints[ALLOWED, boundary]
            slack = (cycles - allowed) * again
            if slack > 0:
                late += slack
            else:
                early += slack
            windows += allowed * again
            longest = max(longest, allowed * (again + 1))
            active += 1
    # The windows cover as many cycles as one of them at least.
    if active < 2 or early + windows <= 0 or late + max(0, early + windows - longest) <= most:
        return max(most, late)
    union = window_union(ints, reals, start, end)
    return int(max(most, late + max(0, early + windows - union)))


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
def hide_loading(
    ints: Ints, reals: Reals, start: int, end: int, once: int, computing: float
) -> None:
    """Let the transfers that happen once overlap with computing, the longest first.

    They take the cycles of the port that the others leave. What the array needs for its first step
    cannot overlap.
    """
    need, rate = 0, ints[TRANSFER + start, T_RATE]
    for index in range(start, end):
        row = TRANSFER + index
        operand, side, boundary = ints[row, T_OPERAND], ints[row, T_SIDE], ints[row, T_BOUNDARY]
        place = ints[PLACE, boundary]
        again = ints[BUSY + index, place] > 0 and ints[REFILLS, boundary] > 1
        if again and not into_array(operand, ints[row, T_WAY]):
            elements = ints[row, T_LARGEST]
            if side > 0:
                elements *= ints[tile_row(LARGEST, operand, side - 1), place]
            bits = elements * ints[ELEMENT_BITS, boundary]
            need += int(bits / ints[PERIOD, boundary])
    free = max(0.0, (rate - need) / rate * computing)
    while once > 0 and free > 0:
        longest, place = -1, -1
        for index in range(start, end):
            if (once >> (index - start)) & 1:
                cycles = ints[BUSY + index, ints[PLACE, ints[TRANSFER + index, T_BOUNDARY]]]
                if cycles > longest:
                    longest, place = cycles, index
        once &= ~(1 << (place - start))
        row = TRANSFER + place
        operand = ints[row, T_OPERAND]
        tile = ints[tile_row(LARGEST, operand, 0), ints[CUT + operand, 0]]
        first = tile * ints[ELEMENT_BITS, boundary_row(operand, 1)]
        hidden = min(max(0.0, float(longest - int((first + rate - 1) / rate))), free)
        reals[LOADING + 4 * operand + ints[row, T_WAY], ints[row, T_LEVEL]] = longest - hidden
        free -= hidden


@njit
def set_loading(ints: Ints, reals: Reals, start: int, end: int, computing: float) -> None:
    """Fill `loading` of one port's transfers; those that happen once overlap with computing."""
    once = 0
    for index in range(start, end):
        row = TRANSFER + index
        operand, way = ints[row, T_OPERAND], ints[row, T_WAY]
        boundary = ints[row, T_BOUNDARY]
        cycles = ints[BUSY + index, ints[PLACE, boundary]]
        reals[LOADING + 4 * operand + way, ints[row, T_LEVEL]] = cycles
        if cycles > 0 and ints[REFILLS, boundary] == 1 and hides(ints, row):
            once |= 1 << (index - start)
    if once > 0:
        hide_loading(ints, reals, start, end, once, computing)


@njit
def input_parts(ints: Ints, reals: Reals, operand: int) -> tuple[float, float, float]:
    """Cycles that fill an input operand's chain on its own, half shared and shared ports."""
    alone = half = shared = 0.0
    for level in range(ints[DEPTH, operand] - 1):
        into = reals[LOADING + 4 * operand + WRITE_DOWN, level]
        out = reals[LOADING + 4 * operand + READ_DOWN, level + 1]
        ports = ints[JOINT + operand, level] + ints[JOINT + operand, level + 1]
        if ports == 2:
            shared += max(into, out)
        elif ports == 1:
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
def busiest_port(ints: Ints, reals: Reals) -> float:
    """Cycles that the words of the layer take on the port that is busy longest."""
    most = cycles = 0.0
    for index in range(ints[COUNTS, TRANSFER_COUNT]):
        row = TRANSFER + index
        if index == 0 or ints[row, T_SLOT] != ints[row - 1, T_SLOT]:
            cycles = 0.0
        words = ints[WORDS + index, ints[PLACE, ints[row, T_BOUNDARY]]]
        cycles += words * ints[row, T_WORD] / (ints[row, T_INSTANCES] * float(ints[row, T_RATE]))
        most = max(most, cycles)
    return most


@njit
def latency_of(ints: Ints, reals: Reals, limit: float) -> float:
    """Cycles of the nest; infinity where they pass `limit` before loading."""
    set_buffers(ints, reals)
    transfers = ints[COUNTS, TRANSFER_COUNT]
    ideal, stall = ints[COUNTS, TOTAL], command_stall(ints, reals)
    reals[RESULT, IDEAL], reals[RESULT, DRAIN] = ideal, reals[FIXED, DRAIN_CYCLES]
    # The outermost memory first: it is the slowest, and often settles it.
    end = transfers
    while end > 0:
        start = end - 1
        while start > 0 and ints[TRANSFER + start - 1, T_SLOT] == ints[TRANSFER + start, T_SLOT]:
            start -= 1
        stall = port_stall(ints, reals, start, end, stall)
        reals[RESULT, LATENCY] = ideal + stall + reals[FIXED, DRAIN_CYCLES]
        if reals[RESULT, LATENCY] > limit:
            return math.inf
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
    # ZigZag lets loading overlap with what other transfers of the port hide already.
    if ints[COUNTS, NEAREST] == 0:
        hidden = max(0.0, math.ceil(busiest_port(ints, reals) - 1e-6) - reals[RESULT, LATENCY])
        reals[RESULT, STALL] += hidden
        reals[RESULT, LATENCY] += hidden
    return float(reals[RESULT, LATENCY])


@njit
def cost_of_nest(ints: Ints, reals: Reals) -> None:
    """Fill `accesses` and `result` of a nest whose loops, tiles and cuts are in place."""
    set_levels(ints, reals)
    set_accesses(ints, reals)
    reals[RESULT, ENERGY] = energy_of(ints, reals)
    latency_of(ints, reals, math.inf)
