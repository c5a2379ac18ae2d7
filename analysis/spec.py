"""A sweep as YAML: a base machine, a network, axes by dotted path, objectives."""

import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator

from analysis.limits import MAX_BATCH, MAX_POINTS
from simulator.config import load_yaml, validate
from simulator.document import Document
from simulator.schema import LARGEST, Positive, PositiveReal, Schema, Text

Metric: TypeAlias = Literal["latency_s", "energy_j", "area_mm2", "power_w", "cost"]


def _plain(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        kinds = {dict: "a mapping", list: "a list", type(None): "nothing"}
        found = kinds.get(type(value), value)
        raise ValueError(f"must be a number, text, true or false; found {found}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"must be finite; found {value}")
    return value


Scalar: TypeAlias = bool | int | float | str
"""One value of a field."""
Bounded: TypeAlias = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]


class Range(Schema):
    """Integers `first`, `first + step`, ... up to and including `last`."""

    first: Bounded
    last: Bounded
    step: Positive = 1

    def values(self) -> Sequence[Scalar]:
        """The integers, in order."""
        return range(self.first, self.last + 1, self.step)


class Log2(Schema):
    """Powers of two times `first`, up to and including `last`."""

    first: Positive
    last: Positive

    def values(self) -> Sequence[Scalar]:
        """`first`, `2 first`, `4 first`, ..."""
        powers = itertools.takewhile(
            lambda v: v <= self.last, (self.first << k for k in itertools.count())
        )
        return list(powers)


class RangeAxis(Schema):
    """An axis written as ``{range: {first: 4, last: 16, step: 4}}``."""

    range: Range


class Log2Axis(Schema):
    """An axis written as ``{log2: {first: 4, last: 64}}``."""

    log2: Log2


def _values(axis: "list[Scalar] | RangeAxis | Log2Axis") -> Sequence[Scalar]:
    match axis:
        case RangeAxis():
            return axis.range.values()
        case Log2Axis():
            return axis.log2.values()
        case _:
            return axis


def _form(value: Any) -> str | None:
    """Which way an axis is written; None for no known way."""
    match value:
        case {"range": _, "log2": _}:
            return None
        case list():
            return "as_list"
        case RangeAxis() | {"range": _}:
            return "as_range"
        case Log2Axis() | {"log2": _}:
            return "as_log2"
        case _:
            return None


def _checked(axis: Any) -> Any:
    values = _values(axis)
    if not values:
        raise ValueError("holds no value; last must be >= first")
    if len(values) > MAX_POINTS:
        raise ValueError(f"holds {len(values)} values, more than {MAX_POINTS}; take fewer")
    if isinstance(values, list) and len({(type(v), v) for v in values}) != len(values):
        raise ValueError(f"a value repeats in {values}; give each once")
    return axis


def _dotted(path: str) -> str:
    if not re.fullmatch(r"[^.\s]+(\.[^.\s]+)*", path):
        raise ValueError(f"'{path}' is no dotted path; write it as array.rows")
    return path


Axis: TypeAlias = Annotated[
    Annotated[list[Annotated[Scalar, BeforeValidator(_plain)]], Field(min_length=1), Tag("as_list")]
    | Annotated[RangeAxis, Tag("as_range")]
    | Annotated[Log2Axis, Tag("as_log2")],
    Discriminator(
        _form,
        custom_error_type="axis",
        custom_error_message="must be a list of values, or range: or log2: with first and last",
    ),
    AfterValidator(_checked),
]


class SweepSpec(Schema):
    """What a sweep evaluates: every combination of its axes' values on the base machine.

    `base` and `workload` name a shipped machine or `zoo:` network, or a file beside the spec.
    `constraints` give the most of a metric: designs beyond are kept in the table and left off the
    front.
    """

    name: Text
    base: Text
    workload: Text
    axes: Annotated[dict[Annotated[str, AfterValidator(_dotted)], Axis], Field(min_length=1)]
    objectives: tuple[Metric, ...] = ("latency_s", "energy_j", "area_mm2")
    constraints: dict[Metric, PositiveReal] = Field(default_factory=dict)
    batch: Annotated[int, Field(ge=1, le=MAX_BATCH)] = 1
    chunk_points: Positive = 4096
    keep_layers: bool | Literal["auto"] = "auto"

    @field_validator("axes")
    @classmethod
    def _not_too_many(cls, axes: dict[str, Any]) -> dict[str, Any]:
        count = math.prod(len(_values(axis)) for axis in axes.values())
        if count > MAX_POINTS:
            raise ValueError(f"{count} points are more than {MAX_POINTS}; shorten an axis")
        return axes

    @field_validator("objectives")
    @classmethod
    def _two_or_more(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        if len(objectives) < 2 or len(set(objectives)) < len(objectives):
            found = ", ".join(objectives) or "none"
            raise ValueError(f"must name two or more, each once; found {found}")
        return objectives

    @property
    def values(self) -> dict[str, Sequence[Scalar]]:
        """The values of each axis, in order."""
        return {path: _values(axis) for path, axis in self.axes.items()}

    @property
    def count(self) -> int:
        """Number of design points."""
        return math.prod(len(values) for values in self.values.values())

    def designs(self, first: int = 0, last: int | None = None) -> list[tuple[Scalar, ...]]:
        """Combinations `first` to before `last` of axis values, the last axis running fastest."""
        columns = list(self.values.values())
        strides = [math.prod(map(len, columns[i + 1 :])) for i in range(len(columns))]
        return [
            tuple(c[i // s % len(c)] for c, s in zip(columns, strides, strict=True))
            for i in range(first, self.count if last is None else min(last, self.count))
        ]


def load_spec(path: Path) -> tuple[SweepSpec, Document]:
    """Read and check a sweep, and where each field stands; raises BadFile or BadConfig."""
    document = load_yaml(path)
    return validate(document, SweepSpec), document


def beside(spec_path: Path, name: str) -> str:
    """`name` as a file beside the spec where there is one, else as it is."""
    near = spec_path.parent / name
    return str(near) if near.is_file() else name
