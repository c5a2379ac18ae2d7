"""Axes of a sweep as YAML: lists, ranges, powers of two, coupled, for some designs only.

An axis sets one field of the machine, by its dotted path, or several that move together. Read
next: `analysis.grid`, which designs there are, and `analysis.spec`.
"""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from analysis.limits import MAX_POINTS
from simulator.schema import LARGEST, FieldError, Positive, Schema

REST: Final = "datapath.layers.rest."
"""What is not `first`, `last` or `depthwise` runs on the machine's own datapath."""


def _plain(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        kinds = {dict: "a mapping", list: "a list", type(None): "nothing"}
        found = kinds.get(type(value), value)
        raise ValueError(f"must be a number, text, true or false; found {found}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"must be finite; found {value}")
    return value


def dotted(path: str) -> str:
    """A dotted path as it is; raises ValueError for anything else."""
    if not re.fullmatch(r"[^.\s]+(\.[^.\s]+)*", path):
        raise ValueError(f"'{path}' is no dotted path; write it as array.rows")
    return path


def field_of(path: str) -> str:
    """The field that a path sets: that of the whole datapath where it is for the rest of layers."""
    return f"datapath.{path.removeprefix(REST)}" if path.startswith(REST) else path


Scalar: TypeAlias = bool | int | float | str
"""One value of a field."""
Bounded: TypeAlias = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Path: TypeAlias = Annotated[str, AfterValidator(dotted)]
Value: TypeAlias = Annotated[Scalar, BeforeValidator(_plain)]
ValueList: TypeAlias = Annotated[list[Value], Field(min_length=1)]
OneOrMore: TypeAlias = Annotated[
    Annotated[Value, Tag("one")] | Annotated[ValueList, Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, list) else "one"),
]
Members: TypeAlias = Mapping[str, Sequence[Scalar]]
"""The fields that an axis sets, by path, and the values of each, all as many."""


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


class Conditional(Schema):
    """An axis for those designs alone whose other axes have given values: ``when: {path: value}``.

    Elsewhere the field stays as the base machine has it.
    """

    when: dict[Path, OneOrMore] = Field(default_factory=dict)

    @property
    def wanted(self) -> Mapping[str, Sequence[Scalar]]:
        """By path, the values for which the axis is there."""
        return {k: v if isinstance(v, list) else [v] for k, v in self.when.items()}


class RangeAxis(Conditional):
    """An axis written as ``{range: {first: 4, last: 16, step: 4}}``."""

    range: Range


class Log2Axis(Conditional):
    """An axis written as ``{log2: {first: 4, last: 64}}``."""

    log2: Log2


MappingList: TypeAlias = Annotated[
    list[Annotated[dict[Path, Value], Field(min_length=1)]], Field(min_length=1)
]


def _item_form(value: Any) -> str:
    mappings = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    return "as_mappings" if mappings else "as_values"


Items: TypeAlias = Annotated[
    Annotated[ValueList, Tag("as_values")] | Annotated[MappingList, Tag("as_mappings")],
    Discriminator(_item_form),
]


class ValuesAxis(Conditional):
    """An axis written as ``{values: [4, 8], when: ...}``; a list of mappings couples fields."""

    values: Items


def _form(value: Any) -> str | None:
    """Which way an axis is written; None for no known way."""
    match value:
        case list():
            return _item_form(value)
        case RangeAxis() | Log2Axis() | ValuesAxis() | ZipAxis():
            return type(value).__name__
        case dict():
            names = {"range": RangeAxis, "log2": Log2Axis, "values": ValuesAxis, "zip": ZipAxis}
            given = [kind.__name__ for name, kind in names.items() if name in value]
            return given[0] if len(given) == 1 else None
        case _:
            return None


_FORMS: Final = "must be a list of values, or one of values:, range:, log2: and zip:"

Single: TypeAlias = Annotated[
    Annotated[ValueList, Tag("as_values")]
    | Annotated[RangeAxis, Tag("RangeAxis")]
    | Annotated[Log2Axis, Tag("Log2Axis")],
    Discriminator(_form, custom_error_type="axis", custom_error_message=_FORMS),
]


class ZipAxis(Conditional):
    """Fields that move together: ``{zip: {array.rows: [4, 8], array.cols: [4, 8]}}``."""

    zip: Annotated[dict[Path, Single], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_length(self) -> "ZipAxis":
        lengths = {path: len(_single(axis)) for path, axis in self.zip.items()}
        first = next(iter(lengths))
        for path, length in lengths.items():
            if isinstance(own := self.zip[path], Conditional) and own.when:
                raise FieldError(("zip", path, "when"), "is for the whole axis; put it beside zip")
            if length != lengths[first]:
                raise FieldError(
                    ("zip", path),
                    f"holds {length} values, {first} holds {lengths[first]}; coupled fields need "
                    "as many",
                )
        return self


def _single(axis: Any) -> Sequence[Scalar]:
    match axis:
        case RangeAxis():
            return axis.range.values()
        case Log2Axis():
            return axis.log2.values()
        case _:
            return list(axis)


def members_of(name: str, axis: Any) -> Members:
    """What an axis sets. Its `name` is the path of the one field, or any word for several."""
    match axis:
        case ZipAxis():
            return {path: _single(own) for path, own in axis.zip.items()}
        case ValuesAxis():
            return members_of(name, axis.values)
        case [dict(), *_]:
            return {path: [item[path] for item in axis] for path in axis[0]}
        case _:
            return {name: _single(axis)}


def _checked(axis: Any) -> Any:
    items = axis.values if isinstance(axis, ValuesAxis) else axis
    if isinstance(items, list):
        _check_mappings([item for item in items if isinstance(item, dict)])
    members = members_of("", axis)
    length = len(next(iter(members.values())))
    if not length:
        raise ValueError("holds no value; last must be >= first")
    if length > MAX_POINTS:
        raise ValueError(f"holds {length} values, more than {MAX_POINTS}; take fewer")
    if isinstance(axis, RangeAxis | Log2Axis):
        return axis
    rows = list(zip(*members.values(), strict=True))
    if len({tuple((type(v), v) for v in row) for row in rows}) != length:
        given = items if isinstance(items, list) else dict(members)
        raise ValueError(f"a value repeats in {_short(given)}; give each once")
    return axis


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_mappings(items: Sequence[Mapping[str, Scalar]]) -> None:
    for number, item in enumerate(items):
        if set(item) != set(items[0]):
            raise ValueError(
                f"item {number} sets {', '.join(item)}, item 0 sets {', '.join(items[0])}; "
                "each must set the same fields"
            )


Axis: TypeAlias = Annotated[
    Annotated[ValueList, Tag("as_values")]
    | Annotated[MappingList, Tag("as_mappings")]
    | Annotated[RangeAxis, Tag("RangeAxis")]
    | Annotated[Log2Axis, Tag("Log2Axis")]
    | Annotated[ValuesAxis, Tag("ValuesAxis")]
    | Annotated[ZipAxis, Tag("ZipAxis")],
    Discriminator(_form, custom_error_type="axis", custom_error_message=_FORMS),
    AfterValidator(_checked),
]


def conditions_of(axis: Any) -> Mapping[str, Sequence[Scalar]]:
    """By path, the values of other axes for which this one is there."""
    return axis.wanted if isinstance(axis, Conditional) else {}


def same(a: Scalar, b: Scalar) -> bool:
    """Whether two values of a field are one: numbers by value, true and false are no numbers."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
