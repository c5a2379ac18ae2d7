"""Grids of other widths: the type a tensor gets there, and its values on it.

Zero stays a code, ties go to even, and every new scale is a float32. The rules see nothing but the
old type, so tensors that share a grid still do.

Activations that lose bits keep their real range: scale (N - 1) / (N' - 1) with N = 2^bits levels
(Krishnamoorthi 2018, arXiv 1806.08342, eq. 1-3). A scale that is a power of two is a fixed-point
format, such as softmax's 1/256, and stays one: scale N / N'. Activations that gain bits lose no
value, and no bound that a range stood for: the old codes times a power of two, from the least to
the greatest.

Symmetric weights keep +-(2^(bits-1) - 1) where it is, channel by channel (Nagel et al. 2021, arXiv
2106.08295, section 2.2.2; Krishnamoorthi section 2.2): +-127 becomes +-7, and the code -8 is not
used. Weights with a zero point are narrowed as activations are.
"""

from dataclasses import replace
from fractions import Fraction
from math import frexp
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.decode import value_range
from simulator.errors import Unsupported
from simulator.graph import DTYPE_BITS, STORAGE, Array, QuantParams, TensorType

CODES: Final = ("int4", "int8", "uint8", "int16", "uint16")
"""The dtypes whose quantized tensors have operand widths; int32 holds sums."""
_WIDE: Final = "int16"


def is_codes(kind: TensorType) -> bool:
    """Whether a tensor holds codes of a known grid, as integers or as the reals they stand for."""
    return kind.quant is not None and (kind.dtype in CODES or kind.dtype == "float32")


def activation_type(kind: TensorType, bits: int, codes: str | None = None) -> TensorType:
    """The type of an activation tensor (one scale) in `bits`; the same object where it has them.

    `codes` is the dtype of the codes where the tensor carries their reals. More bits than the dtype
    has make it int16 with zero point 0, as int16 operators want it.
    """
    if bits == kind.bits or kind.quant is None:
        return kind
    held = replace(kind, dtype=codes or kind.dtype)
    scale, zero = kind.quant.scale[0], kind.quant.zero_point[0]
    low, high = value_range(held)
    if bits < kind.bits:
        at = _narrower(scale, zero, low, kind.bits, bits)
        quant = QuantParams((float(np.float32(at[0])),), (at[1],))
        return replace(kind, bits=bits, quant=quant, limits=None)
    if bits <= DTYPE_BITS.get(held.dtype, 16):
        shift, new_zero, dtype = bits - kind.bits, zero << (bits - kind.bits), held.dtype
    else:
        half = 1 << (bits - 1)
        fits = (k for k in range(bits) if -half <= (low - zero) << k and (high - zero) << k < half)
        shift, new_zero, dtype = max(fits), 0, _WIDE
    limits = (((low - zero) << shift) + new_zero, ((high - zero) << shift) + new_zero)
    quant = QuantParams((scale / (1 << shift),), (new_zero,))
    dtype = kind.dtype if codes else dtype
    return replace(kind, dtype=dtype, bits=bits, quant=quant, limits=limits)


def weight_type(kind: TensorType, bits: int, place: str) -> TensorType:
    """The type of a weight tensor in `bits`, fewer than it has; raises Unsupported for 1."""
    if bits == kind.bits or kind.quant is None:
        return kind
    quant = kind.quant
    if kind.dtype.startswith("u") or any(quant.zero_point):
        if kind.dtype == "float32":
            raise Unsupported(
                f"{place}: weights with a zero point that are carried as reals cannot be narrowed; "
                "quantize them symmetrically"
            )
        low = value_range(kind)[0]
        pairs = [
            _narrower(s, z, low, kind.bits, bits)
            for s, z in zip(quant.scale, quant.zero_point, strict=True)
        ]
        scales = tuple(float(np.float32(s)) for s, _ in pairs)
        return replace(
            kind, bits=bits, quant=QuantParams(scales, tuple(z for _, z in pairs), quant.axis)
        )
    if bits < 2:
        raise Unsupported(
            f"{place}: symmetric weights need 2 bits; found datapath.weight_bits = {bits}. Set it "
            "to 2, or give a model with bipolar weights"
        )
    ratio = ((1 << (kind.bits - 1)) - 1) / ((1 << (bits - 1)) - 1)
    scales = tuple(float(np.float32(s * ratio)) for s in quant.scale)
    return replace(kind, bits=bits, quant=QuantParams(scales, quant.zero_point, quant.axis))


def signed_type(kind: TensorType) -> TensorType:
    """The int8 type of uint8 weights, each code and zero point less 128: no value changes."""
    assert kind.quant is not None
    zeros = tuple(z - (1 << (kind.bits - 1)) for z in kind.quant.zero_point)
    return replace(kind, dtype="int8", quant=replace(kind.quant, zero_point=zeros))


def convert(values: Array, old: TensorType, new: TensorType, least: int | None = None) -> Array:
    """The values of `old` on the grid of `new`: real values kept, ties to even, clamped.

    `least` replaces the least code of `new` (restricted weights). Reals stay reals.
    """
    if old.quant is None or new.quant is None:
        return values
    low, high = value_range(new)
    low = low if least is None else least
    s, z = (_spread(v, old) for v in (old.quant.scale, old.quant.zero_point))
    new_s, new_z = (_spread(v, new) for v in (new.quant.scale, new.quant.zero_point))
    wide = values.astype(np.float64)
    centred = np.rint(wide / s) if old.dtype == "float32" else wide - z
    # A code of 17 bits times a float32 is exact in float64, and a quotient by another float32 that
    # is no tie differs from one by more than 2^-42 of itself: ties are ties.
    codes = np.clip(np.rint(centred * s / new_s) + new_z, low, high)
    if new.dtype == "float32":
        return (codes - new_z).astype(np.float32) * new_s.astype(np.float32)
    return codes.astype(STORAGE.get(new.dtype, new.dtype))


def convert_bias(
    bias: Array, old: tuple[float, tuple[float, ...]], new: tuple[float, tuple[float, ...]]
) -> list[int]:
    """The bias in units of s_x s_w at the new scales (s_x, s_w a channel): exact, ties to even."""
    codes = []
    for channel, value in enumerate(bias.reshape(-1)):
        before, after = (
            Fraction(s_x) * Fraction(s_w[channel if len(s_w) > 1 else 0]) for s_x, s_w in (old, new)
        )
        codes.append(round(int(value) * before / after))
    return codes


def _narrower(scale: float, zero: int, low: int, bits: int, fewer: int) -> tuple[float, int]:
    """(scale, zero point) of a range from code `low` on in `fewer` bits of the same sign."""
    factor = float(1 << (bits - fewer))
    if frexp(scale)[0] != 0.5:
        factor = ((1 << bits) - 1) / ((1 << fewer) - 1)
    least = 0 if low == 0 else -(1 << (fewer - 1))
    steps = round((zero - low) / factor)
    return scale * factor, least + min(steps, (1 << fewer) - 1)


def _spread(values: tuple[float, ...] | tuple[int, ...], kind: TensorType) -> NDArray[np.float64]:
    """One value for all, or one an index of the grid's axis, in a shape that broadcasts."""
    assert kind.quant is not None
    array = np.array(values, dtype=np.float64)
    if array.size == 1:
        return array.reshape(())
    shape = [1] * len(kind.shape)
    shape[kind.quant.axis or 0] = array.size
    return array.reshape(shape)
