"""Toggles of a loop nest and of a vector kernel, walked product by product on Python integers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from simulator.graph import Array
from simulator.machines.cpu import Cpu
from simulator.machines.dsp import Dsp
from simulator.machines.spatial import Spatial
from simulator.mapping.loopnest import LoopNest
from simulator.work import Work

Point = dict[str, int]
"""Where one product stands in each loop."""


@dataclass
class Chip:
    """What multipliers and accumulators hold, and the bits that changed; int without a width."""

    x: list[Array]
    w: list[Array]
    bias: list[Array]
    work: Work
    bits: tuple[int, int, int]
    saturates: bool
    counts: Counter[str] = field(default_factory=Counter)
    units: dict[object, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    adders: dict[object, tuple[int, object]] = field(default_factory=dict)
    sums: dict[object, int] = field(default_factory=dict)

    def step(
        self, cell: object, part: tuple[int, ...], at_once: Sequence[tuple[object, Point]]
    ) -> None:
        """Products that meet in one accumulator in one cycle."""
        total, opened = 0, False
        for unit, p in at_once:
            g, row, tap = p["g"], self.row(p), self.tap(p)
            pair = (int(self.w[g][p["oc"], tap]), int(self.x[g][row, tap]))
            place = ((g, p["oc"], tap), (g, row, tap))
            kept = self.units.setdefault(unit, {"used": (0, 0), "gated": (0, 0)})
            for k, kind in enumerate(("weight", "activation")):
                self.counts[kind] += changed(kept["used"][k], pair[k], self.bits[k])
                self.counts[f"{kind} writes"] += kept.get(f"at {k}") != place[k]
                kept[f"at {k}"] = place[k]
            self.counts["product"] += self.partial(kept["used"], pair)
            kept["used"] = pair
            if 0 not in pair:
                self.counts["gated_product"] += self.partial(kept["gated"], pair)
                kept["gated"], opened = pair, True
            self.counts["products"] += 1
            total += pair[0] * pair[1]
        p = at_once[0][1]
        output = (p["g"], self.row(p), p["oc"], part)
        if output not in self.sums:
            first = int(self.bias[p["g"]][p["oc"]]) if not any(part) else 0
            self.sums[output] = self.fit(first)
        self.sums[output] = self.fit(self.sums[output] + total)
        held, whose = self.adders.get(cell, (0, None))
        self.counts["accumulator"] += changed(held, self.sums[output], self.bits[2])
        self.counts["accumulator writes"] += 1
        self.counts["gated writes"] += opened or whose != output
        self.adders[cell] = (self.sums[output], output)

    def row(self, p: Point) -> int:
        return (p["n"] * self.work.oy + p["oy"]) * self.work.ox + p["ox"]

    def tap(self, p: Point) -> int:
        return (p["ky"] * self.work.kx + p["kx"]) * self.work.ic + p["ic"]

    def fit(self, value: int) -> int:
        half = 1 << (self.bits[2] - 1)
        if self.saturates:
            return max(-half, min(half - 1, value))
        return (value + half) % (2 * half) - half

    def partial(self, before: tuple[int, ...], after: tuple[int, ...]) -> int:
        return sum(
            (before[0] >> i & before[1] >> j & 1) != (after[0] >> i & after[1] >> j & 1)
            for i in range(self.bits[0])
            for j in range(self.bits[1])
        )


def changed(before: int, after: int, bits: int) -> int:
    return ((before ^ after) & ((1 << bits) - 1)).bit_count()


def temporal(loops: list[tuple[str, int]]) -> Iterator[list[int]]:
    """Every step's iterators, outermost loop slowest; in the order of `loops`, inner to outer."""
    for outer_first in product(*(range(factor) for _, factor in reversed(loops))):
        yield list(reversed(outer_first))


