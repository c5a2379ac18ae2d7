"""A sweep as YAML: a base machine, a network, axes by dotted path, objectives."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from simulator.config import load_yaml, validate
from simulator.errors import BadConfig
from simulator.schema import Positive, Schema, Text

Scalar: TypeAlias = bool | int | float | str
Metric: TypeAlias = Literal["latency_s", "energy_j", "area_mm2", "power_w"]

MAX_POINTS: Final = 10_000_000


class Range(Schema):
    """Integers `first`, `first + step`, ... up to and including `last`."""

    first: int
    last: int
    step: Positive = 1

    def values(self) -> list[Scalar]:
        """The integers, in order; raises BadConfig where there are none."""
        return list(range(self.first, self.last + 1, self.step))


class Log2(Schema):
    """Powers of two times `first`, up to and including `last`."""

    first: Positive
    last: Positive

    def values(self) -> list[Scalar]:
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


Axis: TypeAlias = Annotated[list[Scalar], Field(min_length=1)] | RangeAxis | Log2Axis


class SweepSpec(Schema):
    """What a sweep evaluates: every combination of its axes' values on the base machine.

    `base` and `workload` name a shipped machine or `zoo:` network, or a file beside the spec.
    """

    name: Text
    base: Text
    workload: Text
    axes: Annotated[dict[str, Axis], Field(min_length=1)]
    objectives: Annotated[tuple[Metric, ...], Field(min_length=2)] = (
        "latency_s",
        "energy_j",
        "area_mm2",
    )
    batch: Positive = 1
    chunk_points: Positive = 4096

    @property
    def values(self) -> dict[str, list[Scalar]]:
        """The values of each axis, in order."""
        return {path: _values(axis) for path, axis in self.axes.items()}

    @property
    def count(self) -> int:
        """Number of design points."""
        count = 1
        for values in self.values.values():
            count *= len(values)
        return count

    def designs(self) -> Iterator[tuple[Scalar, ...]]:
        """Every combination of axis values, the last axis running fastest."""
        return itertools.product(*self.values.values())


def load_spec(path: Path) -> SweepSpec:
    """Read and check a sweep; raises BadFile or BadConfig with file and line."""
    document = load_yaml(path)
    spec = validate(document, SweepSpec)
    for axis, values in spec.values.items():
        place = document.place(("axes", axis))
        if not values:
            raise BadConfig(f"{place}: axes.{axis}: holds no value; last must be >= first")
        if len({(type(v), v) for v in values}) != len(values):
            raise BadConfig(f"{place}: axes.{axis}: a value repeats in {values}; give each once")
    if spec.count > MAX_POINTS:
        raise BadConfig(
            f"{path}: axes: {spec.count} points are more than {MAX_POINTS}; shorten an axis"
        )
    return spec


def beside(spec_path: Path, name: str) -> str:
    """`name` as a file beside the spec where there is one, else as it is."""
    near = spec_path.parent / name
    return str(near) if near.is_file() else name


def _values(axis: Axis) -> list[Scalar]:
    match axis:
        case RangeAxis():
            return axis.range.values()
        case Log2Axis():
            return axis.log2.values()
        case _:
            return list(axis)
