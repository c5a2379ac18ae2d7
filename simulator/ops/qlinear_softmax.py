"""QLinearSoftmax: softmax of 8-bit codes by a table of exponentials."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from typing import ClassVar, Final, Self, final

import numpy as np

from simulator.decode import present, require_dtypes, single_grid, value_range
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise
from simulator.registry import register

RESERVED: Final = 5.0
"""Headroom below the logarithm of the largest float32 sum (qlinear_softmax.cc)."""


@register
@final
@dataclass(frozen=True)
class QLinearSoftmax(Pointwise):
    """y = round(f32(f32(e m) / sum e)) + z_y over the last `axes`, m = floor(1 / s_y).

    e = f32(exp(s_x (x - max) + h)) with a fixed headroom h, added up in order in float32. Not
    `softmax`: no fixed point. `lift` as in `qlinear_add`. From m of 148 times the length on, e m
    overflows float32, and the runtime converts infinity to an integer as x86 does; so do we.
    """

    kind = "qlinear_softmax"
    formats = ("onnx:com.microsoft.QLinearSoftmax",)
    reference = "ONNX Runtime 1.31.1, contrib_ops/cpu/quantization/qlinear_softmax.cc"
    in_place = "never"
    # Maximum and difference of codes; the sum, two products and a rounding of reals.
    operations: ClassVar[int] = 6
    real_multiplications: ClassVar[int] = 2
    integer_operations: ClassVar[int] = 2
    lookups: ClassVar[int] = 1
    real: ClassVar[bool] = True
    requantizes: ClassVar[bool] = True

    table: tuple[float, ...]
    axes: int
    multiple: float
    zero_point: int
    lift: int
    least: int
    low: int
    high: int
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options axes (how many trailing ones are one distribution) and lift."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8"))
        x, y, axes = present(source.inputs, 0), source.outputs[0], source.options["axes"]
        scale, _ = single_grid(x, source.place, "the input")
        y_scale, y_zero = single_grid(y, source.place, "the output")
        length = int(np.prod(x.shape[len(x.shape) - axes :]))
        largest = np.float32(np.finfo(np.float32).max) / np.float32(length)
        # The runtime takes this logarithm in float32: the table's roundings hang on it.
        headroom = max(0.0, float(np.float32(log(float(largest)))) - RESERVED) / scale
        table = tuple(float(np.float32(exp((i - 255 + headroom) * scale))) for i in range(256))
        multiple = float(np.floor(np.float32(1) / np.float32(y_scale)))
        lift = int(source.options.get("lift", 0))
        return cls(
            *(table, axes, multiple, y_zero, lift),
            *(value_range(x)[0], *value_range(y), y.dtype),
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse fewer dimensions than are normalised."""
        if not 1 <= self.axes <= len(present(inputs, 0).shape):
            raise IllegalGraph(f"softmax over {self.axes} axes of {present(inputs, 0).shape}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Row by row."""
        x = present(inputs, 0)
        lead = x.shape[: x.ndim - self.axes]
        rows = x.reshape(int(np.prod(lead)), -1).astype(np.int64) - self.least
        entries = np.array(self.table, dtype=np.float32)
        e = entries[rows + 255 - rows.max(axis=1, keepdims=True)]
        # accumulate adds in order, as the runtime's loop does; sum would add pairwise.
        total = np.add.accumulate(e, axis=1, dtype=np.float32)[:, -1:]
        real = np.rint(e * np.float32(self.multiple) / total)
        finite = np.isfinite(real)
        whole = np.where(finite, real, 0).astype(np.int64)
        if self.dtype == "int8" and not self.lift:
            # cvttss2si gives INT32_MIN, to which a negative zero point wraps.
            overflowed = self.high if self.zero_point < 0 else self.low
            shifted = np.clip(whole + self.zero_point, self.low, self.high)
            codes = np.where(finite, shifted, overflowed)
        else:
            codes = np.minimum(whole + self.zero_point, self.high)
        return np.asarray(codes).astype(self.dtype).reshape(x.shape)
