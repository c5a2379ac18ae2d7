"""The fields of a signal processor and the columns of its row; `dsp` beside it costs them."""

from typing import Annotated, Final, TypeAlias

from pydantic import Field

from simulator.machines.base import COMMON, ActivationSram, Column, Dram, fixed
from simulator.schema import NonNegative, Rate, Schema

Slots: TypeAlias = Annotated[int, Field(ge=1, le=16)]


class Vector(Schema):
    """The vector unit: registers of `bits`, and how many instructions of a kind a packet holds.

    `contexts` units run side by side. `pixel_block` output pixels keep their sums in registers, so
    that a weight vector serves all of them; `requantize_instructions` and `requantize_permutes`
    (packs and shuffles, which have slots of their own) bring one vector of sums to the output grid.
    """

    bits: Annotated[int, Field(ge=64, le=16384)]
    contexts: Slots
    registers: Annotated[int, Field(ge=1, le=1024)]
    multiply_slots: Slots
    alu_slots: Slots
    permute_slots: Slots
    memory_slots: Slots
    pixel_block: Annotated[int, Field(ge=1, le=64)]
    requantize_instructions: Annotated[int, Field(ge=1, le=256)]
    requantize_permutes: Annotated[int, Field(ge=0, le=256)]


class Dma(Schema):
    """An engine that moves tiles: `bytes_per_cycle` at most, `cycles_per_transfer` to start one."""

    bytes_per_cycle: Rate
    cycles_per_transfer: NonNegative


class Memory(Schema):
    """The memory that the vector unit loads from, and DRAM.

    That memory is `l2`, or a `scratchpad` (VTCM) where there is one. Without `dma` the DRAM's rate
    holds and starting a transfer costs nothing.
    """

    l2: ActivationSram
    scratchpad: ActivationSram | None = None
    dma: Dma | None = None
    dram: Dram

    @property
    def near(self) -> ActivationSram:
        """Where tiles lie: the scratchpad, else level 2."""
        return self.scratchpad or self.l2

    @property
    def far_bytes_per_cycle(self) -> float:
        """What DRAM delivers, through the DMA where there is one."""
        dma = self.dma.bytes_per_cycle if self.dma else self.dram.bytes_per_cycle
        return min(dma, self.dram.bytes_per_cycle)

    @property
    def transfer_cycles(self) -> int:
        """Cycles to start a transfer."""
        return self.dma.cycles_per_transfer if self.dma else 0


COLUMNS: Final = (
    Column("vector.bits"),
    Column("vector.contexts"),
    Column("vector.registers"),
    Column("vector.multiply_slots"),
    Column("vector.alu_slots"),
    Column("vector.permute_slots"),
    Column("vector.memory_slots"),
    Column("vector.pixel_block"),
    Column("vector.requantize_instructions"),
    Column("vector.requantize_permutes"),
    Column("memory.near.bytes"),
    Column("memory.near.bytes_per_cycle", fixed),
    Column("memory.far_bytes_per_cycle", fixed),
    Column("memory.transfer_cycles"),
    Column("memory.near.resident_bytes"),
)
(
    VECTOR_BITS,
    CONTEXTS,
    REGISTERS,
    MULTIPLY_SLOTS,
    ALU_SLOTS,
    PERMUTE_SLOTS,
    MEMORY_SLOTS,
    PIXEL_BLOCK,
    REQUANTIZE,
    REQUANTIZE_PERMUTES,
    NEAR_BYTES,
    NEAR_RATE,
    FAR_RATE,
    TRANSFER_CYCLES,
    NEAR_RESIDENT,
) = range(len(COMMON), len(COMMON) + len(COLUMNS))
NEAR, FAR = range(2)
BY_MULTIPLY, BY_ALU, BY_PERMUTE, BY_LOAD_STORE, BY_NEAR, BY_FAR, BY_OVERHEAD = range(7)
