"""The numbers of a machine that a calibration may change: by dotted path, within bounds."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from simulator.document import Document
from simulator.errors import BadConfig
from simulator.machines.registry import machine_from

SPAN: Final = 16.0
"""Without bounds of its own a rate may become this much larger or smaller."""


@dataclass(frozen=True)
class Parameter:
    """A rate to fit: a dotted path, its bounds, the machines it is common to.

    `ties` are further paths that take the same value.
    """

    path: str
    start: float
    low: float
    high: float
    machines: tuple[str, ...]
    ties: tuple[str, ...] = ()


def parameter(
    bases: Mapping[str, Document],
    path: str,
    bounds: tuple[float, float] | None = None,
    machines: Sequence[str] = (),
    ties: Sequence[str] = (),
) -> Parameter:
    """A parameter that starts at its value in the first of its machines.

    Without bounds it may go as far as `SPAN` and the machine's own schema allow. Raises BadConfig
    where the path holds no real number above 0.
    """
    names = tuple(machines) or tuple(bases)
    document = bases[names[0]]
    at = document.root
    for step in path.split("."):
        below = at.child(step)
        if below is None:
            raise BadConfig(f"{document.label}: {path}: there is no such field to fit")
        at = below
    start = at.value
    if isinstance(start, bool) or not isinstance(start, int | float) or start <= 0:
        raise BadConfig(
            f"{at.place}: {path}: only a number above 0 can be fitted; found {at.plain()}"
        )
    if bounds is None:
        ends = (start / SPAN, start * SPAN)
        low, high = (_valid_end(document, path, float(start), end) for end in ends)
        return Parameter(path, float(start), low, high, names, tuple(ties))
    if not 0 < bounds[0] <= start <= bounds[1]:
        raise BadConfig(
            f"{at.place}: {path}: starts at {start:g}, outside its bounds "
            f"{bounds[0]:g}:{bounds[1]:g}"
        )
    return Parameter(path, float(start), *bounds, names, tuple(ties))


def _valid_end(document: Document, path: str, start: float, end: float) -> float:
    """The value nearest to `end` that the machine's schema accepts, by bisection from `start`."""
    if _accepts(document, path, end):
        return end
    inside, outside = math.log(start), math.log(end)
    for _ in range(16):
        middle = (inside + outside) / 2
        if _accepts(document, path, math.exp(middle)):
            inside = middle
        else:
            outside = middle
    return math.exp(inside)


def _accepts(document: Document, path: str, value: float) -> bool:
    try:
        machine_from(document, [(path, typed(document, path, value))])
    except BadConfig:
        return False
    return True


def is_count(base: Document, path: str) -> bool:
    """Whether a field holds whole numbers alone: it refuses its own value and a half."""
    at = base.root
    for step in path.split("."):
        at = at.child(step) or at
    if not isinstance(at.value, int):
        return False
    try:
        machine_from(base, [(path, at.value + 0.5)])
    except BadConfig:
        return True
    return False


def typed(base: Document, path: str, value: float) -> float | int:
    """A value as its field holds it: a count stays a count."""
    return round(value) if is_count(base, path) else value


def at_start(p: Parameter, start: float) -> Parameter:
    """The same parameter with another start, inside its bounds."""
    return replace(p, start=min(max(start, p.low), p.high))
