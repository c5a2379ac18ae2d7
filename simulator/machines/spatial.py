"""An array of multiply-accumulate units on which any loops are unrolled, and its memories.

Read `Spatial` for the fields, `simulator.machines.hierarchy` for the cost of a layer and
`simulator.mapping` for loop nests and the search for them.
"""

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from simulator.errors import Unsupported
from simulator.jit import njit
from simulator.machines.actions import (
    ACCUMULATIONS,
    ACTIONS,
    AREA_MAC,
    AREA_REGISTER,
    AREA_SRAM,
    AREA_VECTOR,
    AREAS,
    COMPONENTS,
    LEVEL_0,
    MULTIPLIER_CYCLES,
    TREE_ADDITIONS,
    Counts,
    Prices,
    add_layer,
    keep_layer,
)
from simulator.machines.base import DOT_WIDTH, REFUSALS, Column, Machine, choice, fixed
from simulator.machines.counting import alike, counts_as, start_inference
from simulator.machines.fabric import (
    ATTO,
    Array,
    Level,
    Picojoules,
    Search,
    Timing,
    Vector,
    Window,
    hierarchy_of,
)
from simulator.machines.hierarchy import (
    DIMENSION_COUNT,
    DRAM,
    HIERARCHY_END,
    LANES,
    MAC_AJ,
    MEMORY,
    MEMORY_COUNT,
    MEMORY_WIDTH,
    REGISTER,
    SIZES,
    read_memories,
)
from simulator.machines.levels import PerLevel
from simulator.machines.pricing import (
    alu_um2,
    datapath_prices,
    dram_prices,
    finish,
    mac_um2,
    register_prices,
    register_um2,
    sram_prices,
    sram_um2,
)
from simulator.machines.registry import register
from simulator.machines.spatial_layer import layer_cost
from simulator.mapping.layout import (
    M_BITS,
    M_RATE,
    M_SERVES,
    MEMORIES,
    MEMORY_COLUMNS,
    OPERANDS,
    empty_tables,
)
from simulator.mapping.loopnest import pin_row
from simulator.mapping.search import MAPPING, OBJECTIVES
from simulator.technology.laws import BY_PARTS

NEST: Final = 1 + MAPPING
"""Columns of a layer's nest as int64: its unrolling, -1 where it has none, and the mapping."""


def _place(index: int) -> Callable[[Any], int]:
    return lambda hierarchy: int(hierarchy[index])


COLUMNS: Final = (
    Column("memory", len),
    Column("array.dimensions", len),
    Column("array.unrollings", len),
    Column("timing", choice(*get_args(Timing))),
    Column("mapping.objective", choice(*OBJECTIVES)),
    Column("mapping.orders"),
    Column("mapping.cuts", choice("filled", "all")),
    Column("vector.lanes"),
    Column("vector.requantizations_per_cycle", lambda rate: fixed(rate) if rate else 0),
    Column("array.step_cycles"),
    Column("mac_pj", lambda pj: -1 if pj is None else round(pj * ATTO)),
    *(Column("hierarchy", _place(index)) for index in range(HIERARCHY_END - SIZES)),
)


