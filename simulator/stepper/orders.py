"""In which order the multipliers of a machine without a stepper take the products of a layer.

`nest_order` is that of the loop nest a `spatial` machine was costed in, `vector_order` that of the
kernels of a core or a signal processor. Loops are those of `simulator.mapping.layout.LOOPS`.
"""

import math
from dataclasses import dataclass
from itertools import product as grid
from typing import Final

import numpy as np

from simulator.machines.cpu import Cpu
from simulator.machines.dsp import Dsp
from simulator.machines.spatial import Spatial
from simulator.mapping.layout import IC, KX, KY, LOOPS, OC, OX, G
from simulator.mapping.loopnest import LoopNest
from simulator.stepper.layout import Ints
from simulator.work import Work

IDLE: Final = 1 << 40
"""Where a multiplier that takes nothing stands: beyond every bound."""
REDUCED: Final = (IC, KY, KX)


@dataclass(frozen=True)
class Order:
    """Multipliers side by side and the steps they take.

    A multiplier stands `places[turn, multiplier]` (int64 [turns, multipliers, 8]) beyond
    `strides[loop]` times the loop's step; it takes the product there, or none beyond `bounds`.
    `loops` are (loop, factor), inner to outer; a step takes its turns one after the other.
    `apart[turn, multiplier]` numbers the sums of one output that do not meet in an accumulator.
    """

    loops: tuple[tuple[int, int], ...]
    bounds: Ints
    strides: Ints
    places: Ints
    apart: Ints

    @property
    def steps(self) -> int:
        """Of all loops together, each of all turns."""
        return math.prod(factor for _, factor in self.loops)


def bounds_of(work: Work) -> Ints:
    """The loop bounds of a layer."""
    bounds = {"n": work.n, "g": work.groups, "oc": work.oc, "ic": work.ic}
    bounds |= {"oy": work.oy, "ox": work.ox, "ky": work.ky, "kx": work.kx}
    return np.array([bounds[loop] for loop in LOOPS], dtype=np.int64)


def nest_order(nest: LoopNest, machine: Spatial, work: Work) -> Order:
    """The order of a nest: loops unrolled on the array innermost, neighbours side by side.

    A dimension whose units take values in turn deals them out a row of units at a time. Sums meet
    along the dimensions that the innermost memory of outputs serves.
    """
    inner = next(level for level in machine.memory if "output" in level.holds)
    reached = machine.array.along(inner.shared_along)
    names = list(dict.fromkeys(name for name, _, _ in nest.spatial))
    sides, turns, used = [], [], []
    for name in names:
        wanted = math.prod(factor for own, _, factor in nest.spatial if own == name)
        sides.append(min(machine.array.dimensions[name].size, wanted))
        turns.append(-(-wanted // sides[-1]))
        used.append(wanted)
    strides = np.ones(8, np.int64)
    before = []
    for name, loop, factor in nest.spatial:
        before.append((name, LOOPS.index(loop), factor, int(strides[LOOPS.index(loop)])))
        strides[LOOPS.index(loop)] *= factor
    shape = (math.prod(turns), math.prod(sides))
    places = np.zeros((*shape, 8), np.int64)
    beyond = np.zeros((*shape, 3), np.int64)
    for t, turn in enumerate(grid(*(range(count) for count in turns))):
        for u, unit in enumerate(grid(*(range(count) for count in sides))):
            at = {n: unit[k] + sides[k] * turn[k] for k, n in enumerate(names)}
            if any(at[name] >= used[k] for k, name in enumerate(names)):
                places[t, u] = IDLE
                continue
            for name, number, factor, stride in before:
                offset = at[name] % factor * stride
                at[name] //= factor
                places[t, u, number] += offset
                if number in REDUCED and name not in reached:
                    beyond[t, u, REDUCED.index(number)] += offset
    loops = tuple((LOOPS.index(loop), factor) for loop, factor in nest.loops)
    return Order(loops, bounds_of(work), strides, places, _numbered(beyond))


def _numbered(beyond: Ints) -> Ints:
    """Equal rows have equal numbers, in ascending order: that of all zeros is 0."""
    flat = beyond.reshape(-1, beyond.shape[-1])
    numbers: Ints = np.unique(flat, axis=0, return_inverse=True)[1].reshape(beyond.shape[:-1])
    return numbers.astype(np.int64)


def vector_order(machine: Cpu | Dsp, work: Work) -> Order:
    """The order of a kernel: vectors of sums, a step of the reduction over a block of them.

    Filters lie across the lanes, channels (each filter a group of its own) for a depthwise layer,
    and the products of a sum that an instruction reduces beside each other. A block of pixels (and
    of filters, on a core) keeps its sums in registers while the reduction goes on; then come the
    next filters, then the next pixels.
    """
    lanes, dot, filters, by_tap = _vector(machine, work)
    bounds = bounds_of(work)
    if work.depthwise:
        bounds[G], bounds[OC] = work.groups * work.oc, 1
    if not by_tap:
        # The reduction of a core runs over all taps of a filter as they lie in memory.
        bounds[IC], bounds[KY], bounds[KX] = work.ky * work.kx * work.ic, 1, 1
    bounds[[LOOPS.index(loop) for loop in ("n", "oy")]] = 1
    bounds[OX] = work.n * work.oy * work.ox
    across, other = (G, OC) if work.depthwise else (OC, G)
    strides = np.ones(8, np.int64)
    strides[across], strides[IC] = lanes, dot
    units = list(grid(range(lanes), range(dot)))
    places = np.zeros((1, len(units), 8), np.int64)
    places[0][:, [across, IC]] = units
    steps = [-(-int(bound) // int(stride)) for bound, stride in zip(bounds, strides, strict=True)]
    block = machine.selected.pixel_block if isinstance(machine, Cpu) else machine.vector.pixel_block
    loops = [
        *((across, filters), (OX, block), (IC, steps[IC]), (KX, steps[KX]), (KY, steps[KY])),
        *((across, -(-steps[across] // filters)), (OX, -(-steps[OX] // block))),
        (other, steps[other]),
    ]
    return Order(tuple(loops), bounds, strides, places, np.zeros((1, len(units)), np.int64))


def _vector(machine: Cpu | Dsp, work: Work) -> tuple[int, int, int, bool]:
    """Lanes, products that each reduces, vectors of filters in a block, whether tap by tap."""
    datapath = machine.datapath
    wide = max(work.weight_bits, work.activation_bits) > 8
    if datapath.narrow and max(datapath.weight_bits, datapath.activation_bits) <= 8:
        wide = False
    if isinstance(machine, Cpu):
        simd = machine.core.simd.int16 if wide or work.depthwise else machine.core.simd.int8
        block = 1 if work.depthwise else machine.selected.channel_block
        return simd.lanes, simd.dot, -(-block // simd.lanes), False
    bits, dot = machine.vector.bits, datapath.dot_width
    if work.depthwise:
        return max(1, bits // (32 if wide else 16)), 1, 1, True
    return bits // (8 * dot), max(1, dot // 2) if wide else dot, 1, True
