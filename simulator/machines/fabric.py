"""The fields of a `spatial` machine: its array and unrollings, its memories, its search.

`hierarchy_of` puts them in a row of integers, in the order of `simulator.machines.hierarchy`.
"""

import math
from typing import Annotated, Any, Final, Literal, Self, TypeAlias, get_args

from pydantic import Field, model_validator

from simulator.machines.base import OffChip
from simulator.machines.hierarchy import HIERARCHY_END, INNER, PINS, SIZES, UNROLLINGS
from simulator.mapping.layout import DIMENSIONS, LOOPS, OPERANDS, PORT_KINDS
from simulator.mapping.loopnest import pin_row
from simulator.schema import NonNegative, Positive, Rate, Schema, Text

Loop: TypeAlias = Literal["n", "g", "oc", "ic", "oy", "ox", "ky", "kx"]
Operand: TypeAlias = Literal["weight", "input", "output"]
Ports: TypeAlias = Literal["shared", "read_write", "two_sided", "per_operand"]
Kind: TypeAlias = Literal["register", "sram", "dram"]
Objective: TypeAlias = Literal["latency", "energy", "edp"]
Refill: TypeAlias = Literal["changed", "together"]
Window: TypeAlias = Literal["touched", "bounding_box"]
Timing: TypeAlias = Literal["physical", "zigzag"]
Factor: TypeAlias = Annotated[int, Field(ge=1, le=65536)]
Cycles: TypeAlias = Annotated[int, Field(ge=0, le=65536)]
Picojoules: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]
ATTO: Final = 10**6
"""Attojoules in a picojoule."""


class Dimension(Schema):
    """One dimension of the array. `systolic`: data takes a cycle from unit to unit along it.

    A unit takes `in_turn` values of the loops unrolled on it, one a cycle, and all of these cycles
    even where there are fewer: the granule of a datapath that starts a step only so often.
    """

    size: Factor
    systolic: bool = False
    in_turn: Annotated[int, Field(ge=1, le=64)] = 1


class Commands(Schema):
    """Commands that feed the array: each streams up to `steps` steps of `loop`.

    They run past the tile of `holds` that the units hold. A command takes `minimum_cycles` or
    more, the first of a tile also the `load_cycles` of the next tile, and each `issue_cycles` to
    issue: where the steps of a tile end sooner, the array waits for the issue.
    """

    steps: Factor
    loop: Loop = "ox"
    holds: Literal["weight", "input"] = "weight"
    minimum_cycles: Cycles = 0
    load_cycles: Cycles = 0
    issue_cycles: Cycles = 0


class Array(Schema):
    """The array, and the ways in which loops are unrolled on its dimensions.

    Each of `unrollings` maps a dimension to loops and factors; each layer takes the best. Without
    `commands` the array takes a step a cycle wherever its operands arrive in time.
    """

    commands: Commands | None = None
    dimensions: Annotated[dict[Text, Dimension], Field(min_length=1, max_length=DIMENSIONS)]
    unrollings: Annotated[
        tuple[dict[Text, dict[Loop, Factor]], ...], Field(min_length=1, max_length=UNROLLINGS)
    ]

    @model_validator(mode="after")
    def _unrollings_fit(self) -> Self:
        for index, unrolling in enumerate(self.unrollings):
            for name, loops in unrolling.items():
                if name not in self.dimensions:
                    known = ", ".join(self.dimensions)
                    raise ValueError(
                        f"unrollings.{index} names the dimension '{name}'; array.dimensions has "
                        f"{known}"
                    )
                used = math.prod(loops.values())
                size = self.dimensions[name].size * self.dimensions[name].in_turn
                if used > size:
                    raise ValueError(
                        f"unrollings.{index}.{name} must use <= {size} units; found {used}"
                    )
        return self

    def along(self, shared: tuple[str, ...] | Literal["all"]) -> tuple[str, ...]:
        """The dimensions that `shared_along` means."""
        return tuple(self.dimensions) if shared == "all" else shared

    @property
    def step_cycles(self) -> int:
        """Cycles of one step: what the units take in turn."""
        return math.prod(d.in_turn for d in self.dimensions.values())


class Vector(Schema):
    """The unit that runs operators without multiply-accumulates: scalar operations per cycle.

    With `requantizations_per_cycle` a unit of its own, beside the lanes, brings results onto their
    grid: those of the array as well, whose layers then take no less than it needs.
    """

    lanes: Factor
    requantizations_per_cycle: Rate | None = None


