"""Mappings of single layers on a `spatial` machine: searched, pinned, and what each costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from simulator.errors import Unsupported
from simulator.machines.actions import ACTIONS
from simulator.machines.composition import channel_steps
from simulator.machines.hierarchy import (
    NOTHING_FITS,
    UNROLL,
    map_layer,
    pinned,
    read_layer,
    read_memories,
    read_rates,
    unroll_layer,
)
from simulator.machines.spatial import Spatial, design_prices
from simulator.mapping.latency import cost_of_nest
from simulator.mapping.layout import (
    ACCESS,
    BITS,
    BOUNDS,
    DIMENSIONS,
    DIRECTIONS,
    FINAL,
    HELD,
    LEVEL,
    LOOPS,
    M_BITS,
    MEMORY,
    OPERANDS,
    OUTPUT,
    RESULT,
    RESULT_NAMES,
    TEMPORAL,
    Ints,
    Reals,
    empty_tables,
    level_row,
)
from simulator.mapping.loopnest import LoopNest, nest_of_row
from simulator.mapping.search import BEST_COUNT, BEST_FACTORS, BEST_LOOPS, MAPPING, load
from simulator.mapping.tiling import bits_held, fits
from simulator.work import Work


@dataclass(frozen=True)
class MappedLayer:
    """A layer's mapping and its cost.

    `cycles` by term (ideal, stall, onload, offload, drain) and `latency`, their sum; `energy_fj`
    of the multiply-accumulates and memories; `words` by memory, operand and direction; `costed`
    and `decided`, how many nests the search priced and how many it settled.
    """

    nest: LoopNest
    cycles: Mapping[str, int]
    latency: int
    energy_fj: float
    words: Mapping[tuple[str, str, str], int]
    costed: int = 0
    decided: int = 0


def map_work(work: Work, machine: Spatial) -> MappedLayer:
    """Search the best mapping of a layer; raises Unsupported where none fits the memories."""
    ints, reals, prices = _tables(machine)
    mapping, told = np.zeros(MAPPING, np.int64), np.zeros(2)
    chosen = map_layer(work.row(), machine.row(), prices, ints, reals, mapping, told)
    if chosen < 0:
        raise Unsupported(f"{machine.name}: {no_room(work, machine)}")
    nest = nest_of_row(mapping, _spatial(machine, chosen, work), machine.chains())
    return _mapped(nest, machine, ints, reals, (int(told[0]), int(told[1])))


def nests_of(works: Sequence[Work], machine: Spatial, rows: Ints) -> tuple[LoopNest | None, ...]:
    """The loop nest of each layer, of int64 rows [L, NEST]; None of one that has no products."""
    return tuple(
        nest_of_row(row[1:], _spatial(machine, int(row[0]), work), machine.chains())
        if row[0] >= 0
        else None
        for work, row in zip(works, rows, strict=True)
    )


def no_room(work: Work, machine: Spatial) -> str:
    """Why no loop nest of a layer fits: the memory that is too small, its bytes and those needed.

    Of several unrollings the one that comes nearest is told.
    """
    ints, reals, prices = _tables(machine)
    read_layer(work.row(), machine.row(), ints)
    least, told = math.inf, ""
    for choice in range(len(machine.array.unrollings)):
        unroll_layer(machine.row(), prices, choice, ints, reals)
        needed, whole = _least_bits(machine, ints, reals)
        short = [bits / int(ints[MEMORY + k, M_BITS]) for k, bits in enumerate(needed)]
        worst = short.index(max(short))
        if short[worst] < least:
            least = short[worst]
            have = f"memory '{machine.memory[worst].name}' has {machine.memory[worst].bytes} bytes"
            told = f"{have}, and the tile of one step needs {-(-needed[worst] // 8)}"
            way = "unroll fewer loops in array.unrollings"
            if whole[worst]:
                told = f"{have}, and what it holds of the whole layer {-(-needed[worst] // 8)}"
                way = "split the layer"
            told += f"; enlarge memory.{worst}.bytes or {way}"
    # Each memory has room for the least: it is the joint cuts of the orders tried that do not fit.
    general = machine.refusals[NOTHING_FITS]
    return f"{general.split(':')[0]}: {told}" if least > 1 else general


def _least_bits(machine: Spatial, ints: Ints, reals: Reals) -> tuple[list[int], list[bool]]:
    """Bits that each memory holds at the least, and whether an operand ends in it.

    All of an operand in the outermost memory of its chain, the tile of one step in the others.
    """
    mapping, count = np.zeros(MAPPING, np.int64), 0
    for loop in range(len(LOOPS)):
        if ints[TEMPORAL, loop] > 1:
            mapping[BEST_LOOPS + count] = loop
            mapping[BEST_FACTORS + count] = ints[TEMPORAL, loop]
            count += 1
    mapping[BEST_COUNT] = count
    load(ints, reals, mapping)
    needed, whole = [0] * len(machine.memory), [False] * len(machine.memory)
    for operand, chain in enumerate(machine.chains().values()):
        width = int(ints[BITS, operand])
        if operand == OUTPUT:
            width = min(width, int(ints[BITS, FINAL]))
        for level in range(len(chain)):
            memory, top = int(ints[LEVEL + operand, level]), level == len(chain) - 1
            held = int(ints[HELD + level_row(operand, level), count if top else 0])
            needed[memory] += held * width
            whole[memory] = whole[memory] or top
    return needed, whole


def is_pinned(work: Work, machine: Spatial) -> bool:
    """Whether one of the machine's pinned mappings covers a layer and fits its memories."""
    ints, reals, prices = _tables(machine)
    row = machine.row()
    read_layer(work.row(), row, ints)
    for choice in range(len(machine.array.unrollings)):
        unroll_layer(row, prices, choice, ints, reals)
        if any(pinned(row, pin, ints, reals) for pin in range(len(machine.mapping.pinned))):
            return True
    return False


