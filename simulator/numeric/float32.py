"""Single-precision steps that fast runtimes take between integers, each rounding written out.

All arrays are numpy's; the results do not depend on the instruction set.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]


def fused_multiply_add(a: NDArray[Any], b: NDArray[Any], c: NDArray[Any]) -> Float32s:
    """The float32 nearest to a * b + c, rounded once (IEEE 754 fusedMultiplyAdd).

    The product is exact in double. The sum is rounded to odd there (Boldo and Melquiond, "Emulation
    of FMA and correctly rounded sums", IEEE Trans. Comput. 57(4), 2008, Theorem 1), so that the
    second rounding, to float32, equals a single one.
    """
    product = a.astype(np.float64) * b.astype(np.float64)
    addend = np.broadcast_to(c.astype(np.float64), np.broadcast_shapes(product.shape, c.shape))
    total = np.atleast_1d(product + addend)
    # Knuth's TwoSum: total + error is the exact sum.
    part = total - product
    error = (product - (total - part)) + (addend - part)
    even = (total.view(np.int64) & 1) == 0
    odd = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    rounded = np.where((error != 0) & even & np.isfinite(total), odd, total)
    return rounded.astype(np.float32).reshape(addend.shape)


def round_to_grid(
    real: NDArray[Any] | np.floating[Any], zero_point: NDArray[Any] | int, low: int, high: int
) -> NDArray[np.int64]:
    """clamp(round(real) + zero_point, low, high), ties to even; NaN becomes `low`.

    Clamped before it is rounded, as vector code does, so that nothing overflows.
    """
    zero = np.asarray(zero_point, dtype=np.int64)
    wide = np.nan_to_num(real.astype(np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    return np.asarray(np.rint(np.clip(wide, low - zero, high - zero)).astype(np.int64) + zero)


@dataclass(frozen=True)
class Minifloat:
    """A small float format: `mantissa` stored bits, least normal exponent, greatest finite value.

    `overflow` is what a value beyond the greatest becomes where it does not saturate.
    """

    bits: int
    mantissa: int
    least_exponent: int
    greatest: float
    overflow: float


MINIFLOATS: Final = {
    "float8e4m3fn": Minifloat(8, 3, -6, 448.0, float("nan")),
    "float8e4m3fnuz": Minifloat(8, 3, -7, 240.0, float("nan")),
    "float8e5m2": Minifloat(8, 2, -14, 57344.0, float("inf")),
    "float8e5m2fnuz": Minifloat(8, 2, -15, 57344.0, float("nan")),
    "float4e2m1": Minifloat(4, 1, 0, 6.0, 6.0),
}
"""By ONNX's name (onnx docs/docsgen/source/technical/float8.md and float4.md)."""


def round_to_minifloat(real: NDArray[Any], name: str, *, saturate: bool) -> Float32s:
    """The nearest value of a small float format, ties to even, as float32."""
    form = MINIFLOATS[name]
    wide = real.astype(np.float64)
    finite = np.nan_to_num(wide, nan=0.0, posinf=0.0, neginf=0.0)
    _, exponent = np.frexp(finite)
    step = np.ldexp(1.0, np.maximum(exponent - 1, form.least_exponent) - form.mantissa)
    rounded = np.where(np.isfinite(wide), np.rint(finite / step) * step, wide)
    too_large = np.abs(rounded) > form.greatest
    beyond = np.copysign(form.greatest if saturate else form.overflow, rounded)
    return np.where(too_large, beyond, rounded).astype(np.float32)
