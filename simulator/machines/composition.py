"""Compositions: what one multiplier of a machine does with operands of other widths than its own.

A multiplier is built for `datapath.weight_bits` x `datapath.activation_bits` and finishes one such
product a cycle. With narrower operands it finishes several, with wider ones it takes several
cycles: `rate` says how many, as an exact fraction. A share of a multiplier costs that share of its
energy, so that the multiplier cycles of a layer are both its time and its price.

fixed     one product a cycle, whatever its width; wider operands are refused.
fused     products as 1/(w a), w and a rounded up to powers of two: a multiplier is a square of
          2-bit bricks that fuse (Bit Fusion: Sharma et al., ISCA 2018).
linear    products as 1/max(w, a), rounded up to 4, 8 or 16 bits: sub-words of one register side by
          side (the linear cost of arXiv 2105.03536, after the A100's three widths).
serial    `serial_operand: both`: one-bit lanes, products as 1/(w a) (Loom: Sharify et al., DAC
          2018); `activation`: lanes as wide as a weight, products as 1/a (Stripes: Judd et al.,
          MICRO 2016). As many lanes as one full-width product a cycle needs.
bitplane  w a passes of logic and popcount over words of one-bit products along the reduction
          (LQ-Nets: Zhang et al., ECCV 2018, section 3.4); a word that is not full is a whole word.
"""

import math
from operator import attrgetter
from typing import Final

import numpy as np

from simulator.jit import njit
from simulator.machines.actions import (
    ACCUMULATIONS,
    ELEMENTWISE,
    MACS,
    MULTIPLIER_CYCLES,
    REAL_PRODUCTS,
    TREE_ADDITIONS,
    Counts,
    Prices,
)
from simulator.machines.base import (
    ACCUMULATOR_BITS,
    ACTIVATION_BITS,
    COMMON,
    COMPOSITION,
    DECOMPRESS_OPERATIONS,
    DECOMPRESS_RATE,
    DOT_WIDTH,
    FRACTION,
    WEIGHT_BITS,
    ZERO_POINT,
    Machine,
)
from simulator.machines.counting import activation_bits, ceil_div, gemm, weight_bits
from simulator.machines.datapath_schema import BITPLANE, FIXED, FUSED, LINEAR, SERIAL_ACTIVATION
from simulator.numeric.datapath import WIDEST_OPERAND
from simulator.technology.laws import (
    ADD_AREA,
    REGISTER_BIT_AREA,
    add_fj,
    look_up,
    multiplier_area,
    multiply_fj,
)
from simulator.work import W_ACTIVATION_BITS, W_IC, W_REAL_PRODUCTS

BRICK_BITS: Final = 2
"""Operands of the smallest multiplier that fuses, the BitBrick (Sharma et al., ISCA 2018)."""
SUB_WORD_BITS: Final = 4
"""The narrowest sub-word of `linear`: the A100 multiplies 16, 8 and 4 bits (arXiv 2105.03536)."""

# A processing element that fuses down to 2 bits over one of fixed width, at 2, 4, 8 and 16 bits:
# synthesis at 45 nm and 500 MHz in the repository of Bit Fusion (Sharma et al., ISCA 2018).
_FUSED_AREA: Final = (
    1.0,
    431.474398 / 282.239998,
    1733.129989 / 687.6072,
    7492.413585 / 2203.236034,
)
_FUSED_ENERGY: Final = (1.0, 0.1840 / 0.1358, 0.6886 / 0.3436, 2.8808 / 1.0854)
LINEAR_OVERHEAD: Final = 1.1
"""Area and energy of a multiplier that splits into sub-words. No published figure fits: assumed."""


def datapath_row(machine: Machine) -> Counts:
    """A machine's row with the columns of its datapath alone, 0 in the others of `COMMON`."""
    pairs = [(column, column.path.startswith("datapath.")) for column in COMMON]
    values = [c.encode(attrgetter(c.path)(machine)) if its else 0 for c, its in pairs]
    return np.array(values, dtype=np.int64)


@njit
def power_of_two(bits: int, least: int) -> int:
    """The next power of two times `least` that holds `bits`."""
    width = least
    while width < bits:
        width *= 2
    return width


