"""The integer algebra of zero points: the sum of products in four terms, and what a bias takes.

sum (w - zw)(x - zx) = sum w x - zw sum x - zx sum w + n zw zx over n taps: Krishnamoorthi 2018
(arXiv 1806.08342) section 2.1 eq. 4-6 with n, which it leaves out; Nagel et al. 2021 (arXiv
2106.08295) section 2.4.1. All in int64, exact; sums that could leave it are refused.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from simulator.errors import IllegalValues
from workloads.quantize.quantizer import Array

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Terms:
    """The parts of sums of products over raw codes, for each row of x and channel of w.

    products : sum w x, (..., channels).
    activation_sums : sum x, (..., 1), one for all channels of a row; known at run time alone.
    weight_sums : sum w, (channels,), known beforehand.
    taps : n.
    """

    products: Integers
    activation_sums: Integers
    weight_sums: Integers
    taps: int

    def total(self, x_zero: int, w_zero: int | Array, *, erratum_eq6: bool = False) -> Integers:
        """The sums of (w - zw)(x - zx), (..., channels); `w_zero` is one or one per channel.

        `erratum_eq6` leaves out n, as equation 6 is printed: right for one tap alone.
        """
        w_zero = np.asarray(w_zero, dtype=np.int64)
        count = 1 if erratum_eq6 else self.taps
        static = count * w_zero * x_zero - x_zero * self.weight_sums
        return np.asarray(self.products - w_zero * self.activation_sums + static)


def expand(x: Array, w: Array) -> Terms:
    """The terms of x (..., taps) and w (channels, taps), raw codes of up to 16 bits."""
    wide_x, wide_w = _integers(x), _integers(w)
    taps = wide_x.shape[-1]
    if wide_w.ndim != 2 or wide_w.shape[1] != taps:
        raise IllegalValues(f"x {x.shape} and w {w.shape} must agree in their last axis, the taps")
    return Terms(wide_x @ wide_w.T, wide_x.sum(axis=-1, keepdims=True), wide_w.sum(axis=-1), taps)


def real_sums(
    terms: Terms,
    x_zero: int,
    w_zero: int | Array,
    x_scale: float,
    w_scale: float | Array,
    *,
    erratum_eq5: bool = False,
) -> NDArray[np.float64]:
    """The sums in reals, x_scale * w_scale * total; `erratum_eq5` leaves the scales out."""
    total = terms.total(x_zero, w_zero).astype(np.float64)
    return total if erratum_eq5 else np.asarray(total * (x_scale * np.asarray(w_scale)))


def folded_bias(
    bias: Array, w: Array, x_zero: int, w_zero: int | Array = 0, *, bits: int = 32
) -> Integers:
    """The bias - zx sum w + n zx zw per channel: what is known beforehand, taken into the bias.

    bias (channels,), w raw codes (channels, taps). With zw = 0, sum w x + this is the whole sum;
    else zw sum x is left to subtract. Padding must then hold zx. Raises IllegalValues where a
    channel leaves `bits` bits.
    """
    wide = _integers(w)
    zero = np.broadcast_to(np.asarray(w_zero, dtype=np.int64), wide.shape[:1])
    folded = np.asarray(bias, dtype=np.int64) - x_zero * (wide.sum(axis=1) - wide.shape[1] * zero)
    limit = 2 ** (bits - 1)
    over = np.flatnonzero((folded < -limit) | (folded >= limit))
    if over.size:
        raise IllegalValues(
            f"channel {over[0]}: the bias with the zero point folded in is {folded[over[0]]}, "
            f"which {bits} bits do not hold; subtract the zero point before the product"
        )
    return np.asarray(folded)


def quantize_bias(bias: Array, x_scale: float, w_scales: Array, *, bits: int = 32) -> Integers:
    """round(bias / (x_scale * w_scale)) per channel, int64 values of `bits`, ties to even.

    Exact: the product of the scales and the quotient are rationals. Saturates at `bits`.
    """
    if not np.isfinite(bias).all():
        raise IllegalValues("a bias must be finite; found NaN or infinity")
    scales = np.broadcast_to(np.asarray(w_scales, dtype=np.float64).reshape(-1), bias.shape)
    exact = (
        round(Fraction(float(b)) / (Fraction(x_scale) * Fraction(float(s))))
        for b, s in zip(bias.tolist(), scales.tolist(), strict=True)
    )
    least, most = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return np.array([min(max(v, least), most) for v in exact], dtype=np.int64)


def windows(
    x: Array,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    dilations: tuple[int, int] = (1, 1),
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    fill: int = 0,
) -> Array:
    """The taps of every output of a convolution: (n, oy, ox, ky, kx, ic) of x (n, y, x, ic).

    Padding holds `fill`: the zero point where x are raw codes, so that it stands for the real 0.
    """
    padded = np.pad(x, ((0, 0), *padding, (0, 0)), constant_values=fill)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    if reach[0] > padded.shape[1] or reach[1] > padded.shape[2]:
        raise IllegalValues(f"a window of {reach} does not fit the padded {padded.shape[1:3]}")
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    taken = views[:, :: strides[0], :: strides[1], :, :: dilations[0], :: dilations[1]]
    return np.moveaxis(taken, 3, 5)


def max_taps(
    weights: tuple[int, int], activations: tuple[int, int], bits: int, bias: int = 0
) -> int:
    """The most taps whose sum never leaves `bits` bits; codes less their zero points, as ranges.

    ``floor((2^(bits-1) - 1 - bias) / greatest product)`` and the same below. Tight: at one tap more
    some codes overflow. Not the audit (`analysis.accumulators`), which knows the weights.
    """
    ends: list[int] = [w * x for w in weights for x in activations]
    room = (1 << (bits - 1)) - 1 - bias, (1 << (bits - 1)) + bias
    limits = [r // p for r, p in zip(room, (max(ends), -min(ends)), strict=True) if p > 0]
    if min(room) < 0:
        raise IllegalValues(f"a bias of {bias} alone leaves {bits} bits")
    if not limits:
        raise IllegalValues("every product is 0; any number of taps fits")
    return min(limits)


def _integers(codes: Array) -> Integers:
    if codes.dtype.kind not in "iu":
        raise IllegalValues(f"the algebra is of integer codes; found {codes.dtype}")
    widest = max(-int(codes.min()), int(codes.max())) if codes.size else 0
    # Two codes less their zero points, of 2^17 each, and 2^28 taps: below 2^63.
    if widest > 2**16 or codes.shape[-1] > 2**28:
        raise IllegalValues("codes must be of 16 bits and the taps below 2^28")
    return codes.astype(np.int64)
