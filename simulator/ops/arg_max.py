"""Arg max: where the largest element stands."""

from typing import final

from simulator.graph import Array
from simulator.reduction import Arg
from simulator.registry import register


@register
@final
class ArgMax(Arg):
    """The index of the largest element along an axis, the first of equals."""

    kind = "arg_max"
    formats = ("tflite:ARG_MAX",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/arg_min_max.h"

    def find(self, x: Array) -> Array:
        """The indices."""
        indices: Array = x.argmax(axis=self.axis)
        return indices
