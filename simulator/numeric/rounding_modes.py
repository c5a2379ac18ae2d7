"""The rounding modes that QONNX nodes name, on float arrays."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


def _away(x: Floats) -> Floats:
    return np.asarray(np.sign(x) * np.ceil(np.abs(x)))


def _half_away(x: Floats) -> Floats:
    return np.asarray(np.sign(x) * np.floor(np.abs(x) + x.dtype.type(0.5)))


def _half_towards_zero(x: Floats) -> Floats:
    return np.asarray(np.sign(x) * np.ceil(np.abs(x) - x.dtype.type(0.5)))


ROUNDING_MODES: Final[MappingProxyType[str, Callable[[Floats], Floats]]] = MappingProxyType(
    {
        "ROUND": np.rint,
        "HALF_EVEN": np.rint,
        "CEIL": np.ceil,
        "FLOOR": np.floor,
        "UP": _away,
        "DOWN": np.trunc,
        "ROUND_TO_ZERO": np.trunc,
        "HALF_UP": _half_away,
        "HALF_DOWN": _half_towards_zero,
    }
)
"""By QONNX's name (qonnx 1.0.0 intquant.py): UP is away from zero, HALF_UP half away from zero."""
