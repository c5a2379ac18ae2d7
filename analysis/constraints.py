"""Constraints on a design's metrics, as text: ``latency_s <= 2.5ms``. Nothing is evaluated as code.

The grammar is ``metric (<= | >= | < | >) number [unit]``. A unit is one of the metric's own;
without one the number is in the unit that the metric's name says. Read next: `analysis.front`.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

from simulator.config import close_match, shown
from simulator.document import Place
from simulator.errors import BadConfig

Sense: TypeAlias = Literal["min", "max"]
Comparison: TypeAlias = Literal["<=", ">=", "<", ">"]
Metric: TypeAlias = Literal[
    "latency_s",
    "energy_j",
    "area_mm2",
    "power_w",
    "cost",
    "cycles",
    "throughput_per_s",
    "tops_per_w",
    "utilization",
    "peak_macs_per_cycle",
    "accuracy",
    "sqnr_db",
    "overflow_rate",
    "edp",
]
"""What a design is judged by. `edp` is the energy-delay product, J s."""

SENSE: Final[Mapping[Metric, Sense]] = MappingProxyType(
    {
        "latency_s": "min",
        "energy_j": "min",
        "area_mm2": "min",
        "power_w": "min",
        "cost": "min",
        "cycles": "min",
        "throughput_per_s": "max",
        "tops_per_w": "max",
        "utilization": "max",
        "peak_macs_per_cycle": "max",
        "accuracy": "max",
        "sqnr_db": "max",
        "overflow_rate": "min",
        "edp": "min",
    }
)
"""Which way each metric is better."""

_COUNT: Final = {"k": 3, "M": 6, "G": 9}
_RATIO: Final = {"%": -2}
_WATT: Final = {"W": 0, "mW": -3, "uW": -6, "µW": -6, "nW": -9}
_UNITS: Final[Mapping[Metric, Mapping[str, int]]] = {
    "latency_s": {"s": 0, "ms": -3, "us": -6, "µs": -6, "ns": -9},
    "energy_j": {"J": 0, "mJ": -3, "uJ": -6, "µJ": -6, "nJ": -9, "pJ": -12},
    "area_mm2": {"mm2": 0, "um2": -6, "µm2": -6, "cm2": 2},
    "power_w": _WATT,
    "cost": _COUNT,
    "cycles": _COUNT,
    "throughput_per_s": _COUNT,
    "tops_per_w": {},
    "utilization": _RATIO,
    "peak_macs_per_cycle": _COUNT,
    "accuracy": _RATIO,
    "sqnr_db": {"dB": 0},
    "overflow_rate": _RATIO,
    "edp": {"Js": 0, "mJs": -3, "uJs": -6, "µJs": -6, "nJs": -9, "pJs": -12},
}
"""Units of each metric as powers of ten of the unit in its name."""
_HOLDS: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_NUMBER: Final = r"(?P<digits>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:[eE](?P<power>[+-]?[0-9]+))?"
_PARTS: Final = re.compile(r"\s*(?P<metric>[^\s<>=!]+)\s*(?P<sign>[<>=!]+)\s*(?P<bound>.*?)\s*")
_BOUND: Final = re.compile(_NUMBER + r"\s*(?P<unit>[^\s0-9.]\S*)?")
_LONGEST: Final = 100
_FORM: Final = "write it as 'area_mm2 <= 2.0' or 'latency_s <= 2.5ms'"


@dataclass(frozen=True)
class Constraint:
    """A bound that a metric of a design holds or breaks.

    metric : a key of `SENSE`.
    comparison : the sign between the metric and the bound.
    bound : in the unit of the metric's name; a ratio is a fraction, not per cent.
    """

    metric: Metric
    comparison: Comparison
    bound: float

    def broken(self, value: float | None) -> bool:
        """Whether a design with this value is outside; so is one that has none (None or NaN)."""
        return value is None or not _HOLDS[self.comparison](value, self.bound)

    def __str__(self) -> str:
        """The text that `parse` reads as this constraint, without a unit."""
        return f"{self.metric} {self.comparison} {self.bound!r}"


def parse(text: str, place: Place | str = "") -> Constraint:
    """The constraint that a text says; raises BadConfig with one line that begins with `place`."""
    try:
        return parsed(text)
    except ValueError as error:
        raise BadConfig(f"{place}: {error}" if str(place) else str(error)) from None


def parsed(text: str) -> Constraint:
    """As `parse`, for a validator: raises ValueError with the line, without a place."""
    said = f"constraint {shown(text)}"
    if len(text) > _LONGEST:
        raise ValueError(f"{said}: is longer than {_LONGEST} characters; {_FORM}")
    parts = _PARTS.fullmatch(text)
    if parts is None:
        raise ValueError(f"{said}: needs a metric, a comparison and a number; {_FORM}")
    metric = _metric(parts["metric"], said)
    comparison = _comparison(parts["sign"], said)
    return Constraint(metric, comparison, _bound(metric, parts["bound"], said))


def _metric(name: str, said: str) -> Metric:
    for metric in SENSE:
        if metric == name:
            return metric
    raise ValueError(f"{said}: unknown metric '{name}'; {close_match(name, SENSE)}")


def _comparison(sign: str, said: str) -> Comparison:
    for comparison in _HOLDS:
        if comparison == sign:
            return comparison
    known = ", ".join(get_args(Comparison))
    raise ValueError(f"{said}: unknown comparison '{sign}'; write one of {known}")


def _bound(metric: Metric, text: str, said: str) -> float:
    match = _BOUND.fullmatch(text)
    if match is None:
        raise ValueError(f"{said}: '{text}' is no number with a unit; {_FORM}")
    # As one decimal text, so that 2.5ms is the float nearest 0.0025, not a product that rounds.
    power = int(match["power"] or 0) + _power(metric, match["unit"], said)
    bound = float(f"{match['digits']}e{power}")
    if not math.isfinite(bound):
        raise ValueError(f"{said}: must be finite; give a smaller number")
    if bound < 0 and metric != "sqnr_db":
        raise ValueError(f"{said}: {metric} is never below 0; give a bound of 0 or more")
    if _UNITS[metric] is _RATIO and bound > 1:
        raise ValueError(f"{said}: {metric} is a fraction, never above 1; write 0.7 or 70%")
    return bound


def _power(metric: Metric, unit: str | None, said: str) -> int:
    known = _UNITS[metric]
    # The micro sign has two characters in Unicode, which look the same.
    name = (unit or "").replace("μ", "µ")
    if not name or name in known:
        return known.get(name, 0)
    way_out = f"write one of {', '.join(known)}" if known else "give a plain number"
    raise ValueError(f"{said}: {metric} has no unit '{unit}'; {way_out}")
