"""Gaussian error linear unit."""

import math
from typing import Final, final

import numpy as np

from simulator.graph import Source
from simulator.lookup import Lookup, tabulate
from simulator.numeric.reals import Reals, erfc, tanh
from simulator.numeric.tables import Table
from simulator.registry import register

MINUS_SQRT_HALF: Final = np.float32(-math.sqrt(0.5))
SQRT_2_OVER_PI: Final = np.float32(math.sqrt(2 / math.pi))
CUBIC: Final = np.float32(0.044715)


def _exact(x: Reals) -> Reals:
    return np.asarray(np.float32(0.5) * x * erfc(x * MINUS_SQRT_HALF))


def _approximate(x: Reals) -> Reals:
    inner = SQRT_2_OVER_PI * (x + CUBIC * x * x * x)
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + tanh(inner)))


@register
@final
class Gelu(Lookup):
    """y = x Phi(x), or with `approximate` x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2."""

    kind = "gelu"
    formats = ("tflite:GELU",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/gelu.h"

    @classmethod
    def tabulate(cls, source: Source) -> Table:
        """8 bits and int16, by the option approximate."""
        function = _approximate if source.options.get("approximate", False) else _exact
        return tabulate(source, function, ("int8", "uint8", "int16"))
