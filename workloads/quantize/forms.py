"""The grids that papers define, each from a real range: affine, symmetric, power of two.

Every form takes (low, high): scalars, or one value per parameter of `layout`. A range whose step
is 0 gets scale 1, on which it is exact.
"""

from functools import partial
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import BadConfig, IllegalValues
from workloads.quantize.grid import Grid, single
from workloads.quantize.quantizer import PER_TENSOR, Layout, Reals
from workloads.quantize.rounding import Rounding, round_quotient

Ends: TypeAlias = float | NDArray[np.float64]
WIDEST: Final = 16
"""Bits of the widest grid."""


class Form(Protocol):
    """A grid from a range: a form with its bits and options bound, as by functools.partial."""

    def __call__(self, low: Ends, high: Ends, *, layout: Layout = PER_TENSOR) -> Grid:
        """The grid of the ranges."""


def affine(
    low: Ends,
    high: Ends,
    *,
    bits: int,
    signed: bool = False,
    rounding: Rounding = "half_even",
    layout: Layout = PER_TENSOR,
) -> Grid:
    """Uniform affine: the range, extended to hold 0, in 2^bits codes.

    Krishnamoorthi 2018 section 2.1 eq. 1-3: scale (high - low)/(2^bits - 1), codes from 0. It
    leaves scale and zero point open; these are gemmlowp's ChooseQuantizationParams, z = -low/scale
    to nearest (ties to even), so either end may move by half a step. `signed` shifts codes and
    zero point by -2^(bits-1), no real value.
    """
    least, most = _range(low, high)
    _check(bits, 1)
    least, most = np.minimum(least, 0.0), np.maximum(most, 0.0)
    top = 2**bits - 1
    scale = _positive(most / top - least / top)
    zero = np.clip(round_quotient(-least, scale, "half_even"), 0, top)
    shift = -(2 ** (bits - 1)) if signed else 0
    points = tuple(int(z) + shift for z in zero)
    return Grid(tuple(scale.tolist()), points, shift, top + shift, rounding, layout)


def symmetric(
    low: Ends,
    high: Ends,
    *,
    bits: int,
    signed: bool = True,
    restricted: bool = False,
    rounding: Rounding = "half_even",
    layout: Layout = PER_TENSOR,
) -> Grid:
    """Zero point 0: codes -2^(bits-1)..2^(bits-1)-1, or 0..2^bits-1 unless `signed`.

    Krishnamoorthi 2018 section 2.2 eq. 7-11, Nagel et al. 2021 eq. 8a-c. `restricted` leaves out
    one code: -(2^(bits-1)-1)..2^(bits-1)-1, or 0..2^bits-2; two products with 8-bit codes then stay
    in 16 bits. The greatest code is at max(|low|, |high|), unsigned at `high` (values below 0 are
    clamped); one signed bit has the codes -1 and 0, and -1 there.
    """
    ends = code_ends(bits, signed=signed, restricted=restricted)
    scale = _positive(_bound(low, high, signed) / max(ends[1], 1))
    return Grid(tuple(scale.tolist()), (0,) * scale.size, *ends, rounding, layout)


def power_of_two(
    low: Ends,
    high: Ends,
    *,
    bits: int,
    signed: bool = True,
    restricted: bool = False,
    rounding: Rounding = "half_even",
    layout: Layout = PER_TENSOR,
) -> Grid:
    """`symmetric` with scale 2^-k, the least whose greatest code reaches the bound.

    Nagel et al. 2021 section 2.2.3: rescaling is a shift. The bound is exact: one that is a whole
    number of steps of a power of two is not pushed to the next.
    """
    ends = code_ends(bits, signed=signed, restricted=restricted)
    bound, top = _bound(low, high, signed), max(ends[1], 1)
    # bound / top is rounded: start above, and let a product that is exact settle the exponent.
    exponent = np.frexp(bound / top)[1].astype(np.int64) + 1
    for _ in range(3):
        exponent -= np.ldexp(float(top), exponent - 1) >= bound
    scale = _positive(np.where(bound > 0, np.ldexp(1.0, exponent), 1.0))
    return Grid(tuple(scale.tolist()), (0,) * scale.size, *ends, rounding, layout)


def float32_scales(form: Form) -> Form:
    """The form with scales of float32, as model files hold them: a search then sees these grids."""
    return partial(_single, form)


def _single(form: Form, low: Ends, high: Ends, *, layout: Layout = PER_TENSOR) -> Grid:
    return single(form(low, high, layout=layout))


def code_ends(bits: int, *, signed: bool, restricted: bool) -> tuple[int, int]:
    """The least and greatest code of a symmetric grid; raises BadConfig where only 0 is left."""
    _check(bits, 2 if restricted else 1)
    if not signed:
        return 0, 2**bits - 1 - restricted
    half = 2 ** (bits - 1)
    return restricted - half, half - 1


def _check(bits: int, fewest: int) -> None:
    if not fewest <= bits <= WIDEST:
        raise BadConfig(f"bits must be {fewest} to {WIDEST} for this grid; found {bits}")


def _range(low: Ends, high: Ends) -> tuple[Reals, Reals]:
    least, most = (np.atleast_1d(np.asarray(v, dtype=np.float64)).reshape(-1) for v in (low, high))
    if least.size != most.size or not (least <= most).all():
        raise IllegalValues(f"a range needs low <= high; found {low} and {high}")
    if not (np.isfinite(least).all() and np.isfinite(most).all()):
        raise IllegalValues(f"a range must be finite; found {low} to {high}")
    return least, most


def _bound(low: Ends, high: Ends, signed: bool) -> Reals:
    least, most = _range(low, high)
    return np.maximum(np.abs(least), np.abs(most)) if signed else np.maximum(most, 0.0)


def _positive(scale: Reals) -> Reals:
    return np.where(scale > 0, scale, 1.0)
