"""A sweep as YAML: base machines, networks, axes by dotted path, objectives, constraints."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from analysis.axes import Axis, Log2, Log2Axis, Range, RangeAxis, Scalar, ValuesAxis, ZipAxis
from analysis.axes import Path as AxisPath
from analysis.constraints import Constraint, Metric, parsed
from analysis.grid import Ints
from analysis.layout import Layout, layout_of
from analysis.limits import MAX_BATCH, MAX_POINTS
from analysis.search_spec import Search
from simulator.config import load_yaml, validate
from simulator.document import Document
from simulator.schema import FieldError, NonNegative, Positive, PositiveReal, Schema, Text

__all__ = [
    "Log2",
    "Log2Axis",
    "Metric",
    "Range",
    "RangeAxis",
    "Sample",
    "Scalar",
    "SweepSpec",
    "ValuesAxis",
    "Workload",
    "ZipAxis",
    "beside",
    "load_spec",
]


class Workload(Schema):
    """One network of several, and how often it runs beside the others."""

    model: Text
    weight: PositiveReal = 1.0
    name: Annotated[str, Field(pattern=r"^\S+$")] | None = None

    @property
    def title(self) -> str:
        """Its name; without one that of its file."""
        if self.name is not None:
            return self.name
        return re.sub(r"\.(tflite|onnx|csv)$", "", self.model.removeprefix("zoo:").split("/")[-1])


class Sample(Schema):
    """So many different designs, drawn from all of them: the same for a seed."""

    points: Annotated[int, Field(ge=1, le=MAX_POINTS)]
    seed: NonNegative = 0


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError("must be a list of texts, as ['area_mm2 <= 2.5']; found a mapping")
    return tuple(value) if isinstance(value, list) else value


def _constraint(text: str) -> str:
    parsed(text)
    return text


def _different(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError(f"a machine repeats in {', '.join(names)}; give each once")
    return names


Bases: TypeAlias = Annotated[
    Annotated[Text, Tag("one")]
    | Annotated[list[Text], Field(min_length=1), AfterValidator(_different), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
]


def _kept(value: Any) -> Any:
    if value != "auto" and not isinstance(value, bool):
        raise ValueError(f"must be true, false or auto; found {value}")
    return value


ConstraintText: TypeAlias = Annotated[str, AfterValidator(_constraint)]


class SweepSpec(Schema):
    """What a sweep evaluates: every combination of its axes' values on its base machines.

    `base` and `workload` name a shipped machine or `zoo:` network, or a file beside the spec; a
    list of machines is an axis of its own, called `base`. `workloads` in place of `workload` are
    several networks: the costs of a design are the sums of theirs, each times its weight. Designs
    that break one of the `constraints` are kept in the table and left off the front. `data` is a
    labelled set to execute, `search` how designs are chosen where there are too many.
    """

    name: Text
    base: Bases
    workloads: Annotated[list[Workload], Field(min_length=1)] | None = None
    workload: Annotated[Text | None, Field(validate_default=True)] = None
    axes: dict[AxisPath, Axis] = Field(default_factory=dict)
    objectives: tuple[Metric, ...] = ("latency_s", "energy_j", "area_mm2")
    constraints: Annotated[tuple[ConstraintText, ...], BeforeValidator(_listed)] = ()
    data: Text | None = None
    sample: Sample | None = None
    search: Search | None = None
    batch: Annotated[int, Field(ge=1, le=MAX_BATCH)] = 1
    chunk_points: Positive = 4096
    keep_layers: Annotated[bool | Literal["auto"], BeforeValidator(_kept)] = "auto"

    @field_validator("workloads")
    @classmethod
    def _told_apart(cls, workloads: list[Workload] | None) -> list[Workload] | None:
        for number, workload in enumerate(workloads or ()):
            for other, earlier in enumerate((workloads or ())[:number]):
                if workload.model == earlier.model:
                    raise FieldError(
                        (number, "model"),
                        f"'{workload.model}' repeats item {other}; give it once, with its weight",
                    )
                if workload.title == earlier.title:
                    raise FieldError(
                        (number,),
                        f"is called '{workload.title}', as item {other}; give it another name:",
                    )
        return workloads

    @field_validator("workload")
    @classmethod
    def _one_or_several(cls, workload: str | None, info: ValidationInfo) -> str | None:
        several = info.data.get("workloads", ())
        if workload is None and several is None:
            raise FieldError(("workload",), "is missing; add it at the top level")
        if workload is not None and several:
            raise ValueError("stands beside workloads; give one of the two")
        return workload

    @field_validator("objectives")
    @classmethod
    def _two_or_more(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        if len(objectives) < 2 or len(set(objectives)) < len(objectives):
            found = ", ".join(objectives) or "none"
            raise ValueError(f"must name two or more, each once; found {found}")
        return objectives

    @model_validator(mode="after")
    def _spans_a_grid(self) -> Self:
        if not self.axes and (self.search is None or self.search.problem is None):
            raise FieldError(("axes",), "is missing; add it at the top level")
        count = self.layout.grid.count
        if self.sample is not None and self.sample.points > count:
            raise FieldError(
                ("sample", "points"),
                f"must be <= {count}, the number of designs; found {self.sample.points}; take "
                "fewer or leave sample out",
            )
        few = self.sample is not None or self.search is not None
        most = 2**62 if few else MAX_POINTS
        if count > most:
            way_out = "shorten an axis" + ("" if few else ", or draw a sample")
            raise FieldError(("axes",), f"{count} points are more than {most}; {way_out}")
        return self

    def model_copy(self, **changes: Any) -> Self:
        """As pydantic's; what was derived from the fields is derived again."""
        made = super().model_copy(**changes)
        made.__dict__.pop("layout", None)
        return made

    @cached_property
    def layout(self) -> Layout:
        """The axes resolved, and the designs."""
        bases = self.base if isinstance(self.base, list) else None
        sample = (self.sample.points, self.sample.seed) if self.sample else None
        return layout_of(bases, self.axes, sample)

    @property
    def bases(self) -> tuple[str, ...]:
        """The base machines, in order."""
        return tuple(self.base) if isinstance(self.base, list) else (self.base,)

    @property
    def mix(self) -> tuple[Workload, ...]:
        """The networks, in order; one of weight 1 where `workload` names it."""
        if self.workloads is None:
            return (Workload(model=self.workload or ""),)
        return tuple(self.workloads)

    @property
    def limits(self) -> tuple[Constraint, ...]:
        """The constraints, parsed."""
        return tuple(parsed(text) for text in self.constraints)

    @property
    def values(self) -> dict[str, Sequence[Scalar]]:
        """By path, the values that axes set there, in order."""
        return self.layout.values

    @property
    def count(self) -> int:
        """Number of design points."""
        return self.layout.count

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each axis; fields that move together are one axis."""
        return self.layout.grid.sizes

    def choices(self, first: int = 0, last: int | None = None) -> Ints:
        """Designs `first` to before `last` by the place of each axis's value: int64 [P, axes].

        -1 where an axis does not apply to the design. Axes in the order of `layout.names`.
        """
        return self.layout.choices(first, self.count if last is None else last)

    def designs(self, first: int = 0, last: int | None = None) -> list[tuple[Scalar | None, ...]]:
        """Designs `first` to before `last`, the last axis running fastest, by path of `values`.

        None where the field stays as the base machine has it.
        """
        return self.layout.rows(self.choices(first, last))


def load_spec(path: Path) -> tuple[SweepSpec, Document]:
    """Read and check a sweep, and where each field stands; raises BadFile or BadConfig."""
    document = load_yaml(path)
    return validate(document, SweepSpec), document


def beside(spec_path: Path, name: str) -> str:
    """`name` as a file beside the spec where there is one, else as it is."""
    near = spec_path.parent / name
    return str(near) if near.is_file() else name
