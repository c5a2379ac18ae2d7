"""Which integer type of ONNX holds a grid, and where its codes lie there.

ONNX Runtime computes with integers where activations have 8 bits, and on x86 whatever reads them
where they are unsigned: grids of up to 8 bits lie in uint8. Grids of more lie in 16 bits, which it
computes in float32.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Final

import numpy as np

from simulator.errors import Unsupported
from simulator.numeric.bounds import Bounds
from workloads.quantize.grid import Grid
from workloads.quantize.quantizer import Codes

_ENDS: Final = {
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
}


@dataclass(frozen=True)
class Carrier:
    """A grid of activations in an integer type: its codes are the grid's, plus `shift`.

    `limits` are the least and the greatest code that occur; `scale` is a float32 value.
    """

    element: str
    shift: int
    scale: float
    zero_point: int
    limits: tuple[int, int]

    @property
    def narrow(self) -> bool:
        """Whether it has 8 bits."""
        return _ENDS[self.element][1] <= 255

    @property
    def full(self) -> bool:
        """Whether the type itself clamps to the limits."""
        return self.limits == _ENDS[self.element]

    def within(self, bounds: Bounds) -> "Carrier":
        """The same with the limits that an activation cuts to; codes as QuantizeLinear makes."""
        low, high = self.limits
        cut = [
            limit if not isfinite(bound) else min(max(self._code(bound), low), high)
            for bound, limit in zip(bounds, self.limits, strict=True)
        ]
        return Carrier(self.element, self.shift, self.scale, self.zero_point, (cut[0], cut[1]))

    def _code(self, value: float) -> int:
        return int(np.rint(np.float32(value) / np.float32(self.scale))) + self.zero_point

    def reals(self) -> tuple[np.float32, np.float32]:
        """The real values of the limits, float32."""
        low, high = (
            np.float32(limit - self.zero_point) * np.float32(self.scale) for limit in self.limits
        )
        return np.float32(low), np.float32(high)


def carrier(grid: Grid, place: str) -> Carrier:
    """Where the codes of an activation go; raises Unsupported where 16 bits do not hold them."""
    levels = grid.high - grid.low
    names = ("uint8",) if levels <= 255 else ("int16", "uint16")
    element = next((n for n in names if _inside(grid, n)), names[-1])
    shift = 0 if _inside(grid, element) else _ENDS[element][0] - grid.low
    low, high = grid.low + shift, grid.high + shift
    zero = grid.zero_point[0] + shift
    if not (_fits(high, element) and _fits(zero, element)):
        raise Unsupported(
            f"{place}: codes {grid.low} to {grid.high} with zero point {grid.zero_point[0]} fit no "
            "type of ONNX; give the activations 16 bits or fewer and a range that holds 0"
        )
    return Carrier(element, shift, float(np.float32(grid.scale[0])), zero, (low, high))


def weight_element(grid: Grid, codes: Codes, place: str) -> str:
    """The smallest type for weights as they are; raises Unsupported where 16 bits do not hold them.

    Zero points that differ between channels are no integer product of ONNX Runtime's: it takes 16
    bits, which are multiplied as reals.
    """
    if grid.layout.group_size:
        raise Unsupported(f"{place}: scales per group have no QDQ form; give one per channel")
    mixed = len(set(grid.zero_point)) > 1
    for element in ("int16", "uint16") if mixed else tuple(_ENDS):
        if _inside(grid, element) and all(_fits(z, element) for z in grid.zero_point):
            return element
    raise Unsupported(
        f"{place}: weight codes {grid.low} to {grid.high} need more than 16 bits; give fewer"
    )


def type_bits(element: str) -> int:
    """Bits of a type."""
    return (_ENDS[element][1] - _ENDS[element][0]).bit_length()


def _inside(grid: Grid, element: str) -> bool:
    return _fits(grid.low, element) and _fits(grid.high, element)


def _fits(code: int, element: str) -> bool:
    low, high = _ENDS[element]
    return low <= code <= high
