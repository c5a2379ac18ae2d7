"""What every machine has: clock, datapath, dispatch, technology, and its row of integers.

The row is what the scalar cost functions read; its first columns are the same for every kind.
Read next: `simulator.machines.actions`, then one kind.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    Self,
    TypeAlias,
    get_args,
)

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from simulator.errors import Unsupported
from simulator.machines.calibration import Calibration
from simulator.machines.datapath_schema import DatapathConfig, multiplier_bits
from simulator.numeric.datapath import (
    WIDEST_OPERAND,
    ZeroPoint,
)
from simulator.schema import NonNegative, Positive, Rate, Schema, Sources, Text
from simulator.technology.built import AnyTechnology
from simulator.technology.laws import DRAM_TYPES
from simulator.technology.model import DramType, Technology

FRACTION: Final = 2**16
"""Rates that may be fractional enter a row in units of 1/65536."""


@dataclass(frozen=True)
class Column:
    """One integer of a machine's row: the dotted path of its field and how it is encoded."""

    path: str
    encode: Callable[[Any], int] = int


def fixed(value: float) -> int:
    """A rate as an integer of 1/65536, at least 1: what is counted with it is exact."""
    return max(1, round(value * FRACTION))


def choice(*names: str) -> Callable[[Any], int]:
    """An encoder of a named choice: its position among `names`."""
    return names.index


class Dispatch(Schema):
    """What starting an operator and an inference costs, on top of the work itself."""

    cycles_per_op: Positive
    instructions_per_op: Positive = 1
    cycles_per_inference: NonNegative = 0
    instructions_per_inference: NonNegative = 0


class Sram(Schema):
    """An on-chip memory, half of it in use while the other half is filled or drained."""

    bytes: Positive
    bytes_per_cycle: Rate


class ActivationSram(Sram):
    """An on-chip memory, `resident_bytes` of which hold activations from one layer to another."""

    resident_bytes: NonNegative = 0

    @model_validator(mode="after")
    def _leaves_room(self) -> Self:
        if self.resident_bytes >= self.bytes:
            raise ValueError(
                f"resident_bytes must be below the {self.bytes} bytes of the memory, which works "
                f"in the rest; found {self.resident_bytes}"
            )
        return self


class OffChip(Schema):
    """A memory that may be DRAM of a `type`, which the technology then prices by its own figure."""

    type: DramType | None = None


class Dram(OffChip):
    """Off-chip memory, as large as any graph."""

    bytes_per_cycle: Rate


def dram_type(memory: Any) -> DramType | None:
    """The type that a machine's memory names for its DRAM, if any."""
    parts = memory if isinstance(memory, tuple) else vars(memory).values()
    return next((part.type for part in parts if isinstance(part, OffChip) and part.type), None)


def _dram_code(memory: Any) -> int:
    """The row's form of `dram_type`, as `simulator.technology.laws.dram_byte_fj` takes it."""
    name = dram_type(memory)
    return 0 if name is None else 1 + DRAM_TYPES.index(name)


COMMON: Final = (
    Column("clock_mhz", lambda mhz: round(mhz * 1e6)),
    Column("datapath.weight_bits"),
    Column("datapath.activation_bits"),
    Column("datapath.accumulator.bits"),
    Column("datapath.dot_width"),
    Column("datapath.zero_point", choice(*get_args(ZeroPoint))),
    Column("datapath.narrow"),
    Column("datapath.requantize", multiplier_bits),
    Column("dispatch.cycles_per_op"),
    Column("dispatch.instructions_per_op"),
    Column("dispatch.cycles_per_inference"),
    Column("dispatch.instructions_per_inference"),
    Column("datapath.composed"),
    Column("datapath.decompress", lambda it: fixed(it.elements_per_cycle) if it else 0),
    Column("datapath.decompress", lambda it: it.operations_per_element if it else 0),
    Column("memory", _dram_code),
    Column("wire_mm", lambda mm: round(mm * 1000)),
    Column("datapath.scale_bits"),
)
(
    CLOCK_HZ,
    WEIGHT_BITS,
    ACTIVATION_BITS,
    ACCUMULATOR_BITS,
    DOT_WIDTH,
    ZERO_POINT,
    NARROW,
    MULTIPLIER_BITS,
    OP_CYCLES,
    OP_INSTRUCTIONS,
    INFERENCE_CYCLES,
    INFERENCE_INSTRUCTIONS,
    COMPOSITION,
    DECOMPRESS_RATE,
    DECOMPRESS_OPERATIONS,
    DRAM_KIND,
    WIRE_UM,
    SCALE_BITS,
) = range(len(COMMON))
PRICED_ALONE: Final = (CLOCK_HZ, ZERO_POINT, MULTIPLIER_BITS, DRAM_KIND, WIRE_UM)
"""Columns that decide what an action costs, and never how many there are."""

