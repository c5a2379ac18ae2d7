"""Cycles of one loop nest: what the ports of the memories add to one step a cycle.

The terms are those of the model that `simulator.mapping.nest` cites: stall while computing,
loading the first tiles, unloading the last, and draining the array.
"""

import math

import numpy as np

from simulator.jit import njit
from simulator.mapping.nest import (
    DRAIN,
    ENERGY,
    IDEAL,
    L_ALLOWED,
    L_COUNT,
    L_LEVEL,
    L_NEED,
    L_OPERAND,
    L_PERIOD,
    L_REAL,
    L_WAY,
    LATENCY,
    OFFLOAD,
    ONLOAD,
    PORTS,
    READ_DOWN,
    READ_UP,
    STALL,
    WRITE_DOWN,
    WRITE_UP,
    Nest,
    buffer_levels,
    levels_of,
    move_all,
    sink_reuse,
)
from simulator.mapping.problem import (
    INPUT,
    M_HOLDS,
    M_PORTS,
    M_RATE,
    OUTPUT,
    PER_OPERAND,
    WEIGHT,
    Ints,
    Problem,
)


@njit
def idle_until(links: Ints, order: Ints, count: int, time: int) -> int:
    """Cycles in [0, time) in which none of the first `count` links (by period) may transfer.

    Each link's window is the start of its period, and each period divides the next. Unrolled
    recursion: a stack of (links left, time, sign).
    """
    idle = 0
    left = np.empty(64, np.int64)
    until = np.empty(64, np.int64)
    weight = np.empty(64, np.int64)
    left[0], until[0], weight[0] = count, time, 1
    top = 1
    while top > 0:
        top -= 1
        n, t, w = left[top], until[top], weight[top]
        if t <= 0:
            continue
        if n == 0:
            idle += w * t
            continue
        link = links[order[n - 1]]
        period, window = link[L_PERIOD], link[L_ALLOWED]
        whole, rest = t // period, t % period
        if whole > 0:
            left[top], until[top], weight[top] = n - 1, period, w * whole
            left[top + 1], until[top + 1], weight[top + 1] = n - 1, window, -w * whole
            top += 2
        if rest > window:
            left[top], until[top], weight[top] = n - 1, rest, w
            left[top + 1], until[top + 1], weight[top + 1] = n - 1, window, -w
            top += 2
    return idle


@njit
def window_union(links: Ints, count: int) -> int:
    """Cycles of the layer in which at least one of the links on a port may transfer."""
    order = np.empty(12, np.int64)
    for index in range(count):
        if links[index, L_PERIOD] == links[index, L_ALLOWED]:
            return int(links[index, L_PERIOD] * links[index, L_COUNT])
        place = index
        while place > 0 and links[order[place - 1], L_PERIOD] > links[index, L_PERIOD]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = index
    longest = links[order[count - 1]]
    period = longest[L_PERIOD]
    return int((period - idle_until(links, order, count, period)) * longest[L_COUNT])


@njit
def port_stall(links: Ints, count: int) -> int:
    """Cycles for which one port keeps the array waiting."""
    if count == 1:
        return int((links[0, L_REAL] - links[0, L_ALLOWED]) * (links[0, L_COUNT] - 1))
    late, early, windows = 0, 0, 0
    for index in range(count):
        link = links[index]
        slack = (link[L_REAL] - link[L_ALLOWED]) * (link[L_COUNT] - 1)
        if slack > 0:
            late += slack
        else:
            early += slack
        windows += link[L_ALLOWED] * (link[L_COUNT] - 1)
    # The union costs most; where it cannot matter it is left out: it is at least the longest.
    if early + windows <= 0:
        return late
    return late + max(0, early + windows - window_union(links, count))


@njit
def first_fill(nest: Nest, slot: int, rate: int, minimum: Ints, computing: float) -> None:
    """Shorten the transfers that happen once: they overlap with computing as the port allows.

    What the array needs for its first step (`minimum` bits by operand) cannot overlap. The
    longest transfer takes the free cycles first.
    """
    links, count = nest.links[slot], nest.used[slot]
    need = 0
    for index in range(count):
        operand, way = links[index, L_OPERAND], links[index, L_WAY]
        into = operand == OUTPUT and way in (READ_DOWN, WRITE_DOWN)
        if links[index, L_COUNT] > 1 and not into:
            need += links[index, L_NEED]
    free = max(0.0, (rate - need) / rate * computing)
    for index in range(count):
        link = links[index]
        nest.loading[link[L_OPERAND], link[L_LEVEL], link[L_WAY]] = link[L_REAL]
    done = 0
    for _ in range(count):
        longest, place = -1, -1
        for index in range(count):
            operand, way = links[index, L_OPERAND], links[index, L_WAY]
            into = operand == OUTPUT and way in (READ_DOWN, WRITE_DOWN)
            fresh = (done >> index) & 1 == 0 and links[index, L_COUNT] == 1 and not into
            if fresh and links[index, L_REAL] > longest:
                longest, place = links[index, L_REAL], index
        if place < 0 or free <= 0:
            return
        done |= 1 << place
        operand = links[place, L_OPERAND]
        least = (minimum[operand] + rate - 1) // rate
        cut = min(max(0.0, float(longest - least)), free)
        nest.loading[operand, links[place, L_LEVEL], links[place, L_WAY]] = longest - cut
        free -= cut


