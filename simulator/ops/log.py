"""The natural logarithm."""

from typing import final

import numpy as np

from simulator.decode import value_range
from simulator.elementwise import unary_grids
from simulator.graph import Source
from simulator.lookup import Lookup, tabulate
from simulator.numeric.reals import Reals, log
from simulator.numeric.tables import Table
from simulator.registry import register


@register
@final
class Log(Lookup):
    """y = log(x); where x <= 0, the least real value of the output's grid."""

    kind = "log"
    formats = ("tflite:LOG",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, elementwise.cc LogLUTPrepare"

    @classmethod
    def tabulate(cls, source: Source) -> Table:
        """int8 and int16."""
        dtypes = ("int8", "int16")
        grids = unary_grids(source, dtypes)
        low, _ = value_range(source.outputs[0])
        least = np.float32(low - grids.y_zero_point) * np.float32(grids.y_scale)

        def bounded(x: Reals) -> Reals:
            return np.where(x > 0, log(np.maximum(x, np.float32(0))), least)

        return tabulate(source, bounded, dtypes)
