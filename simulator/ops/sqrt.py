"""The square root."""

from typing import final

from simulator.decode import value_range
from simulator.elementwise import unary_grids
from simulator.graph import Source
from simulator.lookup import Lookup
from simulator.numeric.roots import NotNegative, TruncatedRoot
from simulator.numeric.tables import Table
from simulator.registry import register


@register
@final
class Sqrt(Lookup):
    """y = sqrt(x), cut (not rounded) to the output's grid; x must be >= 0."""

    kind = "sqrt"
    formats = ("tflite:SQRT",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, elementwise.cc SqrtEvalQuantized"

    @classmethod
    def tabulate(cls, source: Source) -> Table:
        """int8 and int16."""
        grids, dtype = unary_grids(source, ("int8", "int16")), source.outputs[0].dtype
        root = TruncatedRoot(grids, *value_range(source.outputs[0]), dtype)
        return NotNegative(root, grids.x_zero_point)
