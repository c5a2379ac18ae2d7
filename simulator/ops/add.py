"""Elementwise addition of two tensors on different grids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self, final

import numpy as np

from simulator.decode import (
    DTYPE_RANGE,
    activation_range,
    present,
    require_dtypes,
    require_same_dtype,
    single_grid,
)
from simulator.errors import IllegalGraph
from simulator.graph import Array, Operator, Source, TensorType
from simulator.numeric.datapath import Datapath
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array
from simulator.registry import register
from simulator.work import Work

LEFT_SHIFT: Final = 20
"""Bits of headroom the 8-bit operands gain before they are rescaled (LiteRT add.cc)."""


@register
@final
@dataclass(frozen=True)
class Add(Operator):
    """y = clamp(requantize(rescale(x1 - z1) + rescale(x2 - z2)) + zy), NumPy broadcasting.

    Both operands are shifted left by 20 and brought onto the grid of twice the larger scale, so
    that their sum fits 32 bits.
    """

    kind = "add"
    formats = ("tflite:ADD",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference_integer_ops::Add"

    zero_points: tuple[int, int]
    rescale: tuple[Requantize, Requantize]
    requantize: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """Scales divide in double: s / T with T = 2 max(s1, s2), and T / (2^20 s_out)."""
        require_dtypes(source.place, source.inputs[:2], ("int8",))
        require_same_dtype(source)
        grids = [single_grid(source.inputs[i], source.place, f"input {i}") for i in (0, 1)]
        y_scale, y_zero = single_grid(source.outputs[0], source.place, "the output")
        dtype = source.outputs[0].dtype
        rounding = source.dialect.rule(cls.kind, dtype).rounding
        twice_larger = 2.0 * max(scale for scale, _ in grids)
        low, high = activation_range(
            source.place, source.options["fused_activation_function"], y_scale, y_zero, dtype
        )
        first, second = (
            make_requantize(rounding, (scale / twice_larger,), 0, *DTYPE_RANGE["int32"])
            for scale, _ in grids
        )
        return cls(
            zero_points=(grids[0][1], grids[1][1]),
            rescale=(first, second),
            requantize=make_requantize(
                rounding, (twice_larger / ((1 << LEFT_SHIFT) * y_scale),), y_zero, low, high
            ),
            dtype=dtype,
        )

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse shapes that do not broadcast."""
        a, b = present(inputs, 0).shape, present(inputs, 1).shape
        try:
            np.broadcast_shapes(a, b)
        except ValueError:
            raise IllegalGraph(f"shapes {a} and {b} do not broadcast") from None

    def infer(self, inputs: Sequence[TensorType | None]) -> tuple[tuple[int, ...], ...]:
        """The broadcast shape."""
        return (np.broadcast_shapes(present(inputs, 0).shape, present(inputs, 1).shape),)

    def run(self, inputs: Sequence[Array | None], datapath: Datapath) -> tuple[Array, ...]:
        """Rescale both, add, requantize."""
        total = sum(
            requantize_array(
                (present(inputs, i).astype(np.int32).reshape(-1, 1) - self.zero_points[i])
                << LEFT_SHIFT,
                self.rescale[i],
                "int32",
            ).reshape(present(inputs, i).shape)
            for i in (0, 1)
        )
        total = np.asarray(total)
        out = requantize_array(total.reshape(-1, 1), self.requantize, self.dtype)
        return (out.reshape(total.shape),)

    def work(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> Work:
        """Three requantizations and one addition an output."""
        return Work(
            activation_bits=present(inputs, 0).bits,
            output_bits=outputs[0].bits,
            input_elements=present(inputs, 0).elements + present(inputs, 1).elements,
            output_elements=outputs[0].elements,
            elementwise=outputs[0].elements,
            requantizations=3 * outputs[0].elements,
        )
