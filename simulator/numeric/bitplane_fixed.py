"""Bit planes weighted by fixed-point bases: what hardware adds into its accumulator.

A basis of reals becomes integers m with v ~ m 2^-fraction. The dot of two planes is exact; it is
multiplied by m_i n_j and added to the accumulator, i (weights) ascending, then j (activations).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalValues
from simulator.numeric.bitplane import Planes, plane_dots, weighted_dots
from simulator.numeric.datapath import Basis, Datapath
from simulator.numeric.matmul import wrap_array

Integers = NDArray[np.int64]
_LARGEST = 1 << 62
"""Sums below it leave room for one more addition in int64."""


def fixed_point(basis: NDArray[Any], form: Basis) -> tuple[Integers, int]:
    """(m, fraction) of reals v ~ m 2^-fraction: signed m of `form.bits`, ties to even.

    Without a fraction of its own: the greatest at which every m fits. Raises IllegalValues for a
    given one at which one does not, and for reals that are not finite.
    """
    top = (1 << (form.bits - 1)) - 1
    wide = basis.astype(np.float64)
    most = float(np.abs(wide).max(initial=0.0))
    if not math.isfinite(most):
        raise IllegalValues(f"the reals of a basis must be finite; found {most}")
    if form.fraction is not None:
        codes = np.rint(np.ldexp(wide, form.fraction))
        if np.abs(codes).max(initial=0.0) > top:
            raise IllegalValues(
                f"{most:.6g} of a basis does not fit {form.bits} bits with {form.fraction} of "
                "them fraction; widen datapath.basis.bits or lower datapath.basis.fraction"
            )
        return codes.astype(np.int64), form.fraction
    if most == 0.0:
        return np.zeros(basis.shape, dtype=np.int64), 0
    # most < 2^exponent, so that one fraction bit less than this always fits.
    fraction = form.bits - math.frexp(most)[1]
    while np.rint(math.ldexp(most, fraction)) > top:
        fraction -= 1
    return np.rint(np.ldexp(wide, fraction)).astype(np.int64), fraction


def fixed_dots(
    x: Planes,
    w: Planes,
    x_basis: Integers,
    w_basis: Integers,
    datapath: Datapath,
    first_channel: int = 0,
) -> Integers:
    """The accumulators of sum over i, j of m_i[c] n_j (w_i . x_j): (rows, channels).

    `x_basis` (planes of x,) and `w_basis` (channels, planes of w). Of the datapath only the last
    register and its overflow count: a popcount adds its products exactly. Raises IllegalValues
    where overflow traps, naming the first row and channel (counted from `first_channel`).
    """
    bits = datapath.accumulator_bits
    weights = np.abs(w_basis).sum(axis=1).max(initial=0) * np.abs(x_basis).sum()
    bound = int(weights) * x.taps
    if bound >= _LARGEST:
        raise IllegalValues(
            f"sums of up to {bound} leave no room in 64 bits; lower datapath.basis.bits"
        )
    if bound < 1 << (bits - 1):
        return np.asarray(weighted_dots(x, w, x_basis, w_basis))
    if datapath.overflow == "wrap":
        return np.asarray(wrap_array(weighted_dots(x, w, x_basis, w_basis), bits))
    return _ordered(x, w, x_basis, w_basis, datapath, first_channel)


def _ordered(
    x: Planes,
    w: Planes,
    x_basis: Integers,
    w_basis: Integers,
    datapath: Datapath,
    first_channel: int,
) -> Integers:
    high = (1 << (datapath.accumulator_bits - 1)) - 1
    acc = np.zeros((x.rows, w.rows), dtype=np.int64)
    for i in range(w.bits):
        for j in range(x.bits):
            total = acc + plane_dots(x, w, i, j) * (w_basis[:, i] * x_basis[j])
            acc = np.clip(total, -high - 1, high)
            if datapath.overflow == "trap" and not np.array_equal(acc, total):
                row, channel = (int(k) for k in np.argwhere(acc != total)[0])
                channel += first_channel
                raise IllegalValues(
                    f"the {datapath.accumulator_bits}-bit accumulator overflows at output position "
                    f"{row}, channel {channel}, weight plane {i} and activation plane {j}; widen "
                    "datapath.accumulator.bits or let it wrap or saturate"
                )
    return acc