def cost_mapping(work: Work, machine: Spatial, nest: LoopNest) -> MappedLayer:
    """Cost a mapping as it is given: its own unrolling, or the machine's first that fits it.

    Raises Unsupported where its loops do not cover the layer or a tile does not fit its memory.
    """
    ints, reals, prices = _tables(machine)
    row = machine.row()
    read_layer(work.row(), row, ints)
    read_rates(work.row(), row, prices, ints, reals)
    wanted = dict.fromkeys(LOOPS, 1)
    for loop, factor in nest.loops:
        wanted[loop] *= factor
    for choice in range(len(machine.array.unrollings)):
        unroll_layer(_unrolled_as(row, machine, nest, choice), prices, choice, ints, reals)
        if all(wanted[loop] == ints[TEMPORAL, k] for k, loop in enumerate(LOOPS)):
            break
    else:
        counts = ", ".join(f"{loop} {ints[BOUNDS, k]}" for k, loop in enumerate(LOOPS))
        raise Unsupported(
            f"{machine.name}: the mapping's loops and no unrolling cover the layer ({counts}); "
            "each loop's factors must multiply to ceil(bound / unrolling)"
        )
    load(ints, reals, nest.row())
    _check_room(machine, ints, reals, nest)
    cost_of_nest(ints, reals)
    return _mapped(nest, machine, ints, reals)


def _unrolled_as(row: Ints, machine: Spatial, nest: LoopNest, choice: int) -> Ints:
    """The machine's row, each loop that it unrolls unrolled as far as the mapping does."""
    if not nest.spatial:
        return row
    wanted: dict[tuple[str, str], int] = {}
    for name, loop, factor in nest.spatial:
        # A nest whose dimensions have other names says how far each loop is unrolled at all.
        for dimension in [name] if name in machine.array.dimensions else machine.array.dimensions:
            wanted[dimension, loop] = wanted.get((dimension, loop), 1) * factor
    row = row.copy()
    for index, dimension in enumerate(machine.array.dimensions):
        for k, loop in enumerate(LOOPS):
            place = UNROLL + (choice * DIMENSIONS + index) * 8 + k
            row[place] = min(int(row[place]), wanted.get((dimension, loop), 1))
    return row


def _tables(machine: Spatial) -> tuple[Ints, Reals, Reals]:
    prices = np.zeros(ACTIONS)
    row = machine.row()
    design_prices(row, machine.technology.row(), prices)
    ints, reals = empty_tables()
    read_memories(row, ints)
    return ints, reals, prices


def _check_room(machine: Spatial, ints: Ints, reals: Reals, nest: LoopNest) -> None:
    if fits(ints, reals, len(machine.memory)):
        return
    held = [0] * len(machine.memory)
    for operand, name in enumerate(OPERANDS):
        for level in range(len(nest.cuts[name])):
            memory = int(ints[LEVEL + operand, level])
            held[memory] += bits_held(ints, operand, level)
    for memory, bits in enumerate(held):
        room = int(ints[MEMORY + memory, M_BITS])
        if bits > room:
            raise Unsupported(
                f"{machine.name}: the mapping's tiles need {bits} bits of memory "
                f"'{machine.memory[memory].name}', which has {room}; cut it further in"
            )


def _mapped(
    nest: LoopNest, machine: Spatial, ints: Ints, reals: Reals, told: tuple[int, int] = (0, 0)
) -> MappedLayer:
    words = {}
    for operand, name in enumerate(OPERANDS):
        for level, memory in enumerate(machine.chains()[name]):
            for way, direction in enumerate(DIRECTIONS):
                words[memory, name, direction] = int(ints[ACCESS + 4 * operand + way, level])
    result = {name: float(reals[RESULT, k]) for k, name in enumerate(RESULT_NAMES)}
    step = machine.array.step_cycles
    cycles = {name: step * int(result[name]) for name in RESULT_NAMES[:5]}
    return MappedLayer(
        nest,
        MappingProxyType(cycles),
        step * int(result["latency"]),
        result["energy"],
        MappingProxyType(words),
        *told,
    )


def _spatial(machine: Spatial, choice: int, work: Work) -> tuple[tuple[str, str, int], ...]:
    """The unrollings in use, no larger than the layer's loops."""
    bounds = {"n": work.n, "g": work.groups, "oc": work.oc}
    bounds["ic"] = channel_steps(work.row(), machine.row())
    bounds |= {"oy": work.oy, "ox": work.ox, "ky": work.ky, "kx": work.kx}
    used = []
    for dimension, loops in machine.array.unrollings[choice].items():
        for loop, factor in loops.items():
            if min(factor, bounds[loop]) > 1:
                used.append((dimension, str(loop), min(factor, bounds[loop])))
    return tuple(used)
