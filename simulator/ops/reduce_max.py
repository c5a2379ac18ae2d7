"""Reduce max: the largest code along axes."""

from typing import final

from simulator.graph import Array
from simulator.reduction import Extreme
from simulator.registry import register


@register
@final
class ReduceMax(Extreme):
    """y = max of x over the axes."""

    kind = "reduce_max"
    formats = ("tflite:REDUCE_MAX",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reduce.cc"

    def reduce(self, x: Array) -> Array:
        """The maxima."""
        largest: Array = x.max(axis=self.axes)
        return largest
