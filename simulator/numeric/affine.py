"""Single-precision rescaling: y = clamp(round(v * scale + offset) + zero_point).

What some runtimes do instead of a fixed-point multiplier. Not `float32_even` of
`simulator.numeric.requantize`, which has no offset before the rounding.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Affine:
    """The float32 parameters of one rescaling, each held exactly as a double.

    The integer v is rounded to float32, the product and the sum once more; `ties` says how the
    result is rounded.
    """

    scale: float
    offset: float
    ties: Literal["even", "away"]
    zero_point: int
    low: int
    high: int


def affine_array(values: NDArray[Any], by: Affine, dtype: str) -> NDArray[Any]:
    """Rescale integers of any shape to `dtype`."""
    real = values.astype(np.float32) * np.float32(by.scale) + np.float32(by.offset)
    # float32 -> float64 is exact, and so is adding a half to a float32 there.
    wide = real.astype(np.float64)
    away = np.copysign(np.floor(np.abs(wide) + 0.5), wide)
    rounded = np.rint(wide) if by.ties == "even" else away
    below, above = by.low - by.zero_point, by.high - by.zero_point
    return (np.clip(rounded, below, above).astype(np.int64) + by.zero_point).astype(dtype)
