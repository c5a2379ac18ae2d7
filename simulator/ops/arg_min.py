"""Arg min: where the smallest element stands."""

from typing import final

from simulator.graph import Array
from simulator.reduction import Arg
from simulator.registry import register


@register
@final
class ArgMin(Arg):
    """The index of the smallest element along an axis, the first of equals."""

    kind = "arg_min"
    formats = ("tflite:ARG_MIN",)
    reference = "LiteRT 2.3.0 BUILTIN_REF, reference/arg_min_max.h"

    def find(self, x: Array) -> Array:
        """The indices."""
        indices: Array = x.argmin(axis=self.axis)
        return indices