@njit
def unit_widths(machine: Counts) -> tuple[int, int]:
    """Bits of a weight and an activation that the multiplier is built for."""
    w, a = int(machine[WEIGHT_BITS]), int(machine[ACTIVATION_BITS])
    if machine[COMPOSITION] == FUSED:
        return power_of_two(w, BRICK_BITS), power_of_two(a, BRICK_BITS)
    if machine[COMPOSITION] == LINEAR:
        width = power_of_two(max(w, a), SUB_WORD_BITS)
        return width, width
    return w, a


@njit
def taken_widths(machine: Counts, w: int, a: int) -> tuple[int, int]:
    """Bits that the multiplier spends on a weight of `w` and an activation of `a` bits."""
    composition = machine[COMPOSITION]
    if composition == FIXED:
        return int(machine[WEIGHT_BITS]), int(machine[ACTIVATION_BITS])
    if composition == FUSED:
        return power_of_two(w, BRICK_BITS), power_of_two(a, BRICK_BITS)
    if composition == LINEAR:
        width = power_of_two(max(w, a), SUB_WORD_BITS)
        return width, width
    if composition == SERIAL_ACTIVATION:
        return int(ceil_div(w, machine[WEIGHT_BITS]) * machine[WEIGHT_BITS]), a
    return w, a


@njit
def rate(machine: Counts, w: int, a: int) -> tuple[int, int]:
    """Products of w x a bits that one multiplier finishes, in so many cycles. Not reduced.

    Wider than any operand are real numbers, which are not its work: one a cycle, as `fixed`.
    """
    if machine[COMPOSITION] == FIXED or max(w, a) > WIDEST_OPERAND:
        return 1, 1
    unit_w, unit_a = unit_widths(machine)
    taken_w, taken_a = taken_widths(machine, w, a)
    if machine[COMPOSITION] == LINEAR:
        return unit_w, taken_w
    return unit_w * unit_a, taken_w * taken_a


@njit
def multiplier_cycles(machine: Counts, w: int, a: int, products: int) -> int:
    """Cycles of one multiplier that `products` of w x a bits fill, rounded up."""
    done, cycles = rate(machine, w, a)
    return int(ceil_div(products * cycles, done))


@njit
def reduction_steps(machine: Counts, w: int, a: int, taps: int, width: int) -> int:
    """Cycles in which `width` multipliers side by side finish a sum of `taps` products.

    A bit-plane pass takes whole words, each as many one-bit products as the multipliers hold.
    """
    done, cycles = rate(machine, w, a)
    if machine[COMPOSITION] == BITPLANE:
        return int(cycles * ceil_div(taps, width * done))
    return int(ceil_div(taps * cycles, width * done))


@njit
def partial_products(machine: Counts, w: int, a: int) -> int:
    """How many times a product of w x a bits comes to the accumulator: once for each pass."""
    done, cycles = rate(machine, w, a)
    return int(max(1, ceil_div(cycles, done)))


@njit
def step_bits(machine: Counts, taps: int, steps: int, bits: int) -> int:
    """Bits of one operand, stored at `bits`, that one of `steps` steps takes, rounded up."""
    if machine[COMPOSITION] == FIXED:
        return int(machine[DOT_WIDTH] * bits)
    return int(ceil_div(taps * bits, steps))


@njit
def channel_steps(work: Counts, machine: Counts) -> int:
    """Steps of one unit over the input channels of a layer: one each where it is not composed."""
    if machine[COMPOSITION] == FIXED:
        return int(work[W_IC])
    w, a = weight_bits(work, machine), activation_bits(work[W_ACTIVATION_BITS], machine)
    return int(reduction_steps(machine, w, a, work[W_IC], 1))


@njit
def spread_bits(taps: int, steps: int, bits: int) -> int:
    """Bits of one operand, stored at `bits`, that one of `steps` steps over `taps` takes."""
    return bits if steps == taps else int(ceil_div(taps * bits, steps))


@njit
def product_energy(machine: Counts, prices: Prices, w: int, a: int, macs: int) -> float:
    """Femtojoules of products and their additions, as `count_products` counts them."""
    steps = ceil_div(macs, machine[DOT_WIDTH])
    parts = partial_products(machine, w, a)
    energy = multiplier_cycles(machine, w, a, macs) * prices[MULTIPLIER_CYCLES]
    energy += steps * parts * prices[ACCUMULATIONS]
    return float(energy + (macs - steps) * parts * prices[TREE_ADDITIONS])


