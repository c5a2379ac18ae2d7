"""Dialects: how one runtime derives multipliers and rounds, held as data.

The importer asks the dialect for a rounding by operator; no kernel ever asks which dialect it runs.
Facts: LiteRT@f67457790c9c tflite/kernels (integer_ops/fully_connected.h:123, kernel_util.cc:258),
tflite-micro@90b983c2b3f1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from simulator.errors import Unsupported

Rounding = Literal["double_round", "single_round", "float64_away"]


@dataclass(frozen=True)
class Dialect:
    """The arithmetic of one runtime; `requantize` is the rounding per operator kind."""

    name: str
    runtime: str
    requantize: Mapping[str, Rounding]
    default: Rounding

    def rounding(self, kind: str) -> Rounding:
        """The requantization rounding of an operator kind."""
        return self.requantize.get(kind, self.default)


DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType(
    {
        d.name: d
        for d in (
            Dialect(
                "litert-ref",
                "LiteRT 2.3.0 BUILTIN_REF",
                # In FULLY_CONNECTED the reference multiplies in double, half away from zero.
                MappingProxyType({"fully_connected": "float64_away"}),
                "double_round",
            ),
            Dialect(
                "tflm",
                "tflite-micro 0.dev20261023 reference kernels",
                MappingProxyType({}),
                "double_round",
            ),
        )
    }
)


def dialect(name: str) -> Dialect:
    """The dialect of that name; raises Unsupported with the names there are."""
    if name not in DIALECTS:
        raise Unsupported(
            f"dialect '{name}' is not supported. Supported: {', '.join(sorted(DIALECTS))}."
        )
    return DIALECTS[name]
