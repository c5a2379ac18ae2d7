"""A machine's own requantizer in the place of the one that the graph names."""

from math import floor, frexp, ldexp

from simulator.numeric.datapath import Requantizer
from simulator.numeric.requantize import Requantize, make_requantize


def override(requantize: Requantize, by: Requantizer) -> Requantize:
    """The same scale, zero point and clamp in the machine's rounding and multiplier width.

    Sums that are left raw (rounding ``none``) stay raw.
    """
    if requantize.rounding == "none":
        return requantize
    scale = tuple(shortened(s, by.multiplier_bits) for s in requantize.scale)
    limits = (requantize.zero_point, requantize.low, requantize.high)
    return make_requantize(by.rounding or requantize.rounding, scale, *limits)


def shortened(scale: float, bits: int) -> float:
    """The scale that a signed multiplier of `bits` has: mantissa of bits - 1, ties away from zero.

    In reals round(m 2^(bits - 1)) 2^(e - bits + 1) for scale = m 2^e, m in [1/2, 1). 32 bits are
    left to the importer's derivation: the same mantissa, and the whole scale for kernels in float.
    As Q0.31 it fills the upper bits, so every fixed-point kernel gives what one of `bits` would.
    """
    if bits == 32 or scale == 0.0:
        return scale
    mantissa, exponent = frexp(abs(scale))
    rounded = ldexp(floor(mantissa * 2.0 ** (bits - 1) + 0.5), exponent - bits + 1)
    return rounded if scale > 0 else -rounded
