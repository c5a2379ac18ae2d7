"""Levels of codes on a learned basis, the thresholds between them, and the code of a real.

Bit j of a code stands for -1 or 1 (`bipolar`), or 0 or 1 (`binary`); its level is the sum of
v_j times that, j ascending, in float64 (LQ-Nets: Zhang et al., ECCV 2018, section 3.1). Not a
uniform grid: levels need be neither equally far apart nor in the order of their codes.
"""

from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

FEW: Final = 15
"""Thresholds up to which comparing with each is quicker than searching."""
CodeSet: TypeAlias = Literal["bipolar", "binary"]
Reals: TypeAlias = NDArray[np.float64]


def signs(bits: int, code_set: CodeSet) -> Reals:
    """What every bit of every code stands for: (2^bits, bits), code 0 first."""
    places = (np.arange(2**bits)[:, np.newaxis] >> np.arange(bits) & 1).astype(np.float64)
    return places if code_set == "binary" else np.asarray(2 * places - 1)


def levels(basis: Reals, code_set: CodeSet) -> Reals:
    """The real of every code: (.., 2^K) of bases (.., K)."""
    each = signs(basis.shape[-1], code_set)
    total = np.zeros((*basis.shape[:-1], len(each)))
    for j in range(basis.shape[-1]):
        total += basis[..., j, np.newaxis] * each[:, j]
    return total


def thresholds(basis: Reals, code_set: CodeSet) -> tuple[Reals, NDArray[np.uint8]]:
    """Midpoints of neighbouring levels (.., 2^K - 1) and the codes (.., 2^K), both ascending.

    A real above k of the thresholds has code k of the second; one that equals a threshold belongs
    below it. Codes of one level keep their order.
    """
    reals = levels(basis, code_set)
    order = np.argsort(reals, axis=-1, kind="stable")
    ascending = np.take_along_axis(reals, order, axis=-1)
    return (ascending[..., :-1] + ascending[..., 1:]) / 2, order.astype(np.uint8)


def encode(x: NDArray[Any], basis: Reals, code_set: CodeSet) -> NDArray[np.uint8]:
    """The code of the nearest level, x in any shape and one basis (K,); NaN is above nothing."""
    limits, codes = thresholds(basis, code_set)
    wide = x.astype(np.float64)
    if len(limits) > FEW:
        place = np.searchsorted(limits, wide, side="left")
        return np.asarray(codes[np.where(np.isnan(wide), 0, place)])
    place = np.zeros(x.shape, dtype=np.intp)
    for limit in limits.tolist():
        place += wide > limit
    return np.asarray(codes[place])
