"""Several machines on one timeline: a host, units that it starts, and links to their memories.

An operator runs on the first unit that takes it and can, else on the host. Every processor and
link works in the order of the graph's nodes; what does not wait for another runs beside it: list
scheduling (Hu, Operations Research 9(6), 1961) with the topological order as priority. Times are
cycles of the host's clock.
"""

import importlib
import math
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self, TypeAlias, Union

import numpy as np
from pydantic import Field, field_validator, model_validator

from simulator.jit import njit
from simulator.machines.actions import Counts
from simulator.machines.base import FRACTION, Machine
from simulator.machines.counting import ceil_div, cycles_for
from simulator.machines.registry import register, registered
from simulator.registry import operators
from simulator.schema import NonNegative, PositiveReal, Schema

if TYPE_CHECKING:
    AnyMachine: TypeAlias = Machine
else:
    _package = importlib.import_module("simulator.machines")
    for _module in pkgutil.iter_modules(_package.__path__, "simulator.machines."):
        if _module.name != __name__:
            importlib.import_module(_module.name)
    AnyMachine = Annotated[Union[registered()], Field(discriminator="model")]  # noqa: UP007

HOST: Final = "host"
CLASSES: Final = ("any", "macs", "depthwise")
"""Names that stand for many operators: all, those with multiply-accumulates, depthwise ones."""
MOST_RATIO: Final = 2**31
"""Of the terms of a ratio of clocks: their product with a count of cycles stays below 2^63."""


class Link(Schema):
    """The way between the host's memory and a unit's: DMA in the host's clock.

    A transfer takes its latency and then `bytes_per_cycle`. Double-buffered, it runs while the unit
    works on something else; otherwise the unit waits.
    """

    bytes_per_cycle: PositiveReal
    latency_cycles: NonNegative
    pj_per_byte: Annotated[float, Field(ge=0, le=1e9)]
    double_buffered: bool = True


class Start(Schema):
    """What the host spends to start an operator on a unit; the unit's own dispatch comes on top."""

    cycles: NonNegative
    instructions: NonNegative


class Attachment(Schema):
    """How a unit is used: the operators it takes, what starting one costs, its link.

    `operators` are kinds (``conv_2d``) or classes (`CLASSES`). Without a link the unit works in the
    host's memory and nothing is copied.
    """

    operators: Annotated[tuple[str, ...], Field(min_length=1)]
    dispatch: Start
    link: Link | None = None

    @field_validator("operators")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in CLASSES and name not in operators():
                raise ValueError(
                    f"no operator or class is named '{name}'; classes: {', '.join(CLASSES)}; "
                    "kinds are what inspect --json calls op"
                )
        return names


(
    DISPATCH_CYCLES,
    HAS_LINK,
    LINK_RATE,
    LINK_LATENCY,
    DOUBLE_BUFFERED,
) = range(5)
COLUMNS: Final = 5
"""Of the row of a machine's attachment; zeros for the host."""
RUN, DISPATCH, COPY_IN, COPY_OUT = range(4)
EVENT_NAMES: Final = ("run", "dispatch", "copy in", "copy out")
WHAT, LAYER, TENSOR, PLACE, BEGIN, LENGTH = range(6)
EVENT_COLUMNS: Final = 6
"""Of an event: what it is, its node, its tensor or -1, its machine (0 is the host), and when."""


@njit
def in_host_cycles(cycles: int, multiplier: int, divisor: int) -> int:
    """Cycles of a unit's clock as cycles of the host's, rounded up; -1 where they overflow."""
    if float(cycles) * multiplier / divisor >= 2.0**60:
        return -1
    whole, rest = cycles // divisor, cycles % divisor
    return int(whole * multiplier + ceil_div(rest * multiplier, divisor))


@njit
def copy(
    event: Counts, free: Counts, link_free: Counts, events: Counts, attached: Counts, bits: int
) -> int:
    """Schedule one transfer over a link, `event` holding what and when its data are ready.

    Returns when it is done. Nothing is copied where the unit has no link.
    """
    unit = event[PLACE]
    if attached[unit, HAS_LINK] == 0:
        return int(event[BEGIN])
    begin = max(event[BEGIN], link_free[unit])
    if attached[unit, DOUBLE_BUFFERED] == 0:
        begin = max(begin, free[unit])
    event[BEGIN] = begin
    event[LENGTH] = attached[unit, LINK_LATENCY] + cycles_for(bits, attached[unit, LINK_RATE])
    link_free[unit] = begin + event[LENGTH]
    if attached[unit, DOUBLE_BUFFERED] == 0:
        free[unit] = link_free[unit]
    keep_event(event, events)
    return int(link_free[unit])


