"""The arithmetic of a machine that multiplies and accumulates: widths, overflow, order."""

from dataclasses import dataclass
from typing import Final, Literal

Overflow = Literal["wrap", "saturate", "trap"]
ZeroPoint = Literal["subtracted", "folded"]


@dataclass(frozen=True)
class Datapath:
    """Widths in bits of operands and accumulator, and what happens where a sum does not fit.

    The accumulator starts at the bias and takes the products in the order ky, kx, ic, `dot_width`
    of them summed exactly at a time. Not a requantizer: that comes with the graph.
    """

    weight_bits: int = 8
    activation_bits: int = 8
    dot_width: int = 1
    accumulator_bits: int = 32
    overflow: Overflow = "wrap"
    zero_point: ZeroPoint = "subtracted"
    narrow: bool = False

    @property
    def follows_graph(self) -> bool:
        """True where the accumulator leaves every sum as a reference kernel has it."""
        return self.accumulator_bits >= 32 and self.overflow == "wrap"


GRAPH_DATAPATH: Final = Datapath(weight_bits=16, activation_bits=16)
"""Computes what the graph's own reference computes."""