@njit
def count_products(work: Counts, machine: Counts, actions: Counts, sums: int) -> None:
    """Count a layer's multiply-accumulates, their multiplier cycles and additions.

    `sums` are the additions to accumulators where one pass makes a product; every further pass
    adds as often.
    """
    groups, m, n, k = gemm(work)
    w = weight_bits(work, machine)
    a = activation_bits(work[W_ACTIVATION_BITS], machine)
    macs = groups * m * n * k
    parts = partial_products(machine, w, a)
    actions[MACS] = macs
    actions[REAL_PRODUCTS] = macs if work[W_REAL_PRODUCTS] != 0 else 0
    actions[MULTIPLIER_CYCLES] = multiplier_cycles(machine, w, a, macs)
    actions[ACCUMULATIONS] = sums * parts
    actions[TREE_ADDITIONS] = (macs - sums) * parts


@njit
def decompression_cycles(work: Counts, machine: Counts, weights: int, actions: Counts) -> int:
    """Cycles that expand `weights` from their stored width to the multiplier's.

    0 where they are taken as they are stored, or where hardware on the way does it unseen
    (no `datapath.decompress`); counts the scalar operations of each.
    """
    w = weight_bits(work, machine)
    a = activation_bits(work[W_ACTIVATION_BITS], machine)
    if machine[DECOMPRESS_RATE] == 0 or taken_widths(machine, w, a)[0] <= w:
        return 0
    actions[ELEMENTWISE] += weights * machine[DECOMPRESS_OPERATIONS]
    return int(ceil_div(weights * FRACTION, machine[DECOMPRESS_RATE]))


@njit
def fused_factor(product_bits: int, area: bool) -> float:
    """What fusing down to 2 bits multiplies area or energy by: straight lines in log2(w a)."""
    factors = _FUSED_AREA if area else _FUSED_ENERGY
    place = max(0.0, math.log2(product_bits) / 2.0 - 1.0)
    below = min(int(place), len(factors) - 2)
    return factors[below] + (factors[below + 1] - factors[below]) * (place - below)


@njit
def multiplier_cycle_fj(machine: Counts, technology: Prices) -> float:
    """One cycle of a whole multiplier; an activation less its zero point is one bit wider.

    A bit-serial lane is an adder as wide as its partial product, and its gates are in the adder's
    price; the accumulation, the registers and the memories are counted apart.
    """
    w, a = unit_widths(machine)
    wide = a + 1 if machine[ZERO_POINT] == 0 else a
    if machine[COMPOSITION] == SERIAL_ACTIVATION:
        return float(wide * add_fj(technology, w))
    if machine[COMPOSITION] > SERIAL_ACTIVATION:
        return float(w * wide * add_fj(technology, 1))
    energy = multiply_fj(technology, w, wide)
    if machine[COMPOSITION] == FUSED:
        # The published ratio is of a whole element: the multiplier and its accumulation.
        element = energy + add_fj(technology, machine[ACCUMULATOR_BITS])
        energy += (fused_factor(w * a, False) - 1.0) * element
    elif machine[COMPOSITION] == LINEAR:
        energy *= LINEAR_OVERHEAD
    return float(energy)


@njit
def multiplier_um2(machine: Counts, technology: Prices) -> float:
    """Area of one multiplier with what composes it.

    Bit-serial and bit-plane lanes each add an adder as wide as their partial product and a
    register for their share of a weight.
    """
    w, a = unit_widths(machine)
    wide = a + 1 if machine[ZERO_POINT] == 0 else a
    register = look_up(technology, REGISTER_BIT_AREA, 1)
    if machine[COMPOSITION] == SERIAL_ACTIVATION:
        return float(wide * (look_up(technology, ADD_AREA, w) + w * register))
    if machine[COMPOSITION] > SERIAL_ACTIVATION:
        return float(w * wide * (look_up(technology, ADD_AREA, 1) + register))
    area = multiplier_area(technology, w, wide)
    if machine[COMPOSITION] == FUSED:
        # The published ratio is of a whole element: multiplier, accumulating adder, registers.
        bits = machine[ACCUMULATOR_BITS]
        element = area + look_up(technology, ADD_AREA, bits) + (w + a + bits) * register
        area += (fused_factor(w * a, True) - 1.0) * element
    elif machine[COMPOSITION] == LINEAR:
        area *= LINEAR_OVERHEAD
    return float(area)
