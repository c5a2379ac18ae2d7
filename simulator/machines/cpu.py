"""A microcontroller core: cycles per multiply-accumulate by class of layer, flash and SRAM.

The class comes from the work alone: depthwise, fully connected (one output pixel, one tap), or
convolution. Weights are read from flash, activations from SRAM, each again for every register
block of outputs; wait states of both stall the in-order core.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

import numpy as np
from pydantic import Field, model_validator

from simulator.jit import njit
from simulator.machines.actions import (
    ACTIONS,
    BOUND,
    COMPONENTS,
    COMPUTE_CYCLES,
    INSTRUCTIONS,
    LEVEL_0,
    OVERHEAD_CYCLES,
    REFUSAL,
    STALL_CYCLES,
    Counts,
    Prices,
    add_layer,
    clear,
    keep_layer,
)
from simulator.machines.base import COMMON, DOT_WIDTH, FRACTION, Column, Machine, fixed
from simulator.machines.composition import (
    count_products,
    decompression_cycles,
    multiplier_steps,
)
from simulator.machines.counting import (
    activation_bits,
    ceil_div,
    compulsory_bits,
    count_operator,
    gemm,
    move,
    refusal,
    start_inference,
    weight_bits,
)
from simulator.machines.pricing import (
    UM2_PER_MM2,
    datapath_prices,
    level_price,
    mac_um2,
    sram_um2,
)
from simulator.machines.registry import register
from simulator.schema import NonNegative, Positive, Schema
from simulator.technology.laws import flash_byte_fj, sram_byte_fj
from simulator.work import (
    W_ACTIVATION_BITS,
    W_DEPTHWISE,
    W_ELEMENTWISE,
    W_KX,
    W_KY,
    W_OX,
    W_OY,
    W_REQUANTIZATIONS,
)

Rate: TypeAlias = Annotated[float, Field(gt=0, le=65536)]
Block: TypeAlias = Annotated[int, Field(ge=1, le=64)]


class CyclesPerMac(Schema):
    """Cycles of one multiply-accumulate in each class of layer, operand loads included."""

    convolution: Rate
    depthwise: Rate
    fully_connected: Rate


class Core(Schema):
    """The core with its kernels: what one scalar result of each kind takes.

    `cycles_per_output` is what a layer with multiply-accumulates spends on each output beside
    them: gathering the patch, requantizing, storing. The blocks are the outputs whose sums are in
    registers at once.
    """

    macs_per_instruction: Annotated[int, Field(ge=1, le=64)]
    cycles_per_mac: CyclesPerMac
    cycles_per_output: Rate
    cycles_per_requantize: Rate
    cycles_per_elementwise: Rate
    pixel_block: Block
    channel_block: Block


class WaitedMemory(Schema):
    """A memory that delivers `line_bytes` an access, each `wait_states` cycles late."""

    bytes: Positive
    line_bytes: Annotated[int, Field(ge=1, le=4096)]
    wait_states: NonNegative


class Memory(Schema):
    """SRAM for activations, flash for weights and biases."""

    sram: WaitedMemory
    flash: WaitedMemory


COLUMNS: Final = (
    Column("core.cycles_per_mac.convolution", fixed),
    Column("core.cycles_per_mac.depthwise", fixed),
    Column("core.cycles_per_mac.fully_connected", fixed),
    Column("core.cycles_per_output", fixed),
    Column("core.cycles_per_requantize", fixed),
    Column("core.cycles_per_elementwise", fixed),
    Column("core.macs_per_instruction"),
    Column("core.pixel_block"),
    Column("core.channel_block"),
    Column("memory.sram.bytes"),
    Column("memory.sram.line_bytes"),
    Column("memory.sram.wait_states"),
    Column("memory.flash.line_bytes"),
    Column("memory.flash.wait_states"),
)
(
    CONVOLUTION,
    DEPTHWISE,
    FULLY_CONNECTED,
    PER_OUTPUT,
    PER_REQUANTIZE,
    PER_ELEMENTWISE,
    MACS_PER_INSTRUCTION,
    PIXEL_BLOCK,
    CHANNEL_BLOCK,
    SRAM_BYTES,
    SRAM_LINE,
    SRAM_WAIT,
    FLASH_LINE,
    FLASH_WAIT,
) = range(len(COMMON), len(COMMON) + len(COLUMNS))
SRAM, FLASH = range(2)
BY_COMPUTE, BY_SRAM, BY_FLASH, BY_OVERHEAD = range(4)


@njit
def mac_class(work: Counts) -> int:
    """The column of the cycles per multiply-accumulate that holds for this layer."""
    if work[W_DEPTHWISE] != 0:
        return DEPTHWISE
    if work[W_OY] * work[W_OX] * work[W_KY] * work[W_KX] == 1:
        return FULLY_CONNECTED
    return CONVOLUTION


@njit
def traffic(work: Counts, machine: Counts, actions: Counts) -> tuple[int, int]:
    """Count the bytes of SRAM and flash; returns the wait cycles of each.

    A weight is read once for `pixel_block` output pixels, an activation once for `channel_block`
    filters (a depthwise one once for each tap), and each operand at least once.
    """
    groups, m, n, k = gemm(work)
    inputs, weights, biases, outputs = compulsory_bits(work, machine)
    channels = 1 if work[W_DEPTHWISE] != 0 else machine[CHANNEL_BLOCK]
    fetched = ceil_div(m, machine[PIXEL_BLOCK]) * groups * n * k * weight_bits(work, machine)
    loaded = ceil_div(n, channels) * groups * m * k
    loaded *= activation_bits(work[W_ACTIVATION_BITS], machine)
    move(actions, SRAM, max(inputs, loaded), outputs)
    move(actions, FLASH, max(weights, fetched) + biases, 0)
    sram = actions[LEVEL_0 + 2 * SRAM] + actions[LEVEL_0 + 2 * SRAM + 1]
    flash = actions[LEVEL_0 + 2 * FLASH]
    return (
        ceil_div(sram, machine[SRAM_LINE]) * machine[SRAM_WAIT],
        ceil_div(flash, machine[FLASH_LINE]) * machine[FLASH_WAIT],
    )


@njit
def compute_cycles(work: Counts, machine: Counts) -> int:
    """Cycles of the instructions of one layer, without wait states.

    The cycles of a multiply-accumulate are those at the datapath's own widths.
    """
    groups, m, n, k = gemm(work)
    steps = groups * m * n * multiplier_steps(work, machine, 1)
    cycles = steps * machine[mac_class(work)] + work[W_ELEMENTWISE] * machine[PER_ELEMENTWISE]
    rate = machine[PER_OUTPUT] if k > 0 else machine[PER_REQUANTIZE]
    return int(ceil_div(cycles + work[W_REQUANTIZATIONS] * rate, FRACTION))


@njit
def layer_cost(work: Counts, machine: Counts, actions: Counts) -> None:
    """Fill the int64 [ACTIONS] of one layer from its int64 work and machine rows."""
    clear(actions)
    actions[REFUSAL] = refusal(work, machine)
    if actions[REFUSAL] != 0:
        return
    count_operator(work, machine, actions)
    groups, m, n, k = gemm(work)
    count_products(work, machine, actions, groups * m * n * ceil_div(k, machine[DOT_WIDTH]))
    sram_wait, flash_wait = traffic(work, machine, actions)
    compute = compute_cycles(work, machine)
    weights = ceil_div(m, machine[PIXEL_BLOCK]) * groups * n * k
    compute += decompression_cycles(work, machine, weights, actions)
    actions[COMPUTE_CYCLES] = compute
    actions[STALL_CYCLES] = sram_wait + flash_wait
    # In order and single issue: at most one instruction a cycle, and no fewer are assumed.
    actions[INSTRUCTIONS] += compute
    actions[BOUND] = BY_COMPUTE
    if actions[OVERHEAD_CYCLES] > compute + sram_wait + flash_wait:
        actions[BOUND] = BY_OVERHEAD
    elif max(sram_wait, flash_wait) > compute:
        actions[BOUND] = BY_SRAM if sram_wait > flash_wait else BY_FLASH


@njit
def design_prices(machine: Counts, technology: Prices, prices: Prices) -> float:
    """Fill the float64 prices in femtojoules of each action; returns the area in mm2.

    Register file accesses are part of the instruction's price. The area is a proxy: the
    multipliers of one instruction and the SRAM; no core, no flash.
    """
    datapath_prices(machine, technology, prices)
    level_price(prices, SRAM, sram_byte_fj(technology, machine[SRAM_BYTES]))
    level_price(prices, FLASH, flash_byte_fj(technology))
    units = ceil_div(machine[MACS_PER_INSTRUCTION], machine[DOT_WIDTH])
    area = units * mac_um2(machine, technology)
    return float((area + sram_um2(technology, machine[SRAM_BYTES])) / UM2_PER_MM2)


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
    """Cost every layer on every design; see `simulator.cost.evaluate_rows` for the arrays."""
    prices = np.zeros(ACTIONS, np.float64)
    actions = np.zeros(ACTIONS, np.int64)
    energy = np.zeros(COMPONENTS, np.int64)
    for design in range(machines.shape[0]):
        machine = machines[design]
        areas[design] = design_prices(machine, technologies[technology_of[design]], prices)
        for layer in range(works.shape[0]):
            layer_cost(works[layer], machine, actions)
            start_inference(layer, machine, actions)
            add_layer(layer, actions, prices, energy, totals[design])
            if counts.shape[0] > 0:
                keep_layer(actions, energy, counts[design, layer], energies[design, layer])


@register
class Cpu(Machine):
    """`model: cpu`: an in-order core with SIMD multiply-accumulates, SRAM and flash."""

    columns: ClassVar = COLUMNS
    levels: ClassVar = ("sram", "flash")
    units: ClassVar = ("core",)
    bounds: ClassVar = ("compute", "sram", "flash", "overhead")
    design_prices: ClassVar = staticmethod(design_prices)
    evaluate: ClassVar = staticmethod(evaluate)

    model: Literal["cpu"]
    core: Core
    memory: Memory

    @model_validator(mode="after")
    def _no_faster_than_its_instructions(self) -> Self:
        rates = self.core.cycles_per_mac
        least = 1 / self.core.macs_per_instruction
        for name in ("convolution", "depthwise", "fully_connected"):
            if getattr(rates, name) < least:
                raise ValueError(
                    f"core.cycles_per_mac.{name} must be >= {least:g}, one instruction a cycle of "
                    f"core.macs_per_instruction; found {getattr(rates, name):g}"
                )
        return self

    def srams(self) -> Mapping[str, int]:
        """Bytes of the SRAM by level name."""
        return {"sram": self.memory.sram.bytes}

    def storage(self) -> tuple[int, int]:
        """SRAM for activations, flash for constants."""
        return self.memory.sram.bytes, self.memory.flash.bytes

    @property
    def outer_bytes_per_cycle(self) -> float:
        """Of flash: a line in one cycle and its wait states."""
        return self.memory.flash.line_bytes / (1 + self.memory.flash.wait_states)

    @property
    def cycle_scales(self) -> tuple[int, int, int]:
        """The cycles of each kind of operation, in 1/65536 and at least 1."""
        core = self.core
        per_mac = max(vars(core.cycles_per_mac).values())
        per_output = max(core.cycles_per_output, core.cycles_per_requantize)
        mac, element, output = (
            max(FRACTION, fixed(rate))
            for rate in (per_mac, core.cycles_per_elementwise, per_output)
        )
        return mac * self.most_passes, element, output

    @property
    def peak_macs_per_cycle(self) -> int:
        """What one multiply-accumulate instruction does, one a cycle."""
        return self.core.macs_per_instruction
