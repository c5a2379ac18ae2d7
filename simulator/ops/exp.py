"""The exponential function."""

from typing import final

from simulator.graph import Source
from simulator.lookup import Lookup, tabulate
from simulator.numeric.reals import exp
from simulator.numeric.tables import Table
from simulator.registry import register


@register
@final
class Exp(Lookup):
    """y = exp(x)."""

    kind = "exp"
    formats = ("tflite:EXP",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, exp.cc"

    @classmethod
    def tabulate(cls, source: Source) -> Table:
        """int8 and int16."""
        return tabulate(source, exp, ("int8", "int16"))
