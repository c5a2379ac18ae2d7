"""Reduce min: the smallest code along axes."""

from typing import final

from simulator.graph import Array
from simulator.reduction import Extreme
from simulator.registry import register


@register
@final
class ReduceMin(Extreme):
    """y = min of x over the axes."""

    kind = "reduce_min"
    formats = ("tflite:REDUCE_MIN",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reduce.cc"

    def reduce(self, x: Array) -> Array:
        """The minima."""
        smallest: Array = x.min(axis=self.axes)
        return smallest
