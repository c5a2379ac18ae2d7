"""What RELU and its bounded kin share: rescale to the output's grid, and clamp."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from simulator.decode import activation_range, value_range
from simulator.elementwise import Elementwise, centred, scale_ratio, unary_grids
from simulator.graph import Array, Source
from simulator.numeric.requantize import Requantize, make_requantize, requantize_array


@dataclass(frozen=True)
class Rectifier(Elementwise):
    """y = clamp(requantize(x - zx) + zy), the clamp being that of an activation function."""

    requantizations = 1
    dtypes: ClassVar[tuple[str, ...]] = ("int8", "uint8", "int16")
    activation: ClassVar[str]
    """The name that the clamp has as a fused activation function."""

    zero_point: int
    requantize: Requantize
    dtype: str

    @classmethod
    def decode(cls, source: Source) -> Self:
        """In the form `clamp_only` the codes stay on the input's grid, whatever the output's is."""
        grids, dtype = unary_grids(source, cls.dtypes), source.outputs[0].dtype
        x, y = (grids.x_scale, grids.x_zero_point), (grids.y_scale, grids.y_zero_point)
        if source.dialect.form(cls.kind, "rescale") == "clamp_only":
            y = x
        limits = value_range(source.outputs[0])
        clamp = activation_range(source.place, cls.activation, *y, limits)
        rule = source.dialect.rule(cls.kind, dtype)
        scale = scale_ratio(source, rule.scale, x[0], 1.0, y[0])
        return cls(x[1], make_requantize(rule.rounding, (scale,), y[1], *clamp), dtype)

    def compute(self, inputs: Sequence[Array]) -> Array:
        """Rescale and clamp."""
        return requantize_array(centred(inputs[0], self.zero_point), self.requantize, self.dtype)