@njit
def keep_event(event: Counts, events: Counts) -> None:
    """Add an event to those asked for: row 0 holds their number."""
    if events.shape[0] == 0:
        return
    events[0, 0] += 1
    for column in range(EVENT_COLUMNS):
        events[events[0, 0], column] = event[column]


@njit
def bring(
    tensor: int,
    place: int,
    layer: int,
    bits: int,
    ready: Counts,
    free: Counts,
    link_free: Counts,
    attached: Counts,
    moved: Counts,
    events: Counts,
    event: Counts,
) -> int:
    """When a tensor is in the memory of a machine, copied there if it is not yet.

    From unit to unit it passes through the host's memory. Adds the bytes copied to `moved`, int64
    [L, M, 2]: into each machine's unit and out of it, for the sake of `layer`.
    """
    if ready[tensor, 0] < 0:
        for unit in range(1, ready.shape[1]):
            if ready[tensor, unit] >= 0 and (place == 0 or ready[tensor, place] < 0):
                event[WHAT], event[LAYER], event[TENSOR] = COPY_OUT, layer, tensor
                event[PLACE], event[BEGIN] = unit, ready[tensor, unit]
                ready[tensor, 0] = copy(event, free, link_free, events, attached, bits)
                moved[layer, unit, 1] += ceil_div(bits, 8) * attached[unit, HAS_LINK]
                break
    if ready[tensor, place] < 0:
        event[WHAT], event[LAYER], event[TENSOR] = COPY_IN, layer, tensor
        event[PLACE], event[BEGIN] = place, ready[tensor, 0]
        ready[tensor, place] = copy(event, free, link_free, events, attached, bits)
        moved[layer, place, 0] += ceil_div(bits, 8) * attached[place, HAS_LINK]
    return int(ready[tensor, place])


@njit
def schedule(
    places: Counts,
    lengths: Counts,
    attached: Counts,
    bits: Counts,
    producers: Counts,
    kept: Counts,
    reads_from: Counts,
    reads: Counts,
    starts: Counts,
    moved: Counts,
    events: Counts,
) -> int:
    """Lay one design's nodes on the timeline: fills `starts` [L] and `moved`, returns its end.

    `places` [L] is the machine of each node, `lengths` [L] its host cycles there, `attached` [M,
    COLUMNS] the attachments. A node starts when its operands are in its machine's memory, the host
    has dispatched it and the machine is free; outputs are copied back to the host at the end.
    """
    machines = attached.shape[0]
    ready = np.full((len(bits), machines), -1, np.int64)
    free, link_free = np.zeros(machines, np.int64), np.zeros(machines, np.int64)
    event = np.zeros(EVENT_COLUMNS, np.int64)
    for tensor in range(len(bits)):
        if producers[tensor] < 0:
            ready[tensor, 0] = 0
    made = 0
    end = 0
    while made < len(bits) and producers[made] < 0:
        made += 1
    for layer in range(len(places)):
        place, at = places[layer], 0
        for read in range(reads_from[layer], reads_from[layer + 1]):
            tensor = reads[read]
            there = bring(tensor, place, layer, bits[tensor], ready, free, link_free, attached,
                          moved, events, event)  # fmt: skip
            at = max(at, there)
        if place > 0:
            begin = max(at, free[0])
            at = free[0] = begin + attached[place, DISPATCH_CYCLES]
            event[WHAT], event[LAYER], event[TENSOR], event[PLACE] = DISPATCH, layer, -1, 0
            event[BEGIN], event[LENGTH] = begin, attached[place, DISPATCH_CYCLES]
            keep_event(event, events)
        starts[layer] = max(at, free[place])
        free[place] = starts[layer] + lengths[layer]
        event[WHAT], event[LAYER], event[TENSOR], event[PLACE] = RUN, layer, -1, place
        event[BEGIN], event[LENGTH] = starts[layer], lengths[layer]
        keep_event(event, events)
        end = max(end, free[place])
        while made < len(bits) and producers[made] == layer:
            ready[made, place] = free[place]
            made += 1
    for tensor in range(len(bits)):
        if kept[tensor] != 0 and producers[tensor] >= 0:
            back = bring(tensor, 0, producers[tensor], bits[tensor], ready, free, link_free,
                         attached, moved, events, event)  # fmt: skip
            end = max(end, back)
    return end


