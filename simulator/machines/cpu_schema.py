"""The fields of a processor core and the columns of its row: simulator.machines.cpu prices them."""

import math
from typing import Annotated, Final, Self, TypeAlias

from pydantic import Field, model_validator

from simulator.machines.base import COMMON, FRACTION, REFUSALS, Column, Dram, Sram, fixed
from simulator.machines.kernels import Simd
from simulator.schema import NonNegative, Positive, PositiveReal, Schema

LineCycles: TypeAlias = Annotated[float, Field(ge=0, le=256)]


class Core(Schema):
    """The core: the cycles of an average instruction, and its multiply-accumulate instructions."""

    issue_width: Annotated[int, Field(ge=1, le=16)]
    cycles_per_instruction: Annotated[float, Field(gt=0, le=16)]
    simd: Simd


class WaitedMemory(Schema):
    """A memory that delivers `line_bytes` an access, each `wait_states` cycles late.

    Where `wait_states` is not given it follows from the clock and `access_ns`, the time of one
    access: a slower clock waits fewer cycles. `line_cycles` come beside them, at any clock: what
    a line takes over a bus narrower than itself, into a cache that misses.
    """

    bytes: Positive
    line_bytes: Annotated[int, Field(ge=1, le=4096)]
    wait_states: NonNegative | None = None
    access_ns: PositiveReal | None = None
    line_cycles: LineCycles = 0.0

    def waits(self, clock_mhz: float) -> int:
        """Wait states at a clock."""
        if self.wait_states is not None:
            return self.wait_states
        return max(0, math.ceil(round((self.access_ns or 0.0) * clock_mhz / 1e3, 6)) - 1)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.wait_states is None and self.access_ns is None:
            raise ValueError("needs wait_states, or access_ns to have them follow from the clock")
        return self


class FlashCache(Schema):
    """A cache before the flash: weights of a layer that fit in half of it are read once."""

    bytes: Positive


class Memory(Schema):
    """Either SRAM for activations and flash for weights, or a cache before DRAM for both."""

    sram: WaitedMemory | None = None
    flash: WaitedMemory | None = None
    flash_cache: FlashCache | None = None
    cache: Sram | None = None
    dram: Dram | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        flash = self.sram is not None and self.flash is not None
        dram = self.cache is not None and self.dram is not None
        given = sum(part is not None for part in (self.sram, self.flash, self.cache, self.dram))
        if given != 2 or not (flash or dram) or (dram and self.flash_cache is not None):
            raise ValueError(
                "give sram and flash (a microcontroller, flash_cache with it if it has one), "
                "or cache and dram (an application core)"
            )
        return self

    @property
    def cached(self) -> bool:
        """Whether this is a cache before DRAM."""
        return self.cache is not None

    @property
    def inner_bytes(self) -> int:
        """Bytes of the SRAM or of the cache."""
        inner = self.sram or self.cache
        assert inner is not None
        return inner.bytes

    @property
    def inner_line(self) -> int:
        """Bytes of an access to SRAM; 1 where there is none."""
        return self.sram.line_bytes if self.sram else 1

    @property
    def outer_line(self) -> int:
        """Bytes of an access to flash; 1 where there is none."""
        return self.flash.line_bytes if self.flash else 1

    @property
    def line_cycles(self) -> float:
        """Cycles of a line of flash beside its wait states; 0 where there is none."""
        return self.flash.line_cycles if self.flash else 0.0

    @property
    def cache_bytes(self) -> int:
        """Bytes of the cache before the outer memory, 0 where there is none."""
        cache = self.cache or self.flash_cache
        return cache.bytes if cache else 0

    @property
    def inner_rate(self) -> float:
        """Bytes per cycle of the cache; 1 where there is none."""
        return self.cache.bytes_per_cycle if self.cache else 1.0

    @property
    def dram_rate(self) -> float:
        """Bytes per cycle of DRAM; 1 where there is none."""
        return self.dram.bytes_per_cycle if self.dram else 1.0


def _from_zero(value: float) -> int:
    """A rate as an integer of 1/65536 that may be 0."""
    return round(value * FRACTION)


RATES: Final = (
    "per_multiply.convolution",
    "per_multiply.pointwise",
    "per_multiply.depthwise",
    "per_multiply.fully_connected",
    "per_multiply.single",
    "per_output",
    "per_requantize",
    "per_elementwise",
)
COLUMNS: Final = (
    *(Column(f"integer.{path}", fixed) for path in RATES),
    *(Column(f"float32.{path}", fixed) for path in RATES),
    *(
        Column(f"core.simd.{kind}.{part}")
        for kind in ("int8", "int16", "float32")
        for part in ("lanes", "dot")
    ),
    Column("core.cycles_per_instruction", fixed),
    Column("has_integer"),
    Column("has_float32"),
    Column("selected.pixel_block"),
    Column("selected.channel_block"),
    Column("memory.inner_bytes"),
    Column("memory.inner_line"),
    Column("inner_wait"),
    Column("memory.outer_line"),
    Column("outer_wait"),
    Column("memory.cache_bytes"),
    Column("memory.inner_rate", fixed),
    Column("memory.dram_rate", fixed),
    Column("memory.cached"),
    Column("memory.line_cycles", _from_zero),
)
_FIRST: Final = len(COMMON)
INTEGER, FLOAT32 = _FIRST, _FIRST + len(RATES)
INT8_LANES, INT8_DOT, INT16_LANES, INT16_DOT, FLOAT_LANES, FLOAT_DOT = range(
    _FIRST + 2 * len(RATES), _FIRST + 2 * len(RATES) + 6
)
(
    CYCLES_PER_INSTRUCTION,
    HAS_INTEGER,
    HAS_FLOAT,
    PIXEL_BLOCK,
    CHANNEL_BLOCK,
    INNER_BYTES,
    INNER_LINE,
    INNER_WAIT,
    OUTER_LINE,
    OUTER_WAIT,
    CACHE_BYTES,
    INNER_RATE,
    DRAM_RATE,
    CACHED,
    LINE_CYCLES,
) = range(FLOAT_DOT + 1, FLOAT_DOT + 16)
CONVOLUTION, POINTWISE, DEPTHWISE, FULLY_CONNECTED, ONE_CHANNEL = range(5)
PER_OUTPUT, PER_REQUANTIZE, PER_ELEMENTWISE = range(5, 8)
INNER, OUTER = range(2)
BY_COMPUTE, BY_INNER, BY_OUTER, BY_OVERHEAD = range(4)
NO_INTEGER, NO_FLOAT = len(REFUSALS), len(REFUSALS) + 1