REFUSALS: Final = (
    "",
    "its weights have {weight_bits} bits, the datapath {machine_weight_bits}; "
    "widen datapath.weight_bits or set datapath.narrow: true",
    "its activations have {activation_bits} bits, the datapath {machine_activation_bits}; "
    "widen datapath.activation_bits or set datapath.narrow: true",
    "{too_many} are more than are counted exactly here ({most}); "
    "split the layer or lower the batch",
    "its energy, or the sum up to it, is more than 2^63 femtojoules (9223 J); "
    "split the network or lower the batch",
)
"""Why a layer may be refused, by the code in its `REFUSAL` action; a kind may add its own."""

Fusion: TypeAlias = Literal["none", "elementwise"]
"""What is fused into the operator before it: nothing, or element-wise operators; the tensor between
them then stays on chip."""


class DepthFirst(Schema):
    """Several layers a tile at a time, so that the tensors between them never exist whole.

    A tile is `tile_rows` rows of a chain's last output, `tile_columns` of them wide (0: whole rows;
    `tile_rows: 0` is layer by layer). Neighbouring windows overlap: `cache` keeps what the next
    tile needs again, `recompute` makes it again. A chain is taken where it lowers the `objective`
    and moves no more bytes to and from the outermost memory.
    """

    tile_rows: NonNegative = 0
    tile_columns: NonNegative = 0
    overlap: Literal["cache", "recompute"] = "cache"
    objective: Literal["traffic", "latency", "energy"] = "traffic"


