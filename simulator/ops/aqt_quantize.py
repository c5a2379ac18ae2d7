"""AQT's quantizer of activations: real values times a scale, to integer codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self, final

import numpy as np

from simulator.decode import present, refuse, require_dtypes
from simulator.errors import IllegalGraph
from simulator.graph import Array, Source, TensorType
from simulator.pointwise import Pointwise, check_parameter, spread_parameter
from simulator.registry import register

FORMS: Final = ("signed", "unsigned")


@register
@final
@dataclass(frozen=True)
class AqtQuantize(Pointwise):
    """signed: y = floor(clip(x s, +-(2^(b-1)-1)) + 1/2); unsigned: y = clip(floor(x s), 0, 2^b-1).

    Inputs x and s, one or one a channel of the last axis; each step rounded to float32 (arXiv
    2105.03536 section 3; google/aqt, jax_legacy). Not `quantize_linear`, which divides by a step,
    rounds to even, and has a zero point.
    """

    kind = "aqt_quantize"
    formats = ("aqt:Quantize",)
    reference = "google/aqt jax_legacy, quant_config: x s, clip, floor(x + 1/2) or floor, float32"
    operations: ClassVar[int] = 4
    real_multiplications: ClassVar[int] = 1
    requantizes: ClassVar[bool] = True

    form: str
    bits: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """From the options form and bits."""
        require_dtypes(source.place, source.inputs, ("float32",))
        form, bits = source.options["form"], int(source.options["bits"])
        if form not in FORMS or not (2 if form == "signed" else 1) <= bits <= 8:
            refuse(
                source.place,
                "AQT's codes are signed of 2 to 8 bits or unsigned of 1 to 8",
                f"{form}, {bits} bits",
                "Give one of these.",
            )
        return cls(form, bits)

    @property
    def dtype(self) -> str:
        """The storage type of the codes."""
        return "int8" if self.form == "signed" else "uint8"

    def check(self, inputs: Sequence[TensorType | None], outputs: Sequence[TensorType]) -> None:
        """Refuse scales that do not lie along the last axis, and another output dtype."""
        x = present(inputs, 0)
        check_parameter(present(inputs, 1), "the scale", x.shape, len(x.shape) - 1, 0)
        if outputs[0].dtype != self.dtype:
            raise IllegalGraph(f"the output must be {self.dtype}; found {outputs[0].dtype}")

    def compute(self, inputs: Sequence[Array | None]) -> Array:
        """Multiply, clip, round as the form says; NaN has code 0."""
        x, scale = present(inputs, 0), present(inputs, 1)
        scaled = np.nan_to_num(
            x * spread_parameter(scale, x.shape, x.ndim - 1, 0), nan=0.0, posinf=None, neginf=None
        )
        if self.form == "unsigned":
            codes = np.clip(np.floor(scaled), 0, 2**self.bits - 1)
        else:
            top = np.float32(2 ** (self.bits - 1) - 1)
            codes = np.floor(np.clip(scaled, -top, top) + np.float32(0.5))
        return np.asarray(codes.astype(self.dtype))