@register
class Platform(Machine):
    """`model: platform`: a host and named units; the clock of all times is the host's.

    The fields that every machine has are those of the host; its YAML gives them under `host`.
    """

    columns: ClassVar = ()
    levels: ClassVar = ()
    bounds: ClassVar = ()
    derived: ClassVar = {
        name: (HOST, name) for name in ("clock_mhz", "datapath", "dispatch", "technology")
    }

    model: Literal["platform"]
    host: AnyMachine
    # A unit of a platform is a machine with a name, not a name.
    units: Annotated[dict[str, AnyMachine], Field(min_length=1)]  # type: ignore[assignment, misc]
    attach: dict[str, Attachment]

    @model_validator(mode="after")
    def _attached_one_by_one(self) -> Self:
        for name in self.units:
            if name == HOST or not name.isidentifier():
                raise ValueError(
                    f"a unit's name must be a word other than '{HOST}'; found '{name}'; rename it"
                )
            if name not in self.attach:
                raise ValueError(f"attach has no '{name}'; say how the unit is attached")
        for name in self.attach:
            if name not in self.units:
                raise ValueError(f"attach.{name}: no unit has this name; remove it or add the unit")
        for name, machine in self.units.items():
            if max(self.clocks(machine)) >= MOST_RATIO:
                raise ValueError(
                    f"units.{name}.clock_mhz: {machine.clock_mhz:g} MHz and the host's "
                    f"{self.host.clock_mhz:g} MHz have no ratio of integers below 2^31; round one"
                )
        return self

    @property
    def machines(self) -> Mapping[str, Machine]:
        """The host, then the units in the order in which they are tried."""
        return {HOST: self.host, **self.units}

    def clocks(self, machine: Machine) -> tuple[int, int]:
        """What cycles of a unit are multiplied and divided by to become the host's."""
        host, unit = round(self.host.clock_mhz * 1e6), round(machine.clock_mhz * 1e6)
        common = math.gcd(host, unit)
        return host // common, unit // common

    def takes(self, name: str, kind: str, macs: bool, depthwise: bool) -> bool:
        """Whether an operator of a kind is one of those that a unit is given; the host gets all."""
        if name == HOST:
            return True
        given = self.attach[name].operators
        return (
            kind in given
            or "any" in given
            or ("macs" in given and macs)
            or ("depthwise" in given and depthwise)
        )

    def attachments(self) -> Counts:
        """The host's row and those of the units: int64 [M, COLUMNS]."""
        rows = np.zeros((1 + len(self.units), COLUMNS), np.int64)
        for row, name in zip(rows[1:], self.units, strict=True):
            attachment = self.attach[name]
            row[DISPATCH_CYCLES] = attachment.dispatch.cycles
            if (link := attachment.link) is not None:
                row[HAS_LINK:] = (
                    1,
                    max(1, round(link.bytes_per_cycle * FRACTION)),
                    link.latency_cycles,
                    link.double_buffered,
                )
        return rows

    def srams(self) -> Mapping[str, int]:
        """Bytes of each SRAM of each machine, as ``npu.ifmap_sram``."""
        return {
            f"{name}.{level}": size
            for name, machine in self.machines.items()
            for level, size in machine.srams().items()
        }

    def storage(self) -> tuple[int | None, int | None]:
        """The host's: every activation and constant begins there."""
        return self.host.storage()

    @property
    def outer_bytes_per_cycle(self) -> float:
        """Of all outermost memories together, in the host's clock."""
        return sum(
            machine.outer_bytes_per_cycle * machine.clock_mhz / self.host.clock_mhz
            for machine in self.machines.values()
        )

    @property
    def peak_macs_per_cycle(self) -> int:
        """Of all machines together in one cycle of the host, rounded up."""
        return sum(
            -(-machine.peak_macs_per_cycle * self.clocks(machine)[1] // self.clocks(machine)[0])
            for machine in self.machines.values()
        )
