"""The arithmetic of a machine that multiplies and accumulates: widths, overflow, order."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from simulator.numeric.dialect import Rounding

Overflow = Literal["wrap", "saturate", "trap"]
ZeroPoint = Literal["subtracted", "folded"]
Composition = Literal["fixed", "fused", "linear", "serial", "bitplane"]
WIDEST_OPERAND: Final = 16
"""Bits of the widest operand that any datapath multiplies, in one pass or several."""


@dataclass(frozen=True)
class Stage:
    """A narrow sum before the accumulator: `fan_in` inputs added exactly, then fitted to `bits`.

    The first stage adds products, each further one the results of the one before; the accumulator
    adds those of the last. Example: two u8 x s8 products saturated to 16 bits, as VPMADDUBSW.
    """

    fan_in: int
    bits: int
    overflow: Literal["wrap", "saturate"]


IN_32_BITS: Final = ("double_round", "double_round_up", "single_round", "tosa_double_round")
"""Roundings whose multiplier takes an accumulator of up to 32 bits."""


@dataclass(frozen=True)
class Requantizer:
    """What a machine brings accumulators onto the output grid with, instead of the graph's own.

    `rounding` names the kernel (None: the graph's). `multiplier_bits` is the width of the signed
    fixed-point multiplier in [1/2, 1): its mantissa has one bit less, rounded half away.
    """

    multiplier_bits: int = 32
    rounding: Rounding | None = None

    def __post_init__(self) -> None:
        real = self.rounding in ("float32_even", "float64_away")
        if not 2 <= self.multiplier_bits <= 32 or (real and self.multiplier_bits != 32):
            raise ValueError(
                "multiplier_bits must be 2..32, and left out for a floating-point rounding; "
                f"found {self.multiplier_bits} with {self.rounding}"
            )


@dataclass(frozen=True)
class Basis:
    """A learned basis in fixed point: signed numbers of `bits` times 2^-`fraction`, ties to even.

    Without `fraction` every operand of a layer has the greatest at which its basis fits.
    """

    bits: int = 8
    fraction: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= WIDEST_OPERAND:
            raise ValueError(f"basis.bits must be 2..{WIDEST_OPERAND}; found {self.bits}")


@dataclass(frozen=True)
class Datapath:
    """Widths in bits of operands and accumulator, and what happens where a sum does not fit.

    The accumulator starts at the bias and takes the products in the order ky, kx, ic, `dot_width`
    of them summed exactly at a time. `narrow` re-quantizes operands that are wider, `widen`
    activations that are narrower; `restricted_weights` leaves out their least code. The requantizer
    comes with the graph where `requantize` is None. A composition changes no bit: it only lets
    operands wider than the datapath through, in several passes. Bit planes of learned bases are
    weighted in fixed point where `basis` says how, else in reals. With `graph` set, the accumulator
    is the one that each operator's reference has and the rest is not looked at.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    dot_width: int = 1
    accumulator_bits: int = 32
    overflow: Overflow = "wrap"
    zero_point: ZeroPoint = "subtracted"
    stages: tuple[Stage, ...] = ()
    narrow: bool = False
    graph: bool = False
    widen: bool = False
    restricted_weights: bool = False
    requantize: Requantizer | None = None
    composition: Composition = "fixed"
    basis: Basis | None = None

    def widest(self, bits: int) -> int:
        """The widest operand that a datapath of `bits` takes: in passes where it is composed."""
        return bits if self.composition == "fixed" else WIDEST_OPERAND

    def __post_init__(self) -> None:
        if self.dot_width < 1 or not 1 <= self.accumulator_bits <= 64:
            raise ValueError(
                f"datapath: dot_width must be >= 1 and accumulator_bits 1..64; "
                f"found {self.dot_width} and {self.accumulator_bits}"
            )
        if self.overflow not in get_args(Overflow) or self.zero_point not in get_args(ZeroPoint):
            raise ValueError(f"datapath: unknown {self.overflow!r} or {self.zero_point!r}")
        rounding = self.requantize.rounding if self.requantize else None
        if rounding in IN_32_BITS and self.accumulator_bits > 32:
            raise ValueError(
                f"{rounding} takes accumulators of up to 32 bits; found {self.accumulator_bits}"
            )


GRAPH_DATAPATH: Final = Datapath(graph=True)
"""Computes what the graph's own reference computes."""
