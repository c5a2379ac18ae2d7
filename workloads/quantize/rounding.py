"""Exact rounding of a quotient or a product of 64-bit floats to an integer, by a named rule.

Not the rounding of the float quotient (`simulator.numeric.rounding.round_half_even`): x / s may
itself round onto a tie, or onto a whole number. There, and only there, the sign of what the float
lost is worked out without error, so the integer is that of the real x / s.
"""

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from simulator.errors import BadConfig

Rounding = Literal["half_even", "half_away", "half_up", "floor"]
"""To the nearest integer with ties to even, away from zero or up; or the integer below."""
ROUNDINGS: Final[tuple[Rounding, ...]] = get_args(Rounding)

Floats = NDArray[np.float64]

LARGEST: Final = 2.0**24
"""From here on a magnitude may be replaced by another: it saturates on any grid of 16 bits."""
_SMALLEST: Final = 2.0**-500
_SPLIT: Final = 2.0**27 + 1.0


def check_rounding(rounding: str) -> None:
    """Raise BadConfig unless `rounding` is one of `ROUNDINGS`."""
    if rounding not in ROUNDINGS:
        raise BadConfig(f"rounding must be one of {', '.join(ROUNDINGS)}; found {rounding!r}")


def round_quotient(x: Floats, scale: Floats, rounding: Rounding) -> Floats:
    """round(x / scale) as whole floats; shapes broadcast.

    Exact for every finite x and every positive finite scale while the quotient is below 2^24 in
    magnitude; beyond, some whole number of at least 2^24 with its sign. x may be infinite, not NaN.
    """
    mantissa, exponent = np.frexp(scale)
    x = _scaled(x, -exponent)
    quotient = x / mantissa
    # A correctly rounded quotient compares with any float as the real one does, or equals it: what
    # the division lost matters on whole and half numbers alone.
    doubtful = quotient * 2 == np.rint(quotient * 2)
    lost = np.zeros_like(quotient)
    if doubtful.any():
        twice = quotient[doubtful] * 2
        divisor = np.broadcast_to(mantissa, quotient.shape)[doubtful]
        high = np.rint(divisor * 2.0**26) * 2.0**-26
        low = divisor - high
        # `twice` has 27 bits, `high` and `low` 26: both products are exact, and so is the first
        # difference, of two floats that agree in their leading bits.
        gap = (2 * np.broadcast_to(x, quotient.shape)[doubtful] - twice * high) - twice * low
        lost[doubtful] = np.sign(gap)
    return _settled(quotient, lost, rounding)


def round_product(x: Floats, factor: Floats, rounding: Rounding) -> Floats:
    """round(x * factor) as whole floats, the rest as `round_quotient`."""
    mantissa, exponent = np.frexp(factor)
    x = _scaled(x, exponent)
    product = x * mantissa
    (a, b), (c, d) = _halves(x), _halves(mantissa)
    # Dekker's product: what the multiplication lost, exactly.
    lost = ((a * c - product) + a * d + b * c) + b * d
    return _settled(product, np.sign(lost), rounding)


def _settled(value: Floats, lost: Floats, rounding: Rounding) -> Floats:
    """The rounding of a real that `value` is the nearest float to, `lost` the sign of the rest."""
    whole = np.floor(value)
    whole -= (value == whole) & (lost < 0)
    if rounding == "floor":
        return whole
    half = whole + 0.5
    side = np.where(value == half, lost, np.sign(value - half))
    if rounding == "half_even":
        up = np.floor(whole / 2) * 2 != whole
    elif rounding == "half_away":
        up = value > 0
    else:
        up = np.ones_like(whole, dtype=bool)
    return np.asarray(whole + ((side > 0) | ((side == 0) & up)))


def _scaled(x: Floats, exponent: NDArray[np.int32]) -> Floats:
    """X * 2^exponent, its magnitude (but 0) brought within [_SMALLEST, LARGEST]."""
    # Two factors, since 2^exponent alone may overflow; an array's ldexp is forty times slower.
    half = exponent // 2
    with np.errstate(over="ignore", under="ignore"):
        scaled = x * np.ldexp(1.0, half) * np.ldexp(1.0, exponent - half)
    held = np.clip(np.abs(scaled), _SMALLEST, LARGEST)
    return np.where(x == 0, 0.0, np.copysign(held, x))


def _halves(x: Floats) -> tuple[Floats, Floats]:
    """Two floats of 26 bits that add up to x (Veltkamp's split)."""
    big = x * _SPLIT
    high = big - (big - x)
    return high, x - high
