"""Weights stored narrower than a spatial machine's multipliers take them, made wide on the way."""

from typing import Final

from simulator.jit import njit
from simulator.machines.actions import COMPUTE_CYCLES, STALL_CYCLES, Counts
from simulator.machines.composition import decompression_cycles
from simulator.machines.counting import ceil_div, weight_bits
from simulator.mapping.layout import ACCESS, DEPTH, LEVEL, M_WORD, MEMORY, READ_DOWN, WEIGHT

REGISTER: Final = 0
"""The kind of a memory whose contents are there without a read worth a unit of its own."""


@njit
def expand_weights(
    work: Counts, machine: Counts, ints: Counts, kinds: Counts, actions: Counts
) -> None:
    """Expand weights at every read of the innermost memory that is no register.

    Beside the work, as the array's other transfers. `kinds` of the memories, inner to outer;
    `ints` holds a costed nest.
    """
    level = 0
    while level < ints[DEPTH, WEIGHT] - 1 and kinds[ints[LEVEL + WEIGHT, level]] == REGISTER:
        level += 1
    word = ints[MEMORY + ints[LEVEL + WEIGHT, level], M_WORD]
    read = ints[ACCESS + 4 * WEIGHT + READ_DOWN, level] * word
    weights = ceil_div(read, weight_bits(work, machine))
    cycles = decompression_cycles(work, machine, weights, actions)
    actions[STALL_CYCLES] = max(actions[STALL_CYCLES], cycles - actions[COMPUTE_CYCLES])
