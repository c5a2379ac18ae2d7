"""A systolic array with three double-buffered SRAMs and DRAM, and a vector unit beside it.

A layer is a product of M output pixels, N filters and K taps per group. Weight stationary holds
K x N on rows x columns and streams M; input stationary holds K x M and streams N; output
stationary holds M x N and streams K. `timing: scalesim` counts the folds as SCALE-Sim does (edge
folds in full, no output drain); `timing: physical` counts used rows and columns and the drain.
Read next: `folds`, the closed form of the cycles, and `residency`, the search over tiles.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field

from simulator.jit import njit
from simulator.machines.actions import (
    ACTIONS,
    BOUND,
    COMPONENTS,
    REFUSAL,
    UNIT,
    Counts,
    Prices,
    add_layer,
    add_part,
    clear,
    keep_layer,
)
from simulator.machines.array_prices import design_areas, design_prices
from simulator.machines.base import (
    ACCUMULATOR_BITS,
    DOT_WIDTH,
    REFUSALS,
    ActivationSram,
    Dram,
    Machine,
    Sram,
)
from simulator.machines.composition import count_products, decompression_cycles
from simulator.machines.counting import (
    activation_bits,
    alike,
    ceil_div,
    compulsory_bits,
    count_cycles,
    count_operator,
    counts_as,
    cycles_for,
    fetched_bits,
    gemm,
    kept_bits,
    move,
    refusal,
    start_inference,
    weight_bits,
)
from simulator.machines.folds import (
    COLUMNS,
    DATAFLOW,
    DRAM,
    DRAM_RATE,
    IFMAP,
    IFMAP_RATE,
    INPUT_STATIONARY,
    LANES,
    OFMAP,
    OFMAP_RATE,
    OFMAP_TOO_SMALL,
    OUTPUT_STATIONARY,
    VECTOR_UNIT,
    WEIGHT,
    WEIGHT_RATE,
    Dataflow,
    Timing,
    Widths,
    bound_by,
    count_registers,
    demand,
    operand_reads,
    sram_bits,
)
from simulator.machines.levels import PerLevel
from simulator.machines.registry import register
from simulator.machines.residency import Plan, plan
from simulator.schema import Schema
from simulator.work import (
    W_ACTIVATION_BITS,
    W_ELEMENTWISE,
    W_MORE,
    W_OUTPUT_BITS,
    W_REQUANTIZATIONS,
    W_TIMES,
)

Side: TypeAlias = Annotated[int, Field(ge=1, le=65536)]


class Array(Schema):
    """The processing elements: rows x cols, and what each holds while the rest streams."""

    rows: Side
    cols: Side
    dataflow: Dataflow = "weight_stationary"


class Vector(Schema):
    """The unit that runs operators without multiply-accumulates: scalar operations per cycle."""

    lanes: Side


class Memory(Schema):
    """One SRAM per operand, and DRAM."""

    ifmap_sram: Sram
    weight_sram: Sram
    ofmap_sram: ActivationSram
    dram: Dram


@njit
def stored_widths(work: Counts, machine: Counts) -> Widths:
    """Bits of a weight, an activation and an output in memory."""
    return (
        weight_bits(work, machine),
        activation_bits(work[W_ACTIVATION_BITS], machine),
        activation_bits(work[W_OUTPUT_BITS], machine),
    )


@njit
def prologue_cycles(work: Counts, machine: Counts) -> int:
    """DRAM cycles before the first operation: the operands of one result; the rest streams."""
    groups, _, _, k = gemm(work)
    inputs, _, _, _ = compulsory_bits(work, machine)
    weights, _ = fetched_bits(work, machine)
    w_bits, a_bits, _ = stored_widths(work, machine)
    first = min(ceil_div(inputs, groups), k * a_bits) + min(ceil_div(weights, groups), k * w_bits)
    return int(cycles_for(first, machine[DRAM_RATE]))


@njit
def mapping(work: Counts, machine: Counts) -> Plan:
    """Folds, tiles and residency of a layer with multiply-accumulates; all 0 where none fits."""
    inputs, _, _, outputs = compulsory_bits(work, machine)
    weights, biases = fetched_bits(work, machine)
    found: Plan = plan(
        machine,
        gemm(work),
        stored_widths(work, machine),
        (inputs, weights),
        biases + outputs,
        prologue_cycles(work, machine),
    )
    return found


@njit
def array_traffic(work: Counts, machine: Counts, found: Plan, actions: Counts) -> int:
    """Count the bytes of every memory level and register; returns the DRAM bits."""
    groups, m, n, k = gemm(work)
    inputs, _, biases, outputs = compulsory_bits(work, machine)
    w_fetched, b_fetched = fetched_bits(work, machine)
    widths = stored_widths(work, machine)
    folds, in_again, w_again = found[:3], found[3], found[4]
    if machine[DATAFLOW] == INPUT_STATIONARY:
        in_again, w_again = w_again, in_again
    ifmap_read, weight_read, _ = sram_bits(machine, (groups, m, n, k), folds, widths)
    spilled = 0
    if machine[DATAFLOW] != OUTPUT_STATIONARY:
        spilled = (folds[0] - 1) * m * n * groups * machine[ACCUMULATOR_BITS]
    fetched = in_again * inputs + w_again * w_fetched + b_fetched
    move(actions, IFMAP, ifmap_read, in_again * inputs)
    weight_read += operand_reads(machine, folds)[1] * biases
    move(actions, WEIGHT, weight_read, w_again * w_fetched + b_fetched)
    kept_in, kept_out = kept_bits(work, machine)
    fetched -= in_again * kept_in
    # What stays in the ofmap SRAM is read by who needs it, not drained to DRAM.
    drained = outputs - kept_out + in_again * kept_in
    move(actions, OFMAP, spilled + drained, spilled + m * n * groups * widths[2])
    move(actions, DRAM, fetched, outputs - kept_out)
    count_registers(machine, actions, (groups, m, n, k), folds, widths)
    return int(fetched + outputs - kept_out)


@njit
def array_cost(work: Counts, machine: Counts, actions: Counts) -> None:
    """A layer with multiply-accumulates: each group is a product of its own on the array."""
    product = gemm(work)
    groups, m, n, k = product
    found = mapping(work, machine)
    if found[0] == 0:
        actions[REFUSAL] = OFMAP_TOO_SMALL
        return
    count_products(work, machine, actions, groups * m * n * ceil_div(k, machine[DOT_WIDTH]))
    cycles = demand(machine, product, found[:3], stored_widths(work, machine))
    moved = array_traffic(work, machine, found, actions)
    dram = cycles_for(moved, machine[DRAM_RATE])
    prologue = min(dram, prologue_cycles(work, machine))
    weights = operand_reads(machine, found[:3])[1] * groups * n * k
    weight = max(cycles[3], decompression_cycles(work, machine, weights, actions))
    waiting = count_cycles(actions, cycles[0], max(cycles[1], weight), dram, prologue)
    actions[BOUND] = bound_by(actions, waiting, cycles[2], weight, cycles[4])


@njit
def vector_cost(work: Counts, machine: Counts, actions: Counts) -> None:
    """A layer without multiply-accumulates: its operands stream through the vector unit once."""
    inputs, weights, biases, outputs = compulsory_bits(work, machine)
    weights += biases
    w_fetched, b_fetched = fetched_bits(work, machine)
    fetched = w_fetched + b_fetched
    move(actions, IFMAP, inputs, inputs)
    move(actions, WEIGHT, weights, fetched)
    kept_in, kept_out = kept_bits(work, machine)
    move(actions, OFMAP, outputs - kept_out + kept_in, outputs)
    move(actions, DRAM, inputs - kept_in + fetched, outputs - kept_out)
    operations = work[W_ELEMENTWISE] + work[W_REQUANTIZATIONS]
    compute = ceil_div(operations, machine[LANES])
    ifmap = cycles_for(inputs, machine[IFMAP_RATE])
    weight = cycles_for(weights, machine[WEIGHT_RATE])
    ofmap = cycles_for(outputs, machine[OFMAP_RATE])
    busy = max(compute, max(ifmap, max(weight, ofmap)))
    vector = machine[LANES] * activation_bits(work[W_ACTIVATION_BITS], machine)
    moved = inputs - kept_in + fetched + outputs - kept_out
    dram = cycles_for(moved, machine[DRAM_RATE])
    prologue = cycles_for(min(inputs - kept_in, vector), machine[DRAM_RATE])
    waiting = count_cycles(actions, compute, busy, dram, prologue)
    actions[UNIT] = VECTOR_UNIT
    actions[BOUND] = bound_by(actions, waiting, ifmap, weight, ofmap)


@njit
def layer_cost(work: Counts, machine: Counts, actions: Counts) -> None:
    """Fill the int64 [ACTIONS] of one layer from its int64 work and machine rows."""
    clear(actions)
    actions[REFUSAL] = refusal(work, machine)
    if actions[REFUSAL] != 0:
        return
    count_operator(work, machine, actions)
    _, m, n, k = gemm(work)
    if m * n * k > 0:
        array_cost(work, machine, actions)
    else:
        vector_cost(work, machine, actions)


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
    done = np.zeros((works.shape[0], ACTIONS), np.int64)
    first = alike(works)
    energy = np.zeros(COMPONENTS, np.int64)
    for design in range(machines.shape[0]):
        machine = machines[design]
        areas[design] = design_prices(machine, technologies[technology_of[design]], prices)
        again = design > 0 and counts_as(machine, machines[design - 1])
        layer = longest = 0
        clear(actions)
        for row in range(works.shape[0]):
            if first[row] == row and not again:
                layer_cost(works[row], machine, done[row])
            longest = add_part(works[row, W_TIMES], done[first[row]], actions, longest)
            if works[row, W_MORE] != 0:
                continue
            start_inference(layer, machine, actions)
            add_layer(layer, actions, prices, energy, totals[design])
            if counts.shape[0] > 0:
                keep_layer(actions, energy, counts[design, layer], energies[design, layer])
            layer, longest = layer + 1, 0
            clear(actions)


@register
class Systolic(Machine):
    """`model: systolic`: rows x cols of one dataflow, three SRAMs, DRAM, a vector unit."""

    columns: ClassVar = COLUMNS
    levels: ClassVar = ("ifmap_sram", "weight_sram", "ofmap_sram", "dram")
    units: ClassVar = ("array", "vector")
    bounds: ClassVar = ("compute", "ifmap_sram", "weight_sram", "ofmap_sram", "dram", "overhead")
    refusals: ClassVar = (
        *REFUSALS,
        "half the ofmap SRAM cannot hold one partial sum; enlarge memory.ofmap_sram.bytes",
    )
    resident: ClassVar = "memory.ofmap_sram.resident_bytes"
    design_prices: ClassVar = staticmethod(design_prices)
    design_areas: ClassVar = staticmethod(design_areas)
    evaluate: ClassVar = staticmethod(evaluate)

    model: Literal["systolic"]
    timing: Timing = "physical"
    array: Array
    vector: Vector
    memory: Memory

    def srams(self) -> Mapping[str, int]:
        """Bytes of each SRAM by level name."""
        return PerLevel(self.levels[:3], lambda name: int(getattr(self.memory, name).bytes))

    def words(self) -> Mapping[str, float]:
        """What each SRAM moves in a cycle, in bits."""
        memory = self.memory
        return PerLevel(self.levels[:3], lambda n: 8.0 * getattr(memory, n).bytes_per_cycle)

    def storage(self) -> tuple[None, None]:
        """No limit: what does not fit on chip comes from DRAM."""
        return None, None

    @property
    def held_weight_bits(self) -> int:
        """Half of their SRAM: the other half takes what comes next."""
        return self.memory.weight_sram.bytes * 4

    @property
    def outer_bytes_per_cycle(self) -> float:
        """Of DRAM."""
        return self.memory.dram.bytes_per_cycle

    @property
    def peak_macs_per_cycle(self) -> int:
        """Every multiplier of every processing element."""
        return self.array.rows * self.array.cols * self.datapath.dot_width
