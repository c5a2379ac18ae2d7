"""Several machines on one timeline: a host, units that it starts, and links to their memories.

An operator runs on the first unit that takes it and can, else on the host. When it does is found
by `simulator.machines.timeline`.
"""

import importlib
import math
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self, TypeAlias, Union

import numpy as np
from pydantic import Field, field_validator, model_validator

from simulator.machines.actions import Counts
from simulator.machines.base import FRACTION, Machine
from simulator.machines.registry import register, registered
from simulator.machines.timeline import COLUMNS, DISPATCH_CYCLES, HAS_LINK
from simulator.registry import operators
from simulator.schema import FieldError, NonNegative, Rate, Schema
from simulator.technology.costs import Bound

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


PicojoulesPerByte: TypeAlias = Annotated[float, Field(ge=0, le=1e9)]


class Link(Schema):
    """The way between the host's memory and a unit's: DMA in the host's clock.

    A transfer takes its latency and then `bytes_per_cycle`. Double-buffered, it runs while the unit
    works on something else; otherwise the unit waits. `low_pj_per_byte` and `high_pj_per_byte` are
    the bounds of its energy: both, or neither where the energy has no error bar.
    """

    bytes_per_cycle: Rate
    latency_cycles: NonNegative
    pj_per_byte: PicojoulesPerByte
    low_pj_per_byte: PicojoulesPerByte | None = None
    high_pj_per_byte: PicojoulesPerByte | None = None
    double_buffered: bool = True

    @model_validator(mode="after")
    def _bounds_hold_the_energy(self) -> Self:
        low, value, high = self.low_pj_per_byte, self.pj_per_byte, self.high_pj_per_byte
        if (low is None) != (high is None):
            raise ValueError("low_pj_per_byte and high_pj_per_byte must both be given, or neither")
        if low is not None and high is not None and not low <= value <= high:
            raise FieldError(
                ("pj_per_byte",),
                f"must lie from low_pj_per_byte to high_pj_per_byte; found {low:g}, {value:g}, "
                f"{high:g}",
            )
        return self

    def byte_fj(self, bound: Bound = "value") -> float:
        """Femtojoules of a copied byte; the value at every bound where there are none."""
        found = {"low": self.low_pj_per_byte, "value": None, "high": self.high_pj_per_byte}[bound]
        return 1000 * (self.pj_per_byte if found is None else found)


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
            if machine.depth_first.tile_rows:
                raise ValueError(
                    f"units.{name}.depth_first.tile_rows: the nodes of a platform run whole, one "
                    "after another; leave it at 0"
                )
            if max(self.clocks(machine)) >= MOST_RATIO:
                raise ValueError(
                    f"units.{name}.clock_mhz: {machine.clock_mhz:g} MHz and the host's "
                    f"{self.host.clock_mhz:g} MHz have no ratio of integers below 2^31; round one"
                )
        return self

    @model_validator(mode="after")
    def _costs_add_up(self) -> Self:
        own = self.host.technology
        for name, machine in self.units.items():
            if machine.technology.unit != own.unit:
                raise ValueError(
                    f"units.{name}.technology: {machine.technology.name} counts "
                    f"{machine.technology.unit} and the host's {own.name} {own.unit}, which do not "
                    "add up; set both to technologies of one unit"
                )
        return self

    def link_byte_fj(self, name: str, bound: Bound = "value") -> float:
        """Femtojoules of a byte copied to or from a unit; 0 in a cost model, which has none."""
        link = self.attach[name].link
        if link is None or not self.host.technology.physical:
            return 0.0
        return link.byte_fj(bound)

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

    def words(self) -> Mapping[str, float]:
        """Word bits of each SRAM of each machine, as `srams`."""
        return {
            f"{name}.{level}": bits
            for name, machine in self.machines.items()
            for level, bits in machine.words().items()
        }

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