@njit
def shared_by_inputs(problem: Problem, operand: int, level: int) -> bool:
    """Whether a port of this level carries both weights and inputs."""
    memory = problem.memory[problem.level[operand, level]]
    both = (1 << WEIGHT) | (1 << INPUT)
    return bool((memory[M_HOLDS] & both) == both and memory[M_PORTS] != PER_OPERAND)


@njit
def input_parts(problem: Problem, nest: Nest, operand: int) -> tuple[float, float, float]:
    """Cycles that fill an input operand's chain on its own, half shared and shared ports."""
    alone = half = shared = 0.0
    for level in range(problem.depth[operand] - 1):
        into = nest.loading[operand, level, WRITE_DOWN]
        out = nest.loading[operand, level + 1, READ_DOWN]
        below = shared_by_inputs(problem, operand, level)
        above = shared_by_inputs(problem, operand, level + 1)
        if below and above:
            shared += max(into, out)
        elif below or above:
            half = max(into, out)
        else:
            alone += max(into, out)
    return alone, half, shared


@njit
def onload(problem: Problem, nest: Nest) -> float:
    """Cycles before the first step: both inputs' chains filled, in the better order."""
    alone_i, half_i, shared_i = input_parts(problem, nest, INPUT)
    alone_w, half_w, shared_w = input_parts(problem, nest, WEIGHT)
    weights_last = shared_i + max(shared_w + half_w + alone_w, half_i + alone_i)
    inputs_last = shared_w + max(shared_i + half_i + alone_i, half_w + alone_w)
    return float(min(weights_last, inputs_last))


@njit
def offload(problem: Problem, nest: Nest) -> float:
    """Cycles after the last step: the last outputs climb their chain."""
    cycles = 0.0
    for level in range(problem.depth[OUTPUT] - 1):
        up = nest.loading[OUTPUT, level, READ_UP]
        cycles += max(up, nest.loading[OUTPUT, level + 1, WRITE_UP])
    return cycles


@njit
def ports_of(problem: Problem, nest: Nest) -> None:
    """Add stall, loading and unloading to the results, from the transfers on every port."""
    memories = 0
    for operand in range(3):
        memories = max(memories, problem.level[operand, problem.depth[operand] - 1] + 1)
    stall = 0
    for slot in range(memories * PORTS):
        if nest.used[slot] > 0:
            stall = max(stall, port_stall(nest.links[slot], nest.used[slot]))
    computing = nest.result[IDEAL] + stall
    minimum = np.empty(3, np.int64)
    for operand in range(3):
        cut = nest.cuts[operand, 0]
        minimum[operand] = nest.tiles[1, operand, 0, cut] * nest.width[operand, 1]
    for slot in range(memories * PORTS):
        if nest.used[slot] > 0:
            rate = problem.memory[slot // PORTS, M_RATE]
            first_fill(nest, slot, rate, minimum, computing)
    nest.result[STALL] = stall
    nest.result[ONLOAD] = math.ceil(onload(problem, nest))
    nest.result[OFFLOAD] = math.ceil(offload(problem, nest))


@njit
def cost_of_nest(problem: Problem, nest: Nest) -> None:
    """Fill `accesses` and `result` of a nest whose loops, tiles and cuts are in place."""
    nest.result[ENERGY] = problem.fixed[1]
    sink_reuse(problem, nest)
    levels_of(problem, nest)
    buffer_levels(problem, nest)
    move_all(problem, nest)
    nest.result[IDEAL] = nest.cycles[nest.count[0]]
    nest.result[DRAIN] = problem.fixed[0]
    ports_of(problem, nest)
    cycles = nest.result[IDEAL] + nest.result[STALL] + nest.result[ONLOAD]
    nest.result[LATENCY] = cycles + nest.result[OFFLOAD] + nest.result[DRAIN]
