"""Hard swish of 8-bit codes in 16-bit fixed point (LiteRT reference/hard_swish.h)."""

from typing import Any, Final

import numpy as np

from simulator.jit import njit
from simulator.numeric.rounding import rounding_divide_by_power_of_two, saturate

HIGH_RESOLUTION_BITS: Final = 7
"""Operands are shifted left by so many bits, which leaves one of 16."""


@njit
def _mul(a: Any, b: Any) -> Any:
    # round(a b / 2^15) of int16 values, ties up; -2^15 squared saturates.
    return saturate((a * b + (np.int64(1) << 14)) >> 15, 16)


@njit
def hard_swish(
    x: Any,
    zero_points: Any,
    output: Any,
    gate: Any,
    low: int,
    high: int,
    out: Any,
) -> None:
    """The product x relu6(x + 3) / 6 of flat x.

    `zero_points` are those of x and y; `output` and `gate` are (16-bit multiplier, shift): the
    first takes x to the output's grid, the second to one where 3 is 2^15, the shift coming last.
    """
    for i in range(x.size):
        value = (np.int64(x[i]) - zero_points[0]) << HIGH_RESOLUTION_BITS
        scaled = _mul(value, output[0])
        # Saturate at +-3 in the last of the left shifts, not before it could matter.
        relu = value
        if gate[1] > 0:
            relu = saturate(relu << (gate[1] - 1), 16)
        relu = _mul(relu, gate[0])
        if gate[1] > 0:
            relu = saturate(relu << 1, 16)
        if gate[1] < 0:
            relu = rounding_divide_by_power_of_two(relu, -gate[1])
        relu = (relu + (np.int64(1) << 15)) >> 1
        # Towards zero, which cancels the bias of the two rounded products.
        product = relu * scaled
        product = product >> 15 if product >= 0 else -(-product >> 15)
        y = rounding_divide_by_power_of_two(product, -output[1]) + zero_points[1]
        out[i] = min(max(y, low), high)
