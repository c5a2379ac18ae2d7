"""Vector multiplies of a signal processor: how many a layer takes, and the weights they load.

Registers have `bits`; `blocks` of output pixels share each weight that is loaded. A composed
multiplier takes its operands packed, from as many registers as they fill (assumption).
"""

from simulator.jit import njit
from simulator.machines.actions import Counts
from simulator.machines.base import COMPOSITION, DOT_WIDTH
from simulator.machines.composition import reduction_steps
from simulator.machines.counting import ceil_div, gemm
from simulator.machines.datapath_schema import FIXED
from simulator.work import W_IC, W_KX, W_KY


@njit
def container(machine: Counts, bits: int) -> int:
    """Width of the register element that holds an operand: a byte or a halfword.

    A composed multiplier takes operands packed, from as many registers as they fill.
    """
    if machine[COMPOSITION] != FIXED:
        return bits
    return 8 if bits <= 8 else 16


@njit
def dense_multiplies(
    work: Counts, machine: Counts, w: int, a: int, bits: int, blocks: int
) -> tuple[int, int, int]:
    """Vector multiplies of a convolution: (slots they take, weight loads, sums accumulated).

    Halfwords reduce half as many products as bytes; two halfwords take both multiply resources of
    a packet (Hexagon HVX reference manual 80-N2040-61, "Double vector instructions").
    """
    groups, m, n, _ = gemm(work)
    reduction = machine[DOT_WIDTH]
    lanes, taps = bits // (8 * reduction), work[W_KY] * work[W_KX]
    vectors, sums = groups * ceil_div(n, lanes) * taps, groups * m * n * taps
    if machine[COMPOSITION] != FIXED:
        steps = reduction_steps(machine, w, a, work[W_IC], reduction)
        loads = ceil_div(work[W_IC] * w, 8 * reduction)
        return m * vectors * steps, blocks * vectors * loads, sums * ceil_div(work[W_IC], reduction)
    if w == 16 or a == 16:
        reduction = max(1, reduction // 2)
    steps = ceil_div(work[W_IC], reduction)
    slots = 2 if w == 16 and a == 16 else 1
    return m * vectors * steps * slots, blocks * vectors * steps, sums * steps


@njit
def depthwise_multiplies(
    work: Counts, machine: Counts, w: int, a: int, bits: int, blocks: int
) -> tuple[int, int, int]:
    """Vector multiplies of a depthwise layer: (slots they take, weight loads, widening adds)."""
    groups, m, n, k = gemm(work)
    slots, loads = 1, k
    if machine[COMPOSITION] != FIXED:
        width, steps = 8, reduction_steps(machine, w, a, k, 1)
        loads = ceil_div(k * w, 8)
    else:
        width, steps = max(w, a), k
        slots = 2 if w == 16 and a == 16 else 1
    vectors = ceil_div(groups * n, max(1, bits // (2 * width)))
    multiplies = m * vectors * steps
    return multiplies * slots, blocks * vectors * loads, multiplies * (2 if width == 8 else 1)
