"""A platform's timeline: dispatches, copies and runs, laid out one node after another.

Every processor and link works in the order of the graph's nodes; what does not wait for another
runs beside it: list scheduling (Hu, Operations Research 9(6), 1961) with the topological order as
priority. Times are cycles of the host's clock; machine 0 is the host.
"""

from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.machines.actions import Counts
from simulator.machines.counting import ceil_div, cycles_for

(
    DISPATCH_CYCLES,
    HAS_LINK,
    LINK_RATE,
    LINK_LATENCY,
    DOUBLE_BUFFERED,
) = range(5)
COLUMNS: Final = 5
"""Of the row of a machine's attachment; zeros for the host."""
RUN, DISPATCH, COPY_IN, COPY_OUT = range(4)
EVENT_NAMES: Final = ("run", "dispatch", "copy in", "copy out")
WHAT, LAYER, TENSOR, PLACE, BEGIN, LENGTH = range(6)
EVENT_COLUMNS: Final = 6
"""Of an event: what it is, its node, its tensor or -1, its machine (0 is the host), and when."""


@njit
def in_host_cycles(cycles: int, multiplier: int, divisor: int) -> int:
    """Cycles of a unit's clock as cycles of the host's, rounded up; -1 where they overflow."""
    if float(cycles) * multiplier / divisor >= 2.0**60:
        return -1
    whole, rest = cycles // divisor, cycles % divisor
    return int(whole * multiplier + ceil_div(rest * multiplier, divisor))


@njit
def copy(
    event: Counts, free: Counts, link_free: Counts, events: Counts, attached: Counts, bits: int
) -> int:
    """Schedule one transfer over a link, `event` holding what and when its data are ready.

    Returns when it is done. Nothing is copied where the unit has no link.
    """
    unit = event[PLACE]
    if attached[unit, HAS_LINK] == 0:
        return int(event[BEGIN])
    begin = max(event[BEGIN], link_free[unit])
    if attached[unit, DOUBLE_BUFFERED] == 0:
        begin = max(begin, free[unit])
    event[BEGIN] = begin
    event[LENGTH] = attached[unit, LINK_LATENCY] + cycles_for(bits, attached[unit, LINK_RATE])
    link_free[unit] = begin + event[LENGTH]
    if attached[unit, DOUBLE_BUFFERED] == 0:
        free[unit] = link_free[unit]
    keep_event(event, events)
    return int(link_free[unit])


@njit
def keep_event(event: Counts, events: Counts) -> None:
    """Add an event to those asked for: row 0 holds their number."""
    if events.shape[0] == 0:
        return
    events[0, 0] += 1
    for column in range(EVENT_COLUMNS):
        events[events[0, 0], column] = event[column]


@njit
def bring(
    tensor: int,
    place: int,
    layer: int,
    bits: int,
    ready: Counts,
    free: Counts,
    link_free: Counts,
    attached: Counts,
    moved: Counts,
    events: Counts,
    event: Counts,
) -> int:
    """When a tensor is in the memory of a machine, copied there if it is not yet.

    From unit to unit it passes through the host's memory. Adds the bytes copied to `moved`, int64
    [L, M, 2]: into each machine's unit and out of it, for the sake of `layer`.
    """
    if ready[tensor, 0] < 0:
        for unit in range(1, ready.shape[1]):
            if ready[tensor, unit] >= 0 and (place == 0 or ready[tensor, place] < 0):
                event[WHAT], event[LAYER], event[TENSOR] = COPY_OUT, layer, tensor
                event[PLACE], event[BEGIN] = unit, ready[tensor, unit]
                ready[tensor, 0] = copy(event, free, link_free, events, attached, bits)
                moved[layer, unit, 1] += ceil_div(bits, 8) * attached[unit, HAS_LINK]
                break
    if ready[tensor, place] < 0:
        event[WHAT], event[LAYER], event[TENSOR] = COPY_IN, layer, tensor
        event[PLACE], event[BEGIN] = place, ready[tensor, 0]
        ready[tensor, place] = copy(event, free, link_free, events, attached, bits)
        moved[layer, place, 0] += ceil_div(bits, 8) * attached[place, HAS_LINK]
    return int(ready[tensor, place])


@njit
def start(
    layer: int,
    place: int,
    at: int,
    length: int,
    free: Counts,
    attached: Counts,
    events: Counts,
    event: Counts,
) -> int:
    """Dispatch a node whose operands are there `at`, run it for `length` cycles; its start."""
    if place > 0:
        begin = max(at, free[0])
        at = free[0] = begin + attached[place, DISPATCH_CYCLES]
        event[WHAT], event[LAYER], event[TENSOR], event[PLACE] = DISPATCH, layer, -1, 0
        event[BEGIN], event[LENGTH] = begin, attached[place, DISPATCH_CYCLES]
        keep_event(event, events)
    begin = max(at, free[place])
    free[place] = begin + length
    event[WHAT], event[LAYER], event[TENSOR], event[PLACE] = RUN, layer, -1, place
    event[BEGIN], event[LENGTH] = begin, length
    keep_event(event, events)
    return int(begin)


@njit
def schedule(
    places: Counts,
    lengths: Counts,
    attached: Counts,
    bits: Counts,
    producers: Counts,
    kept: Counts,
    reads_from: Counts,
    reads: Counts,
    starts: Counts,
    moved: Counts,
    events: Counts,
) -> int:
    """Lay one design's nodes on the timeline: fills `starts` [L] and `moved`, returns its end.

    `places` [L] is the machine of each node, `lengths` [L] its host cycles there, `attached` [M,
    COLUMNS] the attachments. A node starts when its operands are in its machine's memory, the host
    has dispatched it and the machine is free; outputs are copied back to the host at the end.
    """
    machines = attached.shape[0]
    ready = np.full((len(bits), machines), -1, np.int64)
    free, link_free = np.zeros(machines, np.int64), np.zeros(machines, np.int64)
    event = np.zeros(EVENT_COLUMNS, np.int64)
    for tensor in range(len(bits)):
        if producers[tensor] < 0:
            ready[tensor, 0] = 0
    made = 0
    end = 0
    while made < len(bits) and producers[made] < 0:
        made += 1
    for layer in range(len(places)):
        place, at = places[layer], 0
        for read in range(reads_from[layer], reads_from[layer + 1]):
            tensor = reads[read]
            there = bring(tensor, place, layer, bits[tensor], ready, free, link_free, attached,
                          moved, events, event)  # fmt: skip
            at = max(at, there)
        starts[layer] = start(layer, place, at, lengths[layer], free, attached, events, event)
        end = max(end, free[place])
        while made < len(bits) and producers[made] == layer:
            ready[made, place] = free[place]
            made += 1
    for tensor in range(len(bits)):
        if kept[tensor] != 0 and producers[tensor] >= 0:
            back = bring(tensor, 0, producers[tensor], bits[tensor], ready, free, link_free,
                         attached, moved, events, event)  # fmt: skip
            end = max(end, back)
    return end
