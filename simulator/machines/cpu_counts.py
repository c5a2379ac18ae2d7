"""What one layer makes a processor core execute and move: integer counts, before cycles."""

from simulator.jit import njit
from simulator.machines.actions import (
    LEVEL_0,
    Counts,
)
from simulator.machines.base import ACTIVATION_BITS, COMPOSITION, FRACTION, WEIGHT_BITS
from simulator.machines.composition import reduction_steps
from simulator.machines.counting import (
    activation_bits,
    ceil_div,
    compulsory_bits,
    cycles_for,
    gemm,
    move,
    passes,
    refusal,
    weight_bits,
)
from simulator.machines.cpu_schema import (
    CACHE_BYTES,
    CACHED,
    CHANNEL_BLOCK,
    CONVOLUTION,
    DEPTHWISE,
    DRAM_RATE,
    FLOAT32,
    FLOAT_DOT,
    FLOAT_LANES,
    FULLY_CONNECTED,
    HAS_FLOAT,
    HAS_INTEGER,
    INNER,
    INNER_LINE,
    INNER_RATE,
    INNER_WAIT,
    INT8_DOT,
    INT8_LANES,
    INT16_DOT,
    INT16_LANES,
    INTEGER,
    LINE_CYCLES,
    NO_FLOAT,
    NO_INTEGER,
    ONE_CHANNEL,
    OUTER,
    OUTER_LINE,
    OUTER_WAIT,
    PER_ELEMENTWISE,
    PER_OUTPUT,
    PER_REQUANTIZE,
    PIXEL_BLOCK,
    POINTWISE,
)
from simulator.machines.datapath_schema import FIXED
from simulator.work import (
    W_ACTIVATION_BITS,
    W_DEPTHWISE,
    W_ELEMENTWISE,
    W_KX,
    W_KY,
    W_OX,
    W_OY,
    W_REQUANTIZATIONS,
    W_WEIGHT_BITS,
)


@njit
def is_float(work: Counts) -> bool:
    """Whether a layer computes in float32: its operands are stored in 32 bits."""
    if work[W_KY] * work[W_KX] > 0:
        return bool(work[W_WEIGHT_BITS] == 32)
    return bool(work[W_ACTIVATION_BITS] == 32)


@njit
def rate_of(work: Counts) -> int:
    """Which of the rates of a multiply-accumulate instruction holds for this layer."""
    if work[W_DEPTHWISE] != 0:
        return DEPTHWISE
    taps = work[W_KY] * work[W_KX]
    if taps != 1:
        return ONE_CHANNEL if gemm(work)[3] == taps else CONVOLUTION
    return FULLY_CONNECTED if work[W_OY] * work[W_OX] == 1 else POINTWISE


@njit
def multiplies(work: Counts, machine: Counts) -> int:
    """Multiply-accumulate instructions of a layer; what they do not fill is wasted and counted."""
    groups, m, n, k = gemm(work)
    lanes, dot = INT8_LANES, INT8_DOT
    w = weight_bits(work, machine)
    a = activation_bits(work[W_ACTIVATION_BITS], machine)
    wide = max(w, a) > 8
    if machine[COMPOSITION] != FIXED:
        # Composed vectors are those of the datapath's own widths, whatever the operands.
        wide = max(machine[WEIGHT_BITS], machine[ACTIVATION_BITS]) > 8
    if is_float(work):
        lanes, dot = FLOAT_LANES, FLOAT_DOT
    elif wide or work[W_DEPTHWISE] != 0:
        lanes, dot = INT16_LANES, INT16_DOT
    steps = reduction_steps(machine, w, a, k, machine[dot])
    if work[W_DEPTHWISE] != 0:
        return int(m * ceil_div(groups * n, machine[lanes]) * steps)
    return int(groups * m * ceil_div(n, machine[lanes]) * steps)


@njit
def count_instructions(work: Counts, machine: Counts, macs: int) -> int:
    """Instructions of a layer beside its dispatch, rounded up once."""
    rates = FLOAT32 if is_float(work) else INTEGER
    total = work[W_ELEMENTWISE] * machine[rates + PER_ELEMENTWISE]
    if macs == 0:
        total += work[W_REQUANTIZATIONS] * machine[rates + PER_REQUANTIZE]
    else:
        groups, m, n, _ = gemm(work)
        total += multiplies(work, machine) * machine[rates + rate_of(work)]
        total += groups * m * n * machine[rates + PER_OUTPUT]
    return int(ceil_div(total, FRACTION))


@njit
def count_traffic(work: Counts, machine: Counts, actions: Counts) -> None:
    """Count the bytes of the inner memory (SRAM or cache) and the outer one (flash or DRAM).

    A weight is loaded once for `pixel_block` output pixels, an activation once for `channel_block`
    filters (a depthwise one once for each tap), and each operand at least once. Weights come from
    flash at every load unless half of a cache before it holds them; from DRAM both operands come
    as often as half of the cache makes them.
    """
    groups, m, n, k = gemm(work)
    inputs, weights, biases, outputs = compulsory_bits(work, machine)
    channels = 1 if work[W_DEPTHWISE] != 0 else machine[CHANNEL_BLOCK]
    fetched = ceil_div(m, machine[PIXEL_BLOCK]) * groups * n * k * weight_bits(work, machine)
    loaded = ceil_div(n, channels) * groups * m * k
    loaded *= activation_bits(work[W_ACTIVATION_BITS], machine)
    fetched, loaded = max(weights, fetched), max(inputs, loaded)
    room = machine[CACHE_BYTES] * 4
    if machine[CACHED] == 0:
        kept = weights <= room
        move(actions, INNER, loaded, outputs)
        move(actions, OUTER, (weights if kept else fetched) + biases, 0)
        return
    w_again, in_again = passes(weights, inputs, room, room, 0, 1)
    missed = w_again * weights + in_again * inputs + biases
    move(actions, INNER, fetched + loaded + biases, outputs + missed)
    move(actions, OUTER, missed, outputs)


@njit
def wait_cycles(actions: Counts, machine: Counts, compute: int) -> tuple[int, int]:
    """Cycles in which the core waits for the inner memory and for the outer one.

    Wait states stop an in-order core; DRAM is prefetched, so only what exceeds the work is waited.
    """
    inner = actions[LEVEL_0 + 2 * INNER] + actions[LEVEL_0 + 2 * INNER + 1]
    outer = actions[LEVEL_0 + 2 * OUTER] + actions[LEVEL_0 + 2 * OUTER + 1]
    if machine[CACHED] != 0:
        near = max(0, cycles_for(inner * 8, machine[INNER_RATE]) - compute)
        far = max(0, cycles_for(outer * 8, machine[DRAM_RATE]) - compute)
        return near, max(near, far) - near
    lines = ceil_div(outer, machine[OUTER_LINE])
    return (
        ceil_div(inner, machine[INNER_LINE]) * machine[INNER_WAIT],
        lines * machine[OUTER_WAIT] + ceil_div(lines * machine[LINE_CYCLES], FRACTION),
    )


@njit
def refused(work: Counts, machine: Counts) -> int:
    """0, or the code in `REFUSALS` of why these operands cannot be computed."""
    if work[W_KY] * work[W_KX] == 0:
        return 0
    if is_float(work):
        return NO_FLOAT if machine[HAS_FLOAT] == 0 else 0
    if machine[HAS_INTEGER] == 0:
        return NO_INTEGER
    return int(refusal(work, machine))
