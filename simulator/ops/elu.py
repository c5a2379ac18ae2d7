"""Exponential linear unit."""

from typing import final

import numpy as np

from simulator.graph import Source
from simulator.lookup import Lookup, tabulate
from simulator.numeric.reals import Reals, exp, expm1
from simulator.numeric.tables import Table
from simulator.registry import register


def _by_expm1(x: Reals) -> Reals:
    return np.where(x < 0, expm1(np.minimum(x, 0)), x)


def _by_exp(x: Reals) -> Reals:
    return np.where(x < 0, exp(np.minimum(x, 0)) - np.float32(1), x)


@register
@final
class Elu(Lookup):
    """y = x where x >= 0, else exp(x) - 1."""

    kind = "elu"
    formats = ("tflite:ELU",)
    reference = "LiteRT 2.3.0 BUILTIN_WITHOUT_DEFAULT_DELEGATES (not in BUILTIN_REF), EluPrepare"

    @classmethod
    def tabulate(cls, source: Source) -> Table:
        """int8; tflite-micro subtracts 1 in float32, LiteRT calls expm1."""
        by_exp = source.dialect.form(cls.kind, "expm1") == "exp"
        return tabulate(source, _by_exp if by_exp else _by_expm1, ("int8",))
