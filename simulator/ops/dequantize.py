"""From codes to the real values they stand for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, final

from simulator.decode import refuse, require_dtypes, single_grid
from simulator.elementwise import Elementwise
from simulator.graph import Array, Source
from simulator.numeric.codes import code_to_real
from simulator.registry import register


@register
@final
@dataclass(frozen=True)
class Dequantize(Elementwise):
    """y = f32(scale (x - zero point)).

    Not `dequantize_linear`, whose scale is an input.
    """

    kind = "dequantize"
    formats = ("tflite:DEQUANTIZE",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, integer_ops/dequantize.h"
    operations = 2
    real_multiplications = 1
    integer_operations = 1

    scale: float
    zero_point: int

    @classmethod
    def decode(cls, source: Source) -> Self:
        """8 bits or int16, to float32."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "int16"))
        y = source.outputs[0].dtype
        if y != "float32":
            refuse(source.place, "the output must be float32", y, "Use a quantize.")
        return cls(*single_grid(source.inputs[0], source.place, "the input"))

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Subtract exactly, multiply once."""
        return code_to_real(inputs[0], self.scale, self.zero_point)
