"""The datapath of a machine as YAML: operand and accumulator widths, requantizer, composition.

Read next: `simulator.numeric.datapath`, the same as the engine takes it.
"""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from simulator.numeric.datapath import (
    WIDEST_OPERAND,
    Basis,
    Composition,
    Datapath,
    Overflow,
    Requantizer,
    Stage,
    ZeroPoint,
)
from simulator.schema import Rate, Schema, Text

SerialOperand: TypeAlias = Literal["both", "activation"]
FIXED, FUSED, LINEAR, SERIAL_ACTIVATION, SERIAL_BOTH, BITPLANE = range(6)


class AccumulatorStage(Schema):
    """A narrow sum before the accumulator: `fan_in` inputs added exactly, then fitted to `bits`."""

    fan_in: Annotated[int, Field(ge=1, le=1024)]
    bits: Annotated[int, Field(ge=4, le=63)]
    overflow: Literal["wrap", "saturate"]


class Accumulator(Schema):
    """The register that products are added into, after the narrower sums of `stages` if any."""

    bits: Annotated[int, Field(ge=8, le=64)] = 32
    overflow: Overflow = "wrap"
    stages: tuple[AccumulatorStage, ...] = ()


class Decompress(Schema):
    """What expands a weight that is stored narrower than the multiplier takes it.

    So many weights a cycle, each with scalar operations of its own (a shift and a mask, say).
    """

    elements_per_cycle: Rate
    operations_per_element: Annotated[int, Field(ge=0, le=256)] = 1


class RequantizeConfig(Schema):
    """The requantizer after the accumulator: a signed fixed-point multiplier and its rounding.

    `multiplier_bits` is its width, a fraction of one bit less in [1/2, 1); floating-point roundings
    have none. `rounding: graph` keeps the graph's.
    """

    multiplier_bits: Annotated[int, Field(ge=2, le=32)] = 32
    rounding: Literal[
        "graph",
        "double_round",
        "double_round_up",
        "single_round",
        "tosa_double_round",
        "q15_round",
        "float64_away",
        "float32_even",
    ] = "graph"

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.requantizer()
        return self

    def requantizer(self) -> Requantizer:
        """The same as the engine takes it; raises ValueError where the two do not fit."""
        return Requantizer(
            self.multiplier_bits, None if self.rounding == "graph" else self.rounding
        )


class BasisConfig(Schema):
    """Learned bases in fixed point: signed numbers of `bits` times 2^-`fraction`.

    Without `fraction` every operand of a layer has the greatest at which its basis fits.
    """

    bits: Annotated[int, Field(ge=2, le=WIDEST_OPERAND)] = 8
    fraction: Annotated[int, Field(ge=-32, le=32)] | None = None


class Gating(Schema):
    """What the datapath saves on operands that are zero; read where inputs are given.

    `zero`: a multiplier keeps its operands while one of the two is zero. `clock`: an accumulator
    that stays in place is not clocked for a product of zero. `bits`: a bit-serial multiplier skips
    the zero bits of an activation's magnitude (Albericio et al., MICRO 2017), `serial` alone.
    """

    zero: bool = False
    clock: bool = False
    bits: bool = False


class LayerConfig(Schema):
    """What some layers have instead of the machine's datapath; what is left out stays.

    `layer` is a node's name, or `first`, `last` or `depthwise` among the layers that multiply.
    """

    layer: Text
    weight_bits: Annotated[int, Field(ge=1, le=16)] | None = None
    activation_bits: Annotated[int, Field(ge=1, le=16)] | None = None
    dot_width: Annotated[int, Field(ge=1, le=1024)] | None = None
    accumulator: Accumulator | None = None
    zero_point: ZeroPoint | None = None
    requantize: Literal["graph"] | RequantizeConfig | None = None
    basis: BasisConfig | None = None
    narrow: bool | None = None
    widen: bool | None = None
    restricted_weights: bool | None = None


class DatapathConfig(Schema):
    """Operand and accumulator widths. `narrow` re-quantizes wider graphs instead of refusing.

    `widen` re-quantizes narrower activations; `restricted_weights` leaves out the least code, as
    -128, so that two products fit one bit less (Krishnamoorthi 2018, section 2.2).
    `composition` is what a multiplier does with operands of other widths than its own, see
    `simulator.machines.composition`; `serial_operand` is read by `serial` alone. Without
    `decompress`, narrow weights are expanded unseen on their way. `scale_bits` are what memory
    holds for each scale of a requantization (a multiplier and its shift: 40, say), read with the
    biases; by default 0: scales are not counted. `basis` is the fixed point that bit planes of
    learned bases are weighted in; without it they are real.
    """

    weight_bits: Annotated[int, Field(ge=1, le=16)] = 8
    activation_bits: Annotated[int, Field(ge=1, le=16)] = 8
    composition: Composition = "fixed"
    serial_operand: SerialOperand = "both"
    decompress: Decompress | None = None
    dot_width: Annotated[int, Field(ge=1, le=1024)] = 1
    accumulator: Accumulator = Accumulator()
    zero_point: ZeroPoint = "subtracted"
    requantize: Literal["graph"] | RequantizeConfig = "graph"
    scale_bits: Annotated[int, Field(ge=0, le=128)] = 0
    basis: BasisConfig | None = None
    narrow: bool = False
    widen: bool = False
    restricted_weights: bool = False
    layers: tuple[LayerConfig, ...] = ()
    gating: Gating = Gating()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.gating.bits and self.composition != "serial":
            raise ValueError(
                "gating.bits skips zeros of bit-serial multipliers; it needs composition: serial, "
                f"found '{self.composition}'"
            )
        for override in (None, *self.layers):
            (self if override is None else self.overridden(override)).datapath()
        return self

    def overridden(self, override: LayerConfig) -> Self:
        """These fields with those that `override` gives."""
        given = {name: getattr(override, name) for name in LayerConfig.model_fields}
        del given["layer"]
        return self.model_copy(update={n: v for n, v in given.items() if v is not None})

    def datapath(self) -> Datapath:
        """The same widths as the engine takes them, without the overrides of `layers`.

        Raises ValueError where accumulator and requantizer do not fit together.
        """
        requantize = self.requantize
        return Datapath(
            weight_bits=self.weight_bits,
            activation_bits=self.activation_bits,
            dot_width=self.dot_width,
            accumulator_bits=self.accumulator.bits,
            overflow=self.accumulator.overflow,
            zero_point=self.zero_point,
            stages=tuple(Stage(s.fan_in, s.bits, s.overflow) for s in self.accumulator.stages),
            narrow=self.narrow,
            widen=self.widen,
            restricted_weights=self.restricted_weights,
            requantize=None if isinstance(requantize, str) else requantize.requantizer(),
            composition=self.composition,
            basis=None if self.basis is None else Basis(self.basis.bits, self.basis.fraction),
        )

    @property
    def composed(self) -> int:
        """The composition as a number: FIXED to BITPLANE."""
        names = ("fixed", "fused", "linear", "", "serial", "bitplane")
        if self.composition == "serial" and self.serial_operand == "activation":
            return SERIAL_ACTIVATION
        return names.index(self.composition)


def multiplier_bits(requantize: str | RequantizeConfig) -> int:
    """Width of the requantizer's multiplier; 32 where the graph or a float rounding decides."""
    return 32 if isinstance(requantize, str) else requantize.multiplier_bits
