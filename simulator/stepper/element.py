"""One processing element: what its multipliers, its stages and its accumulator make of a step."""

from typing import Any

import numpy as np

from simulator.jit import njit
from simulator.numeric.bit_count import toggled
from simulator.numeric.rounding import saturate, wrap

(
    CYCLES,
    WEIGHT_TOGGLES,
    ACTIVATION_TOGGLES,
    SUM_TOGGLES,
    WEIGHT_WRITES,
    ACTIVATION_WRITES,
    SUM_WRITES,
    OUT_OF_STEP,
    TRAP_ROW,
    TRAP_CHANNEL,
    TRAP_TAP,
) = range(11)
"""What a run counts; the last three are the first sum that does not fit, row by row, or -1."""
COUNTERS = TRAP_TAP + 1


@njit
def fit(total: int, bits: int, saturates: int) -> Any:
    """A sum as a register of `bits` keeps it."""
    return saturate(total, bits) if saturates else wrap(total, bits)


@njit
def add_step(sums: Any, x: Any, w: Any, first: int, taps: int, rules: Any) -> Any:
    """Add the products of one step, taps `first` and on, to the sums of an element.

    `sums` holds the accumulator and then the partial sum of each stage; `rules` has a row
    (fan_in, bits, saturates) for each stage and last for the accumulator. Without stages the
    products of a step are summed exactly. Returns the tap at which the accumulator overflows, or
    -1.
    """
    stages = rules.shape[0] - 1
    count = min(x.shape[0], taps - first)
    overflow = -1
    if stages == 0:
        dot = np.int64(0)
        for d in range(count):
            dot += x[d] * w[d]
        total = sums[0] + dot
        sums[0] = fit(total, rules[0, 1], rules[0, 2])
        return first if sums[0] != total else -1
    for d in range(count):
        value, index, last = x[d] * w[d], first + d, first + d == taps - 1
        level = 0
        while level < stages:
            sums[1 + level] += value
            if index % rules[level, 0] + 1 < rules[level, 0] and not last:
                break
            value = fit(sums[1 + level], rules[level, 1], rules[level, 2])
            sums[1 + level] = 0
            index //= rules[level, 0]
            level += 1
        if level == stages:
            total = sums[0] + value
            sums[0] = fit(total, rules[stages, 1], rules[stages, 2])
            if sums[0] != total and overflow < 0:
                overflow = first + d
    return overflow


@njit
def write(register: Any, value: Any, bits: int, counters: Any, kind: int) -> None:
    """Clock a register, lane by lane; `kind` is the counter of its toggles."""
    for lane in range(register.shape[0]):
        counters[kind] += toggled(register[lane], value[lane], bits)
        register[lane] = value[lane]
    counters[kind + WEIGHT_WRITES - WEIGHT_TOGGLES] += 1


@njit
def note_overflow(counters: Any, row: int, channel: int, tap: int) -> None:
    """Keep the first overflow in the order of rows, then channels, then taps."""
    seen = counters[TRAP_ROW] >= 0
    earlier = row < counters[TRAP_ROW] or (
        row == counters[TRAP_ROW]
        and (
            channel < counters[TRAP_CHANNEL]
            or (channel == counters[TRAP_CHANNEL] and tap < counters[TRAP_TAP])
        )
    )
    if not seen or earlier:
        counters[TRAP_ROW], counters[TRAP_CHANNEL], counters[TRAP_TAP] = row, channel, tap
