"""Bilinear resize: each output element a weighted mean of four."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self, final

import numpy as np

from simulator.decode import require_dtypes
from simulator.graph import Array, Source
from simulator.numeric.interpolation import (
    AxisTable,
    bilinear_fixed,
    bilinear_float32,
    float32_table,
    q10_table,
    q11_table,
)
from simulator.registry import register
from simulator.resize import Resize, decode_size, refuse_both

Form = Literal["q10", "q11", "float32"]

_TABLES: Final[dict[Form, Callable[[int, int, bool, bool], AxisTable]]] = {
    "q10": q10_table,
    "q11": q11_table,
    "float32": float32_table,
}


@register
@final
@dataclass(frozen=True)
class ResizeBilinear(Resize):
    """y = sum of the four neighbours' codes times their weights, on the input's own grid.

    `form` says in which arithmetic: Q10 weights and ties away from zero, Q11 and ties up, or
    float32 with a half added and the fraction cut.
    """

    kind = "resize_bilinear"
    formats = ("tflite:RESIZE_BILINEAR",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/resize_bilinear.h"
    operations: ClassVar[int] = 8  # 4 products, 3 additions and a rounding

    form: Form

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Constant size; the form follows from the dialect and the dtype."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "int16"))
        size, align_corners, half_pixel = decode_size(source)
        refuse_both(source, align_corners, half_pixel)
        dtype = source.outputs[0].dtype
        form: Form = "float32" if dtype == "uint8" else "q10"
        if source.dialect.form(cls.kind, form) == "q11" and dtype != "int16":
            form = "q11"
        return cls(size, align_corners, half_pixel, form)

    def resample(self, x: Array) -> Array:
        """Interpolate along both axes at once."""
        out = np.empty((x.shape[0], *self.size, x.shape[3]), dtype=x.dtype)
        rows, columns = (
            _TABLES[self.form](n, m, self.align_corners, self.half_pixel)
            for n, m in zip(x.shape[1:3], self.size, strict=True)
        )
        if self.form == "float32":
            bilinear_float32(x, rows, columns, out)
        else:
            bits, away = (10, True) if self.form == "q10" else (11, False)
            bilinear_fixed(x, rows, columns, bits, away, out)
        return out