def walk_nest(chip: Chip, nest: LoopNest, machine: Spatial) -> None:
    """The loops of the nest's text: temporal ones, then turns, then what runs in parallel."""
    bounds = limits(chip.work)
    names = list(machine.array.dimensions)
    inner = next(level for level in machine.memory if "output" in level.holds)
    shared = names if inner.shared_along == "all" else inner.shared_along
    wanted = dict.fromkeys(names, 1)
    for name, _, factor in nest.spatial:
        wanted[name] *= factor
    sides = {n: min(machine.array.dimensions[n].size, wanted[n]) for n in names}
    for steps in temporal(list(nest.loops)):
        for turn in product(*(range(-(-wanted[n] // sides[n])) for n in names)):
            meeting: dict[object, list[tuple[object, Point]]] = {}
            parts: dict[object, tuple[int, ...]] = {}
            for unit in product(*(range(sides[n]) for n in names)):
                place = {n: u + sides[n] * t for n, u, t in zip(names, unit, turn, strict=True)}
                if any(place[n] >= wanted[n] for n in names):
                    continue
                point, beyond = dict.fromkeys(bounds, 0), dict.fromkeys(("ic", "ky", "kx"), 0)
                stride = dict.fromkeys(bounds, 1)
                for name, loop, factor in nest.spatial:
                    offset = place[name] % factor * stride[loop]
                    place[name] //= factor
                    point[loop] += offset
                    stride[loop] *= factor
                    if loop in beyond and name not in shared:
                        beyond[loop] += offset
                cell = (*(point[k] for k in ("n", "g", "oc", "oy", "ox")), *beyond.values())
                for (loop, factor), at in zip(nest.loops, steps, strict=True):
                    point[loop] += at * stride[loop]
                    stride[loop] *= factor
                if all(point[loop] < bounds[loop] for loop in bounds):
                    meeting.setdefault(cell, []).append((unit, point))
                    parts[cell] = tuple(beyond.values())
            for where, together in meeting.items():
                chip.step(where, parts[where], together)


def limits(work: Work) -> Point:
    bounds = {"n": work.n, "g": work.groups, "oc": work.oc, "ic": work.ic}
    return bounds | {"oy": work.oy, "ox": work.ox, "ky": work.ky, "kx": work.kx}


def walk_core(chip: Chip, machine: Cpu) -> None:
    """A core's kernel: blocks of pixels, of filters, all taps; an instruction for each vector."""
    work = chip.work
    pixels, taps = work.n * work.oy * work.ox, work.ky * work.kx * work.ic
    simd = machine.core.simd
    vector = simd.int16 if work.depthwise or work.activation_bits > 8 else simd.int8
    block = machine.selected.pixel_block
    vectors = 1 if work.depthwise else -(-machine.selected.channel_block // vector.lanes)
    across = work.groups * work.oc if work.depthwise else work.oc
    for group in range(1 if work.depthwise else work.groups):
        for p0 in range(0, pixels, block):
            for c0 in range(0, across, vectors * vector.lanes):
                for t0 in range(0, taps, vector.dot):
                    for pixel in range(p0, min(p0 + block, pixels)):
                        for v in range(vectors):
                            first = c0 + v * vector.lanes
                            for lane in range(min(vector.lanes, across - first)):
                                channel = first + lane
                                whose = owner(work, group, channel)
                                points = [
                                    ((lane, d), flat(work, whose, pixel, t0 + d))
                                    for d in range(min(vector.dot, taps - t0))
                                ]
                                chip.step(lane, (0,), points)


def walk_dsp(chip: Chip, machine: Dsp) -> None:
    """A signal processor's kernel: tap by tap, a vector multiply reduces channels in each lane."""
    work, vector = chip.work, machine.vector
    pixels, taps = work.n * work.oy * work.ox, work.ky * work.kx
    lane_bits, halfwords = 8 * machine.datapath.dot_width, work.activation_bits > 8
    dot = 1 if work.depthwise else lane_bits // (16 if halfwords else 8)
    if work.depthwise:
        lane_bits = 32 if halfwords else 16
    lanes = vector.bits // lane_bits
    across = work.groups * work.oc if work.depthwise else work.oc
    for group in range(1 if work.depthwise else work.groups):
        for p0 in range(0, pixels, vector.pixel_block):
            for c0 in range(0, across, lanes):
                for tap in range(taps):
                    for i0 in range(0, work.ic, dot):
                        for pixel in range(p0, min(p0 + vector.pixel_block, pixels)):
                            for lane in range(min(lanes, across - c0)):
                                channel = c0 + lane
                                whose = owner(work, group, channel)
                                points = [
                                    ((lane, d), flat(work, whose, pixel, tap * work.ic + i0 + d))
                                    for d in range(min(dot, work.ic - i0))
                                ]
                                chip.step(lane, (0,), points)


def owner(work: Work, group: int, channel: int) -> tuple[int, int]:
    """Group and filter of a channel; those of a depthwise layer count through all groups."""
    return divmod(channel, work.oc) if work.depthwise else (group, channel)


def flat(work: Work, whose: tuple[int, int], pixel: int, tap: int) -> Point:
    """A product by the number of its pixel and tap."""
    rest, ox = divmod(pixel, work.ox)
    n, oy = divmod(rest, work.oy)
    rest, ic = divmod(tap, work.ic)
    ky, kx = divmod(rest, work.kx)
    return {"n": n, "g": whose[0], "oc": whose[1], "oy": oy, "ox": ox, "ic": ic, "ky": ky, "kx": kx}
