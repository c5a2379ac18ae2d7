"""The integer actions of one layer on one machine, and their price in femtojoules.

A kind's cost function fills one row of `ACTIONS`; everything after that is the same for all
kinds and stands here. Memory levels are counted by position; the kind names them.
"""

import math
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.jit import njit

Counts: TypeAlias = NDArray[np.int64]
"""A row of exact integers: a layer's work, a machine, its actions, its totals."""
Prices: TypeAlias = NDArray[np.float64]
"""A row of costs: a technology's tables, or femtojoules per action."""

LEVELS: Final = 8
"""The most memory levels a kind may have."""

ACTION_NAMES: Final = (
    "compute_cycles",
    "stall_cycles",
    "overhead_cycles",
    "unit",
    "bound",
    "refusal",
    "macs",
    "multiplier_cycles",
    "tree_additions",
    "accumulations",
    "requantizations",
    "elementwise",
    "instructions",
    "register_bytes",
    "stored_weight_bits",
    *(f"level_{k}_{way}_bytes" for k in range(LEVELS) for way in ("read", "write")),
    "lookups",
    "real_products",
    "real_multiplications",
    "real_additions",
)
ACTIONS: Final = len(ACTION_NAMES)
(
    COMPUTE_CYCLES,
    STALL_CYCLES,
    OVERHEAD_CYCLES,
    UNIT,
    BOUND,
    REFUSAL,
    MACS,
    MULTIPLIER_CYCLES,
    TREE_ADDITIONS,
    ACCUMULATIONS,
    REQUANTIZATIONS,
    ELEMENTWISE,
    INSTRUCTIONS,
    REGISTER_BYTES,
    STORED_WEIGHT_BITS,
    LEVEL_0,
) = range(16)
"""`LEVEL_0 + 2 k` holds the bytes read from level k, `LEVEL_0 + 2 k + 1` those written to it.
`MULTIPLIER_CYCLES` are the cycles of one multiplier that the products fill: as many as `MACS`
where each takes one, fewer or more where the datapath is composed.
"""
(LOOKUPS, REAL_PRODUCTS, REAL_MULTIPLICATIONS, REAL_ADDITIONS) = range(ACTIONS - 4, ACTIONS)
"""`REAL_PRODUCTS` are the `MACS` of a layer that multiplies real numbers, the next two those of
its `ELEMENTWISE` operations that are on real numbers; `LOOKUPS` come beside these.
"""

COMPONENT_NAMES: Final = (
    "multiply",
    "accumulate",
    "requantize",
    "elementwise",
    "instruction",
    "register",
    "time",
    "storage",
    "lookup",
)
"""Energy components before the memory levels, which follow in the kind's own names.

`time` is what costs by the clock cycle (leakage, figures of whole systems), `storage` what costs
once for each bit of a layer's weights, `lookup` reads of tables of a function's values; where a
technology prices one of them not, it is left out.
"""
FIRST_LEVEL: Final = len(COMPONENT_NAMES)
COMPONENTS: Final = FIRST_LEVEL + LEVELS
AREA_NAMES: Final = ("mac", "register", "requantizer", "vector", "sram", "control")
"""Parts of an area; `control` is what a technology says that the rest but SRAM brings with it."""
AREAS: Final = len(AREA_NAMES)
(AREA_MAC, AREA_REGISTER, AREA_REQUANTIZER, AREA_VECTOR, AREA_SRAM, AREA_CONTROL) = range(AREAS)

TOO_MANY, TOO_MUCH_ENERGY = 3, 4
"""Refusals of every machine where integers would overflow; `base.REFUSALS` words them."""

MOST_FJ: Final = 2.0**63
"""Energies are int64 femtojoules: below 9223 J."""

TOTAL_NAMES: Final = (
    "cycles",
    "compute_cycles",
    "stall_cycles",
    "overhead_cycles",
    "energy_fj",
    "macs",
    "multiplier_cycles",
    "refusal",
    "refused_layer",
)
TOTALS: Final = len(TOTAL_NAMES)
(
    TOTAL_CYCLES,
    TOTAL_COMPUTE,
    TOTAL_STALL,
    TOTAL_OVERHEAD,
    TOTAL_ENERGY_FJ,
    TOTAL_MACS,
    TOTAL_MULTIPLIER_CYCLES,
    TOTAL_REFUSAL,
    TOTAL_REFUSED_LAYER,
) = range(TOTALS)


@njit
def clear(actions: Counts) -> None:
    """Set every action to zero. Loops, not slices: those make compilation twice as long."""
    for action in range(ACTIONS):
        actions[action] = 0


@njit
def add_part(times: int, part: Counts, layer: Counts, longest: int) -> int:
    """Add a part of a layer, done `times` times, to the layer's actions.

    The bound is that of the part that takes most cycles; returns these, or `longest` of others.
    """
    cycles = times * (part[COMPUTE_CYCLES] + part[STALL_CYCLES] + part[OVERHEAD_CYCLES])
    if cycles > longest or longest == 0:
        longest = cycles
        layer[BOUND] = part[BOUND]
    layer[UNIT] = part[UNIT]
    if layer[REFUSAL] == 0:
        layer[REFUSAL] = part[REFUSAL]
    for action in range(ACTIONS):
        if action < UNIT or action > REFUSAL:
            layer[action] += times * part[action]
    return int(longest)


