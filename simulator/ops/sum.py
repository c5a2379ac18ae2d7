"""Sum over axes, rescaled to the output's grid."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np

from simulator.decode import DTYPE_RANGE, present
from simulator.graph import DTYPE_BITS, Array, Source
from simulator.numeric.affine import Affine
from simulator.numeric.requantize import Requantize, make_requantize
from simulator.reduction import Total, TotalSource, decode_total
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Sum(Total):
    """y = clamp((sum of x - zx) s_x / s_y + zy).

    With `as_bytes` (a defect of LiteRT's reference kernel, reduce.cc:628) int8 and int16 tensors
    are read and written as uint8: the first bytes of the input count as codes from 0 to 255, and
    of an int16 output only the first half is written. The rest is what the memory held; here, 0.
    """

    kind = "sum"
    formats = ("tflite:SUM",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/reduce.h QuantizedMeanOrSum"

    as_bytes: bool

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant axes and the option keep_dims; the dialect's form, or its defect."""
        total = decode_total(source)
        dtype = total.dtype
        # A narrower tensor is no LiteRT tensor: the defect is not carried over.
        whole = present(source.inputs, 0).bits == DTYPE_BITS[dtype]
        as_bytes = cls.kind in source.dialect.defects and dtype != "uint8" and whole
        rescale: Requantize | Affine
        if source.dialect.form(cls.kind, "fixed_point") == "float32":
            rescale = _single(total)
        else:
            rounding = source.dialect.rule(cls.kind, dtype).rounding
            limits = DTYPE_RANGE["uint8"] if as_bytes else total.limits
            rescale = make_requantize(rounding, (total.x[0] / total.y[0],), total.y[1], *limits)
        return cls(total.axes, total.keep_dims, rescale, total.x[1], dtype, as_bytes)

    def reduce(self, x: Array) -> Array:
        """Sum and rescale, through bytes where the runtime mistakes the dtype."""
        if not self.as_bytes:
            return self.rescaled(x, self.dtype)
        first = np.ascontiguousarray(x).reshape(-1).view(np.uint8)[: x.size].reshape(x.shape)
        codes = self.rescaled(first, "uint8")
        out = np.zeros(codes.shape, dtype=self.dtype)
        out.reshape(-1).view(np.uint8)[: codes.size] = codes.reshape(-1)
        return out


def _single(total: TotalSource) -> Affine:
    """The default resolver: 8-bit sums in XNNPACK, ties to even; int16 in TFLite, ties away.

    XNNPACK src/operators/reduce-nd.c; LiteRT optimized/reduce.h QuantizedMeanOrSum.
    """
    ratio = np.float32(total.x[0]) / np.float32(total.y[0])
    offset = -np.float32(total.x[1]) * ratio * np.float32(total.count)
    limits = total.limits
    if total.dtype == "int16":
        return Affine(float(ratio), float(offset), "away", total.y[1], *limits)
    return Affine(float(ratio), float(np.float32(total.y[1]) + offset), "even", 0, *limits)