class Level(OffChip):
    """A memory, inner ones first. One instance serves the units along `shared_along`.

    `bits_per_cycle` is what each port moves, `word_bits` the smallest access (the whole port where
    absent), `request_cycles` what every transfer takes beside. `read_pj` and `write_pj` are one
    access of `bits_per_cycle`; without them the technology prices the `kind`, DRAM by its `type`.
    `coded`: weights lie in it, and move, at the entropy of their values; tiles need room as if they
    were not. `refill: together` loads the tiles of all operands whenever one of them changes,
    `changed` only that one; such refills are `refill_cycles` apart or more, the time in which a
    host commands one.
    """

    name: Text
    bytes: Positive
    bits_per_cycle: Positive
    word_bits: Positive | None = None
    holds: Annotated[tuple[Operand, ...], Field(min_length=1)]
    shared_along: tuple[Text, ...] | Literal["all"] = ()
    ports: Ports = "shared"
    request_cycles: NonNegative = 0
    refill: Refill = "changed"
    refill_cycles: Cycles = 0
    kind: Kind = "sram"
    read_pj: Picojoules | None = None
    write_pj: Picojoules | None = None
    coded: bool = False

    @model_validator(mode="after")
    def _codes_weights_alone(self) -> Self:
        if self.coded and self.holds != ("weight",):
            raise ValueError(
                f"coded: only a memory that holds weights alone keeps them coded; found "
                f"{', '.join(self.holds)}"
            )
        return self

    @model_validator(mode="after")
    def _word_divides_the_port(self) -> Self:
        if self.bits_per_cycle % (self.word_bits or self.bits_per_cycle):
            raise ValueError(
                f"bits_per_cycle must be a multiple of word_bits; found {self.bits_per_cycle} "
                f"and {self.word_bits}"
            )
        if self.refill_cycles and self.refill != "together":
            raise ValueError(f"refill_cycles needs refill: together; found {self.refill}")
        if (self.read_pj is None) != (self.write_pj is None):
            raise ValueError("read_pj and write_pj must both be given, or neither")
        return self


class Cuts(Schema):
    """How many loops of a pinned nest run within each memory of an operand, inner to outer."""

    weight: tuple[NonNegative, ...]
    input: tuple[NonNegative, ...]
    output: tuple[NonNegative, ...]


class Pinned(Schema):
    """A mapping as `bitlane estimate --json` gives it: loops inner to outer, and cuts.

    Without `cuts` the order alone is pinned, and the memories are filled as the search fills them.
    `spatial` and `text` are for the reader: the unrolling is the machine's own.
    """

    loops: tuple[Text, ...]
    cuts: Cuts | None = None
    spatial: tuple[dict[Text, Any], ...] = ()
    text: str = ""


class Search(Schema):
    """What the mapping search minimizes, and how many orders of loops it may try a layer.

    `cuts: filled` fills each memory, or half of it; `all` tries every cut, which only small layers
    bear. `innermost` and `outermost` name loops from that edge on. A layer that one of `pinned`
    covers is not searched.
    """

    objective: Objective = "latency"
    orders: Annotated[int, Field(ge=1, le=10**9)] = 5040
    cuts: Literal["filled", "all"] = "filled"
    innermost: Annotated[tuple[Loop, ...], Field(max_length=7)] = ()
    outermost: Annotated[tuple[Loop, ...], Field(max_length=7)] = ()
    pinned: Annotated[tuple[Pinned, ...], Field(max_length=PINS)] = ()


def _mask(names: tuple[str, ...], among: tuple[str, ...]) -> int:
    return sum(1 << among.index(name) for name in names)


def _memory_columns(level: "Level", names: tuple[str, ...]) -> tuple[int, ...]:
    """One memory as its columns in the row, in the order of `M_BITS` and on."""
    along = names if level.shared_along == "all" else level.shared_along
    price = (-1, -1)
    if level.read_pj is not None and level.write_pj is not None:
        price = (round(level.read_pj * ATTO), round(level.write_pj * ATTO))
    return (
        level.bytes * 8,
        level.bits_per_cycle,
        level.word_bits or level.bits_per_cycle,
        _mask(level.holds, OPERANDS),
        _mask(tuple(along), names),
        PORT_KINDS.index(level.ports),
        level.request_cycles,
        int(level.refill == "together"),
        level.refill_cycles,
        get_args(Kind).index(level.kind),
        *price,
        int(level.coded),
    )


def _switches(machine: Any) -> tuple[int, ...]:
    """The columns of `COUNTS` from `SWITCHES` on."""
    together = any(level.refill == "together" for level in machine.memory)
    commands = machine.array.commands
    fed = (0,) * 6
    if commands is not None:
        fed = (
            commands.steps,
            LOOPS.index(commands.loop),
            OPERANDS.index(commands.holds),
            commands.minimum_cycles,
            commands.load_cycles,
            commands.issue_cycles,
        )
    return (int(together), int(machine.input_window == "bounding_box"), *fed)


def hierarchy_of(machine: Any) -> tuple[int, ...]:
    """Everything behind the scalar columns: sizes, drains, unrollings, memories."""
    array = machine.array
    names = tuple(array.dimensions)
    pad = (0,) * (DIMENSIONS - len(names))
    values = [d.size for d in array.dimensions.values()]
    values += [*pad, *(int(d.systolic) for d in array.dimensions.values()), *pad]
    for index in range(UNROLLINGS):
        unrolling = array.unrollings[index] if index < len(array.unrollings) else {}
        for place in range(DIMENSIONS):
            loops = unrolling.get(names[place], {}) if place < len(names) else {}
            values += [loops.get(loop, 1) for loop in LOOPS]
    for level in machine.memory:
        values += _memory_columns(level, names)
    values += [0] * (INNER - SIZES - len(values))
    for loops in (machine.mapping.innermost, machine.mapping.outermost):
        values += [LOOPS.index(loop) for loop in loops]
        values += [-1] * (8 - len(loops))
    values += _switches(machine)
    for pin in machine.mapping.pinned:
        values += pin_row(pin.model_dump(include={"loops", "cuts"}), machine.chains()).tolist()
    values += [-1] * (HIERARCHY_END - SIZES - len(values))
    return tuple(values)
