"""Integer products in bit planes: the bits of `simulator.numeric.matmul`, where order is no matter.

Integers that lie on a uniform grid of few steps are planes with powers of two for a basis. {-1, 1}
is one plane, {-1, 0, 1} two: zeros that pad {-1, 1} are a third value.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from simulator.numeric.bitplane import Planes, pack, weighted_dots
from simulator.numeric.datapath import Datapath
from simulator.numeric.matmul import sum_bound, wrap_array

PAIRS: Final = 16
"""Pairs of planes beyond which sums of integers are quicker."""
_WIDEST: Final = 8


@dataclass(frozen=True)
class _Operand:
    """value = offset + sum over j of basis[j] bit j."""

    planes: Planes
    basis: NDArray[np.int64]
    offset: int
    totals: NDArray[np.int64]
    """The sum of each row without the offsets."""


def plane_sums(
    x: NDArray[np.int16], w: NDArray[np.int16], bias: NDArray[Any], datapath: Datapath
) -> NDArray[Any] | None:
    """Bias + x @ w.T for x (rows, taps) and w (channels, taps), as `matmul` gives it.

    For machines that multiply planes. None where the accumulator's order of sums matters, where
    operands have too many values, and where there are none.
    """
    if datapath.graph or datapath.stages or datapath.composition != "bitplane":
        return None
    if not (x.size and w.size):
        return None
    bits = datapath.accumulator_bits
    if datapath.overflow != "wrap" and sum_bound(x, w, bias) >= 1 << (bits - 1):
        return None
    a, b = _operand(x), _operand(w)
    if a is None or b is None or a.planes.bits * b.planes.bits > PAIRS:
        return None
    basis = np.broadcast_to(b.basis, (len(w), b.planes.bits))
    total = weighted_dots(a.planes, b.planes, a.basis, basis) + bias.astype(np.int64)
    total += b.offset * a.totals[:, np.newaxis] + a.offset * b.totals
    total += x.shape[1] * a.offset * b.offset
    fits: NDArray[Any] = wrap_array(total, bits)
    return fits.astype(np.int32) if bits <= 32 else fits


def _operand(values: NDArray[np.int16]) -> _Operand | None:
    """The least uniform grid that holds every value; None for one of more than 2^8 steps."""
    low, high = int(values.min()), int(values.max())
    above = values.astype(np.int32) - low
    step = 1 if (above & 1).any() else 2
    bits = max(((high - low) // step).bit_length(), 1)
    if bits > _WIDEST:
        return None
    bipolar = 2 * low + step * ((1 << bits) - 1) == 0
    codes = (above // step).astype(np.uint8)
    offset = 0 if bipolar else low
    basis = step * (1 << np.arange(bits, dtype=np.int64))
    return _Operand(
        pack(codes, bits, "bipolar" if bipolar else "binary"),
        basis // 2 if bipolar else basis,
        offset,
        values.sum(axis=1, dtype=np.int64) - offset * values.shape[1],
    )
