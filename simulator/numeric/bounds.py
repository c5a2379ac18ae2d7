"""The least and greatest real value of an output: an activation in the operator that produces it.

ReLU is the bounds (0, inf), ReLU6 (0, 6). On codes the same is a clamp of the requantizer.
"""

from math import inf
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bounds: TypeAlias = tuple[float, float]
UNBOUNDED: Final[Bounds] = (-inf, inf)


def within(inner: Bounds, outer: Bounds) -> Bounds:
    """The bounds of a value that is cut to `inner` and then to `outer`."""
    low, high = (min(max(bound, outer[0]), outer[1]) for bound in inner)
    return low, high


def cut(values: NDArray[Any], bounds: Bounds) -> None:
    """Cut an array to bounds, in place; NaN stays NaN."""
    low, high = bounds
    if low > -inf:
        np.maximum(values, values.dtype.type(low), out=values)
    if high < inf:
        np.minimum(values, values.dtype.type(high), out=values)
