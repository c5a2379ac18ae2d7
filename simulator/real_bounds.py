"""What operators on real values take from a file's node: their dtypes, a fused activation."""

from math import inf
from types import MappingProxyType
from typing import Final

from simulator.decode import refuse
from simulator.graph import Source
from simulator.numeric.bounds import UNBOUNDED, Bounds, within

REALS: Final = ("float32", "float64")
"""The dtypes of real operands: float64 is for reference runs."""

ACTIVATIONS: Final = MappingProxyType(
    {
        "NONE": UNBOUNDED,
        "RELU": (0.0, inf),
        "RELU6": (0.0, 6.0),
        "RELU_N1_TO_1": (-1.0, 1.0),
    }
)
"""Bounds by the names of TFLite's fused activations."""


def bounds_of(source: Source) -> Bounds:
    """From the options fused_activation_function (TFLite) and bounds; raises Unsupported."""
    name = source.options.get("fused_activation_function", "NONE")
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        rule = f"the fused activation of real values must be one of {known}"
        refuse(source.place, rule, name, "Export it as its own op.")
    return within(ACTIVATIONS[name], source.options.get("bounds", UNBOUNDED))
