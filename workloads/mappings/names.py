"""What the loops and operands of a convolution are called by ZigZag and by Timeloop."""

from collections.abc import Mapping
from typing import Final

from simulator.errors import Unsupported

ZIGZAG_LOOPS: Final = {
    "B": "n",
    "G": "g",
    "K": "oc",
    "C": "ic",
    "OY": "oy",
    "OX": "ox",
    "FY": "ky",
    "FX": "kx",
}
ZIGZAG_OPERANDS: Final = {"O": "output", "W": "weight", "I": "input"}
TIMELOOP_LOOPS: Final = {
    "N": "n",
    "G": "g",
    "M": "oc",
    "K": "oc",
    "C": "ic",
    "P": "oy",
    "Q": "ox",
    "R": "ky",
    "S": "kx",
}
"""Filters are `M`; the short form of DOSA's files calls them `K`."""
TIMELOOP_NAMES: Final = {ours: name for name, ours in TIMELOOP_LOOPS.items() if name != "K"}
TIMELOOP_OPERANDS: Final = {"Weights": "weight", "Inputs": "input", "Outputs": "output"}


def loop_called(name: str, names: Mapping[str, str], place: str) -> str:
    """Our loop of that name; raises Unsupported, naming the place, where there is none."""
    if name not in names:
        raise Unsupported(f"{place}: '{name}' is no dimension; there are {', '.join(names)}")
    return names[name]


def only(loops: Mapping[str, int]) -> dict[str, int]:
    """Those of more than one step."""
    return {loop: factor for loop, factor in loops.items() if factor > 1}