class Machine(Schema, ABC):
    """A machine that runs one operator after another. Final subclasses are the kinds.

    Subclasses give `columns` (their row after `COMMON`), the names of memory levels, units and
    bounds in the order their cost function numbers them, and compiled functions: the prices of a
    row in a technology, its areas, and `evaluate`, the costs of many rows.

    `wire_mm` is how far a byte travels between an on-chip memory and the datapath, on average; by
    default 0: wires are not priced.
    """

    columns: ClassVar[tuple[Column, ...]]
    units: ClassVar[tuple[str, ...]]
    refusals: ClassVar[tuple[str, ...]] = REFUSALS
    resident: ClassVar[str] = ""
    """The dotted path of the bytes that hold activations between layers; empty for a kind whose
    cost function does not take what stays on chip."""
    derived: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Fields that the YAML gives elsewhere: the path that each is taken from."""
    design_prices: ClassVar[Callable[..., float]]
    design_areas: ClassVar[Callable[..., None]]
    evaluate: ClassVar[Callable[..., None]]

    name: Text
    model: str
    source: Sources
    clock_mhz: Annotated[float, Field(ge=0.001, le=1e6)]
    datapath: DatapathConfig = DatapathConfig()
    dispatch: Dispatch
    if TYPE_CHECKING:
        technology: Technology
    else:
        technology: AnyTechnology
    wire_mm: Annotated[float, Field(ge=0, le=1000)] = 0.0
    calibration: dict[Text, Calibration] = Field(default_factory=dict, exclude=True)
    fusion: Fusion = "none"
    depth_first: DepthFirst = DepthFirst()

    @model_validator(mode="after")
    def _fuses_where_it_can(self) -> Self:
        if self.fusion != "none" and not self.resident:
            raise ValueError(
                f"fusion: a {self.kind()} does not fuse operators by itself; leave it at 'none'"
            )
        if self.depth_first.tile_rows and not self.resident:
            raise ValueError(
                f"depth_first.tile_rows: a {self.kind()} keeps no activations between layers by "
                "itself; leave it at 0"
            )
        if self.depth_first.tile_columns and not self.depth_first.tile_rows:
            raise ValueError("depth_first.tile_columns needs depth_first.tile_rows; found 0 rows")
        return self

    @model_validator(mode="after")
    def _has_prices(self) -> Self:
        # A platform has no memory of its own.
        named = dram_type(getattr(self, "memory", ()))
        priced = self.technology.energy.given() if named or self.wire_mm else {}
        if named is not None and f"dram.{named}" not in priced:
            raise ValueError(
                f"memory: {self.technology.name} prices no DRAM of type '{named}'; choose another "
                "technology or leave the type out"
            )
        if self.wire_mm and "wire_bit_mm" not in priced:
            raise ValueError(
                f"wire_mm: {self.technology.name} prices no wires; choose another technology or "
                "leave it out"
            )
        return self

    @classmethod
    def kind(cls) -> str:
        """The value of `model:` that selects this kind."""
        return str(get_args(cls.model_fields["model"].annotation)[0])

    @property
    @abstractmethod
    def levels(self) -> tuple[str, ...]:
        """Names of the memory levels, innermost first."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[str, ...]:
        """Names of what a layer may wait for."""

    @abstractmethod
    def srams(self) -> Mapping[str, int]:
        """Bytes of each SRAM by level name: what the technology prices by size."""

    @abstractmethod
    def words(self) -> Mapping[str, float]:
        """Word bits of each of `srams`: what one access takes."""

    @abstractmethod
    def storage(self) -> tuple[int | None, int | None]:
        """Bytes there are for activations and for constants; None where DRAM takes them."""

    @property
    def held_weight_bits(self) -> int:
        """Bits of weights that stay on chip while several layers run in turn."""
        return 0

    @property
    @abstractmethod
    def peak_macs_per_cycle(self) -> int:
        """Multiply-accumulates of a cycle in which every multiplier works."""

    @property
    @abstractmethod
    def outer_bytes_per_cycle(self) -> float:
        """Bandwidth of the outermost memory level, the last of `levels`: the roofline's slope."""

    @property
    def cycle_scales(self) -> tuple[int, int, int]:
        """What MACs, elementwise operations and outputs are multiplied by to become cycles.

        At most, in 1/65536.
        """
        return FRACTION * self.most_passes, FRACTION, FRACTION

    @property
    def codes_weights(self) -> bool:
        """Whether weights are kept coded somewhere, so that their values matter to the cost."""
        return False

    @property
    def most_passes(self) -> int:
        """Cycles of a multiplier that no product passes: one of 16 x 16 bits where composed."""
        path = self.datapath
        if path.composition == "fixed":
            return 1
        if path.composition == "bitplane":
            return WIDEST_OPERAND**2
        return -(-WIDEST_OPERAND // path.weight_bits) * -(-WIDEST_OPERAND // path.activation_bits)

    def row(self) -> NDArray[np.int64]:
        """As int64 [len(COMMON) + len(columns)], for its cost functions; raises as `check_row`."""
        self.check_row()
        values = [column.encode(get(self)) for column, get in _getters(self.__class__)]
        return np.array(values, dtype=np.int64)

    def check_row(self) -> None:
        """Raise Unsupported where the datapath is not one and the same for every layer."""
        for field in ("layers", "widen"):
            if getattr(self.datapath, field):
                raise Unsupported(
                    f"{self.name}: datapath.{field}: costs are counted on one datapath that takes "
                    "operands as they are or narrowed; leave it out here (exec, validate and "
                    "golden follow it)"
                )


def _getters(kind: type[Machine]) -> tuple[tuple[Column, Callable[[Machine], Any]], ...]:
    if kind not in _GETTERS:
        _GETTERS[kind] = tuple((c, attrgetter(c.path)) for c in (*COMMON, *kind.columns))
    return _GETTERS[kind]


_GETTERS: dict[type[Machine], tuple[tuple[Column, Callable[[Machine], Any]], ...]] = {}