@njit
def keep_layer(actions: Counts, energy: Counts, kept_actions: Counts, kept_energy: Counts) -> None:
    """Copy one layer's actions and energy to where a caller asked for them."""
    for action in range(ACTIONS):
        kept_actions[action] = actions[action]
    for component in range(COMPONENTS):
        kept_energy[component] = energy[component]


@njit
def femtojoules(count: int, price_fj: float) -> int:
    """Count times price, rounded half up: the one rounding of an energy; -1 where it overflows."""
    energy = count * price_fj + 0.5
    return -1 if energy >= MOST_FJ else math.floor(energy)


@njit
def price_products(actions: Counts, prices: Prices, energy: Counts) -> None:
    """Fill what products and their additions cost.

    Those of real numbers pay what real numbers cost in place of the multiplier's and accumulator's
    prices, unless a technology has no such price (0): then they pay these, and a note says so.
    """
    if actions[REAL_PRODUCTS] > 0 and prices[REAL_PRODUCTS] > 0.0:
        energy[0] = femtojoules(actions[REAL_PRODUCTS], prices[REAL_PRODUCTS])
        energy[1] = femtojoules(actions[REAL_PRODUCTS], prices[REAL_ADDITIONS])
        return
    energy[0] = femtojoules(actions[MULTIPLIER_CYCLES], prices[MULTIPLIER_CYCLES])
    tree = actions[TREE_ADDITIONS] * prices[TREE_ADDITIONS]
    energy[1] = femtojoules(1, tree + actions[ACCUMULATIONS] * prices[ACCUMULATIONS])


@njit
def price_layer(actions: Counts, prices: Prices, energy: Counts) -> int:
    """Fill `energy` (int64 [COMPONENTS], femtojoules) from int64 actions and float64 prices.

    Returns the sum of the components, -1 where it or one of them overflows. Prices are femtojoules
    per action, indexed as actions are.
    """
    price_products(actions, prices, energy)
    energy[2] = femtojoules(actions[REQUANTIZATIONS], prices[REQUANTIZATIONS])
    real = actions[REAL_MULTIPLICATIONS] * prices[REAL_MULTIPLICATIONS]
    real += actions[REAL_ADDITIONS] * prices[REAL_ADDITIONS]
    whole = actions[ELEMENTWISE] - actions[REAL_MULTIPLICATIONS] - actions[REAL_ADDITIONS]
    energy[3] = femtojoules(1, whole * prices[ELEMENTWISE] + real)
    energy[4] = femtojoules(actions[INSTRUCTIONS], prices[INSTRUCTIONS])
    energy[5] = femtojoules(actions[REGISTER_BYTES], prices[REGISTER_BYTES])
    cycles = actions[COMPUTE_CYCLES] + actions[STALL_CYCLES] + actions[OVERHEAD_CYCLES]
    energy[6] = femtojoules(cycles, prices[COMPUTE_CYCLES])
    energy[7] = femtojoules(actions[STORED_WEIGHT_BITS], prices[STORED_WEIGHT_BITS])
    energy[8] = femtojoules(actions[LOOKUPS], prices[LOOKUPS])
    for level in range(LEVELS):
        read, write = LEVEL_0 + 2 * level, LEVEL_0 + 2 * level + 1
        joined = actions[read] * prices[read] + actions[write] * prices[write]
        energy[FIRST_LEVEL + level] = femtojoules(1, joined)
    total, real_total = 0, 0.0
    for component in range(COMPONENTS):
        real_total += float(energy[component])
        if energy[component] < 0 or real_total >= MOST_FJ:
            return -1
        total += energy[component]
    return total


@njit
def add_layer(layer: int, actions: Counts, prices: Prices, energy: Counts, totals: Counts) -> None:
    """Price one layer and add it to the int64 [TOTALS] of its design.

    A refused layer refuses the design: its cycles and energy become -1, never a small number.
    """
    total_fj = 0
    if totals[TOTAL_REFUSAL] == 0 and actions[REFUSAL] == 0:
        total_fj = price_layer(actions, prices, energy)
        if total_fj < 0 or float(totals[TOTAL_ENERGY_FJ]) + total_fj >= MOST_FJ:
            actions[REFUSAL] = TOO_MUCH_ENERGY
    if totals[TOTAL_REFUSAL] != 0 or actions[REFUSAL] != 0:
        for component in range(COMPONENTS):
            energy[component] = 0
    if totals[TOTAL_REFUSAL] != 0:
        return
    if actions[REFUSAL] != 0:
        for total in range(TOTALS):
            totals[total] = -1
        totals[TOTAL_REFUSAL] = actions[REFUSAL]
        totals[TOTAL_REFUSED_LAYER] = layer
        return
    totals[TOTAL_COMPUTE] += actions[COMPUTE_CYCLES]
    totals[TOTAL_STALL] += actions[STALL_CYCLES]
    totals[TOTAL_OVERHEAD] += actions[OVERHEAD_CYCLES]
    totals[TOTAL_CYCLES] += actions[COMPUTE_CYCLES] + actions[STALL_CYCLES]
    totals[TOTAL_CYCLES] += actions[OVERHEAD_CYCLES]
    totals[TOTAL_ENERGY_FJ] += total_fj
    totals[TOTAL_MACS] += actions[MACS]
    totals[TOTAL_MULTIPLIER_CYCLES] += actions[MULTIPLIER_CYCLES]
