"""The logistic function."""

from typing import final

import numpy as np

from simulator.decode import refuse, require_dtypes, require_same_dtype, single_grid
from simulator.graph import Source
from simulator.lookup import Lookup, sigmoid_table, tabulate
from simulator.numeric.reals import Reals, exp, logistic
from simulator.numeric.tables import RealMap, Table
from simulator.registry import register

ALMOST_ONE = np.float32(16.619047164916992188)
ALMOST_ZERO = np.float32(-9.0)


def _real(x: Reals) -> Reals:
    # Beyond these bounds reference/logistic.h takes the nearer limit: 1, or exp(x).
    inside = logistic(np.clip(x, ALMOST_ZERO, ALMOST_ONE))
    limit = np.where(x > ALMOST_ONE, np.float32(1), exp(np.minimum(x, ALMOST_ONE)))
    return np.where((x > ALMOST_ONE) | (x < ALMOST_ZERO), limit, inside)


@register
@final
class Logistic(Lookup):
    """y = 1 / (1 + exp(-x))."""

    kind = "logistic"
    formats = ("tflite:LOGISTIC",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, activations.cc SigmoidPrepare"

    @classmethod
    def tabulate(cls, source: Source) -> Table:
        """8 bits, int16 and float32."""
        require_dtypes(source.place, source.inputs[:1], ("int8", "uint8", "int16", "float32"))
        require_same_dtype(source)
        dtype = source.outputs[0].dtype
        if dtype == "float32":
            return RealMap(_real)
        if dtype == "int16":
            return sigmoid_table(source, "logistic", -12)
        scale, _ = single_grid(source.outputs[0], source.place, "the output")
        levels = 1 << source.outputs[0].bits
        if scale != 1 / levels:
            rule = f"the output scale must be 1/{levels}"
            refuse(source.place, rule, scale, "Requantize the output.")
        return tabulate(source, logistic, ("int8", "uint8"))