@njit
def memory_price(machine: Counts, technology: Prices, memory: int, prices: Prices) -> None:
    """Price a byte of one memory: its own figures, or the technology's for its kind and size.

    Joules of its own are no part of a cost model, nor of a whole system's power.
    """
    start = MEMORY + memory * MEMORY_WIDTH
    kind, read, write = (
        start + MEMORY_COLUMNS,
        start + MEMORY_COLUMNS + 1,
        start + MEMORY_COLUMNS + 2,
    )
    if machine[read] >= 0 and technology[BY_PARTS] != 0.0:
        access_bytes = machine[start + M_RATE] / 8.0
        prices[LEVEL_0 + 2 * memory] = machine[read] / 1000.0 / access_bytes
        prices[LEVEL_0 + 2 * memory + 1] = machine[write] / 1000.0 / access_bytes
    elif machine[kind] == REGISTER:
        register_prices(technology, prices, memory, machine[start + M_BITS])
    elif machine[kind] == DRAM:
        dram_prices(machine, technology, prices, memory)
    else:
        word = float(machine[start + M_RATE])
        sram_prices(machine, technology, prices, memory, machine[start + M_BITS] // 8, word)


@njit
def design_prices(machine: Counts, technology: Prices, prices: Prices) -> float:
    """Fill the float64 prices in femtojoules of each action; returns the area in mm2."""
    datapath_prices(machine, technology, prices)
    if machine[MAC_AJ] >= 0 and technology[BY_PARTS] != 0.0:
        prices[MULTIPLIER_CYCLES] = machine[MAC_AJ] / 1000.0
        prices[ACCUMULATIONS] = prices[TREE_ADDITIONS] = 0.0
    for memory in range(machine[MEMORY_COUNT]):
        memory_price(machine, technology, memory, prices)
    areas = np.zeros(AREAS)
    design_areas(machine, technology, areas)
    return float(finish(machine, technology, areas, prices))


@njit
def design_areas(machine: Counts, technology: Prices, areas: Prices) -> None:
    """Fill the float64 [AREAS] in um2: multipliers, adders, vector lanes, registers and SRAMs."""
    units = 1
    for dimension in range(machine[DIMENSION_COUNT]):
        units *= machine[SIZES + dimension]
    areas[AREA_MAC] = units / machine[DOT_WIDTH] * mac_um2(machine, technology)
    areas[AREA_VECTOR] = machine[LANES] * alu_um2(technology)
    for memory in range(machine[MEMORY_COUNT]):
        start = MEMORY + memory * MEMORY_WIDTH
        instances, bits = 1, machine[start + M_BITS]
        for dimension in range(machine[DIMENSION_COUNT]):
            if (machine[start + M_SERVES] >> dimension) & 1 == 0:
                instances *= machine[SIZES + dimension]
        if machine[start + MEMORY_COLUMNS] == REGISTER:
            areas[AREA_REGISTER] += instances * register_um2(technology, bits)
        elif machine[start + MEMORY_COLUMNS] != DRAM:
            word = float(machine[start + M_RATE])
            areas[AREA_SRAM] += instances * sram_um2(technology, bits // 8, word)


@njit
def evaluate(
    works: Counts,
    machines: Counts,
    technologies: Prices,
    technology_of: Counts,
    totals: Counts,
    areas: Prices,
    counts: Counts,
    energies: Counts,
    nests: Counts | None = None,
) -> None:
    """Cost every layer on every design; see `simulator.designs.evaluate_rows` for the arrays.

    `nests`, where given, is int64 [P, L, NEST] and takes each layer's unrolling and mapping.
    """
    prices = np.zeros(ACTIONS, np.float64)
    mapping = np.zeros(MAPPING, np.int64)
    told = np.zeros(2)
    done = np.zeros((works.shape[0], ACTIONS), np.int64)
    energy = np.zeros(COMPONENTS, np.int64)
    actions = np.zeros(ACTIONS, np.int64)
    ints, reals = empty_tables()
    before = np.zeros(ACTIONS, np.float64)
    first = alike(works)
    for design in range(machines.shape[0]):
        machine = machines[design]
        areas[design] = design_prices(machine, technologies[technology_of[design]], prices)
        read_memories(machine, ints)
        # A search looks at prices whatever its objective: of equally fast nests it takes the
        # cheaper one.
        again = design > 0 and counts_as(machine, machines[design - 1])
        again = again and bool(np.all(prices == before))
        before[:] = prices
        for layer in range(works.shape[0]):
            same = first[layer]
            if same == layer and not again:
                chosen = layer_cost(
                    works[layer], machine, prices, ints, reals, mapping, told, done[layer]
                )
                if nests is not None:
                    nests[design, layer, 0] = chosen
                    nests[design, layer, 1:] = mapping
            elif nests is not None:
                from_design = design - 1 if again else design
                nests[design, layer] = nests[from_design, same]
            actions[:] = done[same]
            start_inference(layer, machine, actions)
            add_layer(layer, actions, prices, energy, totals[design])
            if counts.shape[0] > 0:
                keep_layer(actions, energy, counts[design, layer], energies[design, layer])


@register
class Spatial(Machine):
    """`model: spatial`: an array with loops unrolled on it, N memories, and a mapping search.

    `input_window: bounding_box` moves the rows and columns of the input that a stride skips, too.
    """

    columns: ClassVar = COLUMNS
    units: ClassVar = ("array", "vector")
    bounds: ClassVar = ("compute", "memory", "loading", "overhead")
    refusals: ClassVar = (
        *REFUSALS,
        "no loop nest fits the memories: the tile of one step is larger than one of them, or the "
        "layer than what holds all of it; "
        "enlarge memory.<index>.bytes or unroll fewer loops in array.unrollings",
    )
    design_prices: ClassVar = staticmethod(design_prices)
    design_areas: ClassVar = staticmethod(design_areas)
    evaluate: ClassVar = staticmethod(evaluate)

    model: Literal["spatial"]
    timing: Timing = "physical"
    array: Array
    vector: Vector
    input_window: Window = "touched"
    mac_pj: Picojoules | None = None
    memory: Annotated[tuple[Level, ...], Field(min_length=1, max_length=MEMORIES)]
    mapping: Search = Search()

    @model_validator(mode="after")
    def _a_command_counts_cycles(self) -> Self:
        times = [f"memory '{m.name}': refill_cycles" for m in self.memory if m.refill_cycles]
        times += ["array.commands"] if self.array.commands else []
        if times and self.array.step_cycles > 1:
            raise ValueError(
                f"{times[0]} needs units that take one value a step; found array.dimensions with "
                f"{self.array.step_cycles} values in_turn: leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _every_operand_has_its_chain(self) -> Self:
        names = [level.name for level in self.memory]
        if len(set(names)) != len(names):
            raise ValueError(f"memory must have distinct names; found {', '.join(names)}")
        for level in self.memory:
            for name in level.shared_along if level.shared_along != "all" else ():
                if name not in self.array.dimensions:
                    raise ValueError(
                        f"memory '{level.name}': shared_along names '{name}'; array.dimensions "
                        f"has {', '.join(self.array.dimensions)}"
                    )
            for name, dimension in self.array.dimensions.items():
                if dimension.in_turn > 1 and name not in self.array.along(level.shared_along):
                    raise ValueError(
                        f"memory '{level.name}': shared_along must name '{name}', whose units take "
                        f"{dimension.in_turn} values in turn from one instance"
                    )
        for pin in self.mapping.pinned:
            try:
                pin_row(pin.model_dump(include={"loops", "cuts"}), self.chains())
            except Unsupported as error:
                raise ValueError(f"mapping.pinned: {error}") from None
        for operand in OPERANDS:
            chain = [level for level in self.memory if operand in level.holds]
            if not chain:
                raise ValueError(f"no memory holds '{operand}'; add it to one's 'holds'")
        return self

    @cached_property
    def hierarchy(self) -> tuple[int, ...]:
        """The row behind its scalar columns."""
        return hierarchy_of(self)

    @property
    def codes_weights(self) -> bool:
        """Whether some memory keeps weights coded."""
        return any(level.coded for level in self.memory)

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of the memories, inner to outer."""
        return tuple(level.name for level in self.memory)

    def chains(self) -> Mapping[str, tuple[str, ...]]:
        """The memories that hold each operand, inner to outer."""
        return {
            operand: tuple(level.name for level in self.memory if operand in level.holds)
            for operand in OPERANDS
        }

    def srams(self) -> Mapping[str, int]:
        """Bytes of each SRAM that the technology prices."""
        priced = [x.name for x in self.memory if x.kind == "sram" and x.read_pj is None]
        return PerLevel(priced, lambda name: self.memory[self.levels.index(name)].bytes)

    def registers(self) -> Mapping[str, int]:
        """Bits of each register file that the technology prices."""
        return {
            level.name: level.bytes * 8
            for level in self.memory
            if level.kind == "register" and level.read_pj is None
        }

    def words(self) -> Mapping[str, float]:
        """Bits that a port of each SRAM moves in a cycle."""
        levels = self.levels
        return PerLevel(levels, lambda n: float(self.memory[levels.index(n)].bits_per_cycle))

    def storage(self) -> tuple[None, None]:
        """No limit: the outermost memory holds what the others do not."""
        return None, None

    @property
    def outer_bytes_per_cycle(self) -> float:
        """Of the outermost memory."""
        return self.memory[-1].bits_per_cycle / 8

    @property
    def peak_macs_per_cycle(self) -> int:
        """Every unit of the array."""
        return math.prod(d.size for d in self.array.dimensions.values())
