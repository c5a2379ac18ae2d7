"""Prices and areas of a systolic array with its three SRAMs, as `systolic` has them."""

import numpy as np

from simulator.jit import njit
from simulator.machines.actions import (
    AREA_MAC,
    AREA_REGISTER,
    AREA_REQUANTIZER,
    AREA_SRAM,
    AREA_VECTOR,
    AREAS,
    Counts,
    Prices,
)
from simulator.machines.base import ACCUMULATOR_BITS, ACTIVATION_BITS, DOT_WIDTH, WEIGHT_BITS
from simulator.machines.folds import (
    COLS,
    DRAM,
    IFMAP_BYTES,
    IFMAP_RATE,
    LANES,
    OFMAP_BYTES,
    OFMAP_RATE,
    ROWS,
    WEIGHT_BYTES,
    WEIGHT_RATE,
)
from simulator.machines.pricing import (
    alu_um2,
    datapath_prices,
    dram_prices,
    finish,
    mac_um2,
    register_um2,
    requantizer_um2,
    sram_prices,
    sram_um2,
    word_of,
)


@njit
def sram(machine: Counts, level: int) -> tuple[int, float]:
    """Bytes and word bits of one of the three SRAMs."""
    sizes = (machine[IFMAP_BYTES], machine[WEIGHT_BYTES], machine[OFMAP_BYTES])
    rates = (machine[IFMAP_RATE], machine[WEIGHT_RATE], machine[OFMAP_RATE])
    return sizes[level], word_of(rates[level])


@njit
def design_areas(machine: Counts, technology: Prices, areas: Prices) -> None:
    """Fill the float64 [AREAS] in um2; one requantizer a column, no wires, no DRAM."""
    elements = machine[ROWS] * machine[COLS]
    bits = machine[DOT_WIDTH] * (machine[WEIGHT_BITS] + machine[ACTIVATION_BITS])
    areas[AREA_MAC] = elements * mac_um2(machine, technology)
    areas[AREA_REGISTER] = elements * register_um2(technology, bits + machine[ACCUMULATOR_BITS])
    areas[AREA_REQUANTIZER] = machine[COLS] * requantizer_um2(machine, technology)
    areas[AREA_VECTOR] = machine[LANES] * alu_um2(technology)
    for level in range(3):
        size, word = sram(machine, level)
        areas[AREA_SRAM] += sram_um2(technology, size, word)


@njit
def design_prices(machine: Counts, technology: Prices, prices: Prices) -> float:
    """Fill the float64 prices in femtojoules of each action; returns the area in mm2."""
    datapath_prices(machine, technology, prices)
    for level in range(3):
        size, word = sram(machine, level)
        sram_prices(machine, technology, prices, level, size, word)
    dram_prices(machine, technology, prices, DRAM)
    areas = np.zeros(AREAS)
    design_areas(machine, technology, areas)
    return float(finish(machine, technology, areas, prices))
