"""The hyperbolic tangent."""

from typing import final

from simulator.decode import require_dtypes, require_same_dtype
from simulator.graph import Source
from simulator.lookup import Lookup, sigmoid_table, tabulate
from simulator.numeric.reals import tanh
from simulator.numeric.tables import RealMap, Table
from simulator.registry import register


@register
@final
class Tanh(Lookup):
    """y = tanh(x)."""

    kind = "tanh"
    formats = ("tflite:TANH",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, activations.cc TanhPrepare"

    @classmethod
    def tabulate(cls, source: Source) -> Table:
        """8 bits, int16 and float32."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "int16", "float32"))
        require_same_dtype(source)
        dtype = source.outputs[0].dtype
        if dtype == "float32":
            return RealMap(tanh)
        if dtype == "int16":
            return sigmoid_table(source, "tanh", -11)
        return tabulate(source, tanh, ("int8", "uint8"))
