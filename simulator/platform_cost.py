"""What a platform costs once every node has its machine: parts, copies, dispatches, sums.

Scalar: one design at a time, as each kind's own cost function. `simulator.platforms.Timelines` says
what the arrays hold.
"""

from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.machines.actions import (
    COMPUTE_CYCLES,
    MACS,
    MOST_FJ,
    MULTIPLIER_CYCLES,
    OVERHEAD_CYCLES,
    REFUSAL,
    STALL_CYCLES,
    TOO_MANY,
    TOO_MUCH_ENERGY,
    TOTAL_COMPUTE,
    TOTAL_CYCLES,
    TOTAL_ENERGY_FJ,
    TOTAL_MACS,
    TOTAL_MULTIPLIER_CYCLES,
    TOTAL_OVERHEAD,
    TOTAL_REFUSAL,
    TOTAL_REFUSED_LAYER,
    TOTAL_STALL,
    TOTALS,
    Counts,
    Prices,
    femtojoules,
)
from simulator.machines.timeline import in_host_cycles, schedule

LINK_FJ, DISPATCH_FJ = range(2)
MOST_CYCLES: Final = 2.0**60
"""Of a timeline: sums and conversions of it stay below 2^63."""


@njit
def refuse(totals: Counts, code: int, layer: int) -> None:
    """Mark one design refused, its totals -1."""
    for total in range(TOTALS):
        totals[total] = -1
    totals[TOTAL_REFUSAL], totals[TOTAL_REFUSED_LAYER] = code, layer


@njit
def host_parts(actions: Counts, clocks: Counts, parts: Counts) -> int:
    """Fill a node's compute, stall and overhead in host cycles; returns their sum, -1 if too many.

    The running sums are rounded up, so that the parts add up to what the whole takes.
    """
    done, before = 0, 0
    for part, column in enumerate((COMPUTE_CYCLES, STALL_CYCLES, OVERHEAD_CYCLES)):
        done += actions[column]
        until = in_host_cycles(done, clocks[0], clocks[1])
        if until < 0:
            return -1
        parts[part] = until - before
        before = until
    return before


@njit
def node_energy(energy: Counts, moved: Counts, prices: Prices, place: int, extra: Counts) -> int:
    """Fill a node's link and dispatch femtojoules; returns its whole energy, -1 if too much."""
    copied = 0.0
    for unit in range(moved.shape[0]):
        copied += (moved[unit, 0] + moved[unit, 1]) * prices[unit, 0]
    extra[LINK_FJ] = femtojoules(1, copied)
    extra[DISPATCH_FJ] = femtojoules(1, prices[place, 1])
    total, real = 0, 0.0
    for fj in extra:
        total, real = total + fj, real + float(fj)
        if fj < 0 or real >= MOST_FJ:
            return -1
    for fj in energy:
        real += float(fj)
        if real >= MOST_FJ:
            return -1
        total += fj
    return int(total)


@njit
def run_platform(
    places: Counts,
    actions: Counts,
    energy: Counts,
    clocks: Counts,
    attached: Counts,
    prices: Prices,
    bits: Counts,
    producers: Counts,
    kept: Counts,
    reads_from: Counts,
    reads: Counts,
    totals: Counts,
    starts: Counts,
    parts: Counts,
    moved: Counts,
    extra: Counts,
    events: Counts,
) -> None:
    """Cost one design's timeline; see `Timelines` for the arrays."""
    layers = len(places)
    lengths = np.zeros(layers, np.int64)
    real = 0.0
    for layer in range(layers):
        if actions[layer, REFUSAL] != 0:
            refuse(totals, actions[layer, REFUSAL], layer)
            return
        lengths[layer] = host_parts(actions[layer], clocks[places[layer]], parts[layer])
        real += lengths[layer]
        if lengths[layer] < 0 or real >= MOST_CYCLES:
            refuse(totals, TOO_MANY, layer)
            return
    end = schedule(places, lengths, attached, bits, producers, kept, reads_from, reads, starts,
                   moved, events)  # fmt: skip
    for layer in range(layers):
        fj = node_energy(energy[layer], moved[layer], prices, places[layer], extra[layer])
        if fj < 0 or float(totals[TOTAL_ENERGY_FJ]) + fj >= MOST_FJ:
            refuse(totals, TOO_MUCH_ENERGY, layer)
            return
        totals[TOTAL_ENERGY_FJ] += fj
        totals[TOTAL_MACS] += actions[layer, MACS]
        totals[TOTAL_MULTIPLIER_CYCLES] += actions[layer, MULTIPLIER_CYCLES]
        totals[TOTAL_COMPUTE] += parts[layer, 0]
        totals[TOTAL_STALL] += parts[layer, 1]
        totals[TOTAL_OVERHEAD] += parts[layer, 2]
    totals[TOTAL_CYCLES] = end


@njit
def run_platforms(
    places: Counts,
    actions: Counts,
    energy: Counts,
    clocks: Counts,
    attached: Counts,
    prices: Prices,
    bits: Counts,
    producers: Counts,
    kept: Counts,
    reads_from: Counts,
    reads: Counts,
    totals: Counts,
    starts: Counts,
    parts: Counts,
    moved: Counts,
    extra: Counts,
    events: Counts,
) -> None:
    """`run_platform` for every design, the first axis of all arrays but those of the graph."""
    for i in range(len(places)):
        run_platform(
            places[i], actions[i], energy[i], clocks[i], attached[i], prices[i],
            bits, producers, kept, reads_from, reads,
            totals[i], starts[i], parts[i], moved[i], extra[i], events[i],
        )  # fmt: skip
