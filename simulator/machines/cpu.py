"""A processor core: instructions of its software's kernels, cycles of each, and its memories.

A layer is a number of multiply-accumulate instructions (from the SIMD width of its operands), each
accompanied by those of the kernel, and instructions for each output. The core turns instructions
into cycles. A microcontroller waits for SRAM and flash, an application core for DRAM behind a
cache.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, ValidationInfo, field_serializer, field_validator, model_validator

from simulator.jit import njit
from simulator.machines.actions import (
    ACTIONS,
    AREA_MAC,
    AREA_SRAM,
    AREAS,
    BOUND,
    COMPONENTS,
    COMPUTE_CYCLES,
    INSTRUCTIONS,
    MACS,
    OVERHEAD_CYCLES,
    REFUSAL,
    STALL_CYCLES,
    Counts,
    Prices,
    add_layer,
    clear,
    keep_layer,
)
from simulator.machines.base import (
    ACTIVATION_BITS,
    DOT_WIDTH,
    FRACTION,
    REFUSALS,
    Machine,
    fixed,
)
from simulator.machines.composition import count_products, decompression_cycles
from simulator.machines.counting import (
    alike,
    ceil_div,
    count_operator,
    counts_as,
    gemm,
    start_inference,
)
from simulator.machines.cpu_counts import count_instructions, count_traffic, refused, wait_cycles
from simulator.machines.cpu_schema import (
    BY_COMPUTE,
    BY_INNER,
    BY_OUTER,
    BY_OVERHEAD,
    CACHED,
    COLUMNS,
    CYCLES_PER_INSTRUCTION,
    INNER,
    INNER_BYTES,
    INNER_LINE,
    INNER_RATE,
    INT8_DOT,
    INT8_LANES,
    INT16_DOT,
    INT16_LANES,
    OUTER,
    PIXEL_BLOCK,
    Core,
    Memory,
)
from simulator.machines.kernels import Kernels, Rates
from simulator.machines.pricing import (
    datapath_prices,
    dram_prices,
    finish,
    flash_prices,
    mac_um2,
    sram_prices,
    sram_um2,
    word_of,
)
from simulator.machines.registry import register
from simulator.schema import Text


@njit
def layer_cost(work: Counts, machine: Counts, actions: Counts) -> None:
    """Fill the int64 [ACTIONS] of one layer from its int64 work and machine rows."""
    clear(actions)
    actions[REFUSAL] = refused(work, machine)
    if actions[REFUSAL] != 0:
        return
    count_operator(work, machine, actions)
    groups, m, n, k = gemm(work)
    count_products(work, machine, actions, groups * m * n * ceil_div(k, machine[DOT_WIDTH]))
    instructions = count_instructions(work, machine, actions[MACS])
    weights = ceil_div(m, machine[PIXEL_BLOCK]) * groups * n * k
    instructions += decompression_cycles(work, machine, weights, actions)
    compute = ceil_div(instructions * machine[CYCLES_PER_INSTRUCTION], FRACTION)
    count_traffic(work, machine, actions)
    inner, outer = wait_cycles(actions, machine, compute)
    actions[COMPUTE_CYCLES] = compute
    actions[STALL_CYCLES] = inner + outer
    actions[INSTRUCTIONS] += instructions
    actions[BOUND] = BY_COMPUTE
    if actions[OVERHEAD_CYCLES] > compute + inner + outer:
        actions[BOUND] = BY_OVERHEAD
    elif max(inner, outer) > compute:
        actions[BOUND] = BY_INNER if inner > outer else BY_OUTER


@njit
def inner_word(machine: Counts) -> float:
    """Bits of an access to the inner memory: the cache's bytes per cycle, or the SRAM's line."""
    if machine[CACHED] != 0:
        return float(word_of(machine[INNER_RATE]))
    return float(8.0 * machine[INNER_LINE])


@njit
def design_areas(machine: Counts, technology: Prices, areas: Prices) -> None:
    """Fill the float64 [AREAS] in um2: the multipliers of one instruction, the inner memory.

    No core, no flash, no DRAM.
    """
    products = machine[INT8_LANES] * machine[INT8_DOT]
    if machine[ACTIVATION_BITS] > 8:
        products = machine[INT16_LANES] * machine[INT16_DOT]
    areas[AREA_MAC] = ceil_div(products, machine[DOT_WIDTH]) * mac_um2(machine, technology)
    areas[AREA_SRAM] = sram_um2(technology, machine[INNER_BYTES], inner_word(machine))


@njit
def design_prices(machine: Counts, technology: Prices, prices: Prices) -> float:
    """Fill the float64 prices in femtojoules of each action; returns the area in mm2.

    Register file accesses are part of the instruction's price.
    """
    datapath_prices(machine, technology, prices)
    word = inner_word(machine)
    sram_prices(machine, technology, prices, INNER, machine[INNER_BYTES], word)
    if machine[CACHED] != 0:
        dram_prices(machine, technology, prices, OUTER)
    else:
        flash_prices(technology, prices, OUTER)
    areas = np.zeros(AREAS)
    design_areas(machine, technology, areas)
    return float(finish(machine, technology, areas, prices))


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
) -> None:
    """Cost every layer on every design; see `simulator.designs.evaluate_rows` for the arrays."""
    prices = np.zeros(ACTIONS, np.float64)
    actions = np.zeros(ACTIONS, np.int64)
    energy = np.zeros(COMPONENTS, np.int64)
    done = np.zeros((works.shape[0], ACTIONS), np.int64)
    first = alike(works)
    for design in range(machines.shape[0]):
        machine = machines[design]
        areas[design] = design_prices(machine, technologies[technology_of[design]], prices)
        again = design > 0 and counts_as(machine, machines[design - 1])
        for layer in range(works.shape[0]):
            if first[layer] == layer and not again:
                layer_cost(works[layer], machine, done[layer])
            actions[:] = done[first[layer]]
            start_inference(layer, machine, actions)
            add_layer(layer, actions, prices, energy, totals[design])
            if counts.shape[0] > 0:
                keep_layer(actions, energy, counts[design, layer], energies[design, layer])


@register
class Cpu(Machine):
    """`model: cpu`: a core, the kernels of each software generation on it, and its memories."""

    columns: ClassVar = COLUMNS
    units: ClassVar = ("core",)
    refusals: ClassVar = (
        *REFUSALS,
        "it computes integers and the chosen software has no integer kernels; "
        "choose another with `software`",
        "it computes float32 and the chosen software has no float32 kernels; "
        "choose another with `software`, or quantize the network",
    )
    design_prices: ClassVar = staticmethod(design_prices)
    design_areas: ClassVar = staticmethod(design_areas)
    evaluate: ClassVar = staticmethod(evaluate)

    model: Literal["cpu"]
    core: Core
    kernels: dict[Text, Kernels]
    aliases: dict[Text, Text] = Field(default_factory=dict)
    software: Text
    memory: Memory

    @field_serializer("kernels")
    def _selected_alone(self, kernels: dict[str, Kernels]) -> dict[str, Any]:
        """A dump names the kernels that were used, not the library of them."""
        name = self.aliases.get(self.software, self.software)
        return {name: kernels[name].model_dump(mode="json")}

    @field_serializer("aliases")
    def _chosen_alone(self, aliases: dict[str, str]) -> dict[str, str]:
        return {name: at for name, at in aliases.items() if name == self.software}

    @field_validator("aliases")
    @classmethod
    def _lead_to_kernels(cls, aliases: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        kernels = info.data.get("kernels")
        for name, at in aliases.items():
            if kernels is not None and (at not in kernels or name in kernels):
                raise ValueError(
                    f"{name}: {at} must lead from a name without kernels to one with kernels"
                )
        return aliases

    @field_validator("software")
    @classmethod
    def _is_known(cls, software: str, info: ValidationInfo) -> str:
        kernels = info.data.get("kernels")
        known = {**(kernels or {}), **info.data.get("aliases", {})}
        if kernels is not None and software not in known:
            raise ValueError(f"'{software}' has no kernels; known: {', '.join(sorted(known))}")
        return software

    @model_validator(mode="after")
    def _runs_something(self) -> Self:
        if not (self.has_integer or self.has_float32):
            raise ValueError(f"kernels.{self.software} needs integer rates, float32 rates or both")
        least = 1 / self.core.issue_width
        if self.core.cycles_per_instruction < least:
            raise ValueError(
                f"core.cycles_per_instruction must be >= {least:g}, with core.issue_width "
                f"instructions a cycle; found {self.core.cycles_per_instruction:g}"
            )
        return self

    @property
    def levels(self) -> tuple[str, ...]:
        """SRAM and flash, or a cache and DRAM."""
        return ("cache", "dram") if self.memory.cached else ("sram", "flash")

    @property
    def bounds(self) -> tuple[str, ...]:
        """What a layer may wait for."""
        return ("compute", *self.levels, "overhead")

    @property
    def selected(self) -> Kernels:
        """The kernels of the chosen software; an alias has those it leads to."""
        return self.kernels[self.aliases.get(self.software, self.software)]

    @property
    def has_integer(self) -> bool:
        """Whether the chosen software computes integers."""
        return self.selected.integer is not None

    @property
    def has_float32(self) -> bool:
        """Whether the chosen software computes float32."""
        return self.selected.float32 is not None

    @property
    def integer(self) -> Rates:
        """The rates on integers; those on float32 where there are none, for layers without MACs."""
        rates = self.selected.integer or self.selected.float32
        assert rates is not None
        return rates

    @property
    def float32(self) -> Rates:
        """The rates on float32; those on integers where there are none, for layers without MACs."""
        return self.selected.float32 or self.integer

    @property
    def inner_wait(self) -> int:
        """Wait states of SRAM at this clock; 0 for a cache."""
        return self.memory.sram.waits(self.clock_mhz) if self.memory.sram else 0

    @property
    def outer_wait(self) -> int:
        """Wait states of flash at this clock; 0 for DRAM."""
        return self.memory.flash.waits(self.clock_mhz) if self.memory.flash else 0

    def srams(self) -> Mapping[str, int]:
        """Bytes of the SRAM or cache by level name."""
        return {self.levels[0]: self.memory.inner_bytes}

    def words(self) -> Mapping[str, float]:
        """Bits of a line of the SRAM, or of what the cache moves in a cycle."""
        bits = 8 * (self.memory.inner_rate if self.memory.cached else self.memory.inner_line)
        return {self.levels[0]: bits}

    def storage(self) -> tuple[int | None, int | None]:
        """SRAM for activations and flash for constants; no limit where DRAM takes both."""
        if self.memory.sram is None or self.memory.flash is None:
            return None, None
        return self.memory.sram.bytes, self.memory.flash.bytes

    @property
    def outer_bytes_per_cycle(self) -> float:
        """Of flash, a line in one cycle and its wait states; of DRAM as it is given."""
        if self.memory.cached:
            return self.memory.dram_rate
        return self.memory.outer_line / (1 + self.outer_wait)

    @property
    def cycle_scales(self) -> tuple[int, int, int]:
        """The cycles of each kind of operation, in 1/65536, at least 1; outputs with the MACs."""
        cpi = max(1.0, self.core.cycles_per_instruction)
        rates = [r for r in (self.selected.integer, self.selected.float32) if r is not None]
        per_mac = max(r.per_multiply.most + r.per_output for r in rates)
        per_element = max(r.per_elementwise for r in rates)
        per_output = max(r.per_requantize for r in rates)
        mac, element, output = (
            max(FRACTION, fixed(cpi * rate)) for rate in (per_mac, per_element, per_output)
        )
        return mac * self.most_passes, element, output

    @property
    def peak_macs_per_cycle(self) -> int:
        """What the widest multiply-accumulate instructions do, as many as issue in a cycle."""
        simd = self.core.simd
        vectors = (simd.int8, simd.int16, simd.float32)
        return max(v.lanes * v.dot for v in vectors) * self.core.issue_width
