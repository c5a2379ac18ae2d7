"""What operators share whose outputs are accumulators: zero points come as tensors, if at all."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.decode import DTYPE_RANGE, Weighted, optional
from simulator.errors import IllegalGraph
from simulator.graph import Array, TensorType
from simulator.numeric.requantize import make_requantize

BIAS: Final = 2
X_ZERO: Final = 3
W_ZERO: Final = 4
"""Positions of the optional inputs, after x and the weights."""
ROLES: Final = ("input", "weights", "bias", "input_zero_point", "weight_zero_points")


def raw_sums() -> Weighted:
    """Sums in a wrapping 32-bit accumulator that are left as they are."""
    requantize = make_requantize("none", (1.0,), 0, *DTYPE_RANGE["int32"])
    return Weighted(0, (0,), 32, requantize, "int32")


def activations(inputs: Sequence[Array | None], *, folded: bool) -> tuple[NDArray[np.int16], int]:
    """(x - zx, 0), or raw x and zx with `folded`; int16."""
    x, zero = inputs[0], optional(inputs, X_ZERO)
    assert x is not None
    shift = 0 if zero is None else int(zero.reshape(-1)[0])
    if folded:
        return x.astype(np.int16), shift
    return (x.astype(np.int32) - shift).astype(np.int16), 0


def weights(inputs: Sequence[Array | None], axis: int) -> NDArray[np.int16]:
    """Weights less zw as int16, one zero point or one an index of `axis`."""
    w, zero = inputs[1], optional(inputs, W_ZERO)
    assert w is not None
    if zero is None:
        return w.astype(np.int16)
    shape = [1] * w.ndim
    if zero.size > 1:
        shape[axis] = zero.size
    return (w.astype(np.int32) - zero.astype(np.int32).reshape(shape)).astype(np.int16)


def check_zero_points(inputs: Sequence[TensorType | None], channels: int) -> None:
    """Refuse an x zero point that is not one value, and weight ones that are not one a channel."""
    x_zero, w_zero = optional(inputs, X_ZERO), optional(inputs, W_ZERO)
    if x_zero is not None and x_zero.elements != 1:
        raise IllegalGraph(f"activations need one zero point; found {x_zero.elements}")
    if w_zero is not None and w_zero.elements not in (1, channels):
        raise IllegalGraph(f"{w_zero.elements} weight zero points, {channels} channels")
