"""A study of one network at several widths and operand widths, as YAML: what it costs on machines.

The question of arXiv 2105.03536 (Abdolrashidi et al. 2021): of networks of many sizes at several
operand widths, which are on the front of accuracy and cost? `training` answers the first half by
training each; without it costs alone are told.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator, model_validator

from analysis.constraints import Metric
from simulator.config import validate
from simulator.document import Document
from simulator.schema import FieldError, NonNegative, Positive, PositiveReal, Schema, Text

FLOAT_BITS: Final = 16
"""Operands of this width are bfloat16: float32 with eight bits of fraction."""


def _width(value: Any) -> Any:
    if isinstance(value, bool) or value not in (*range(2, 9), FLOAT_BITS):
        raise ValueError(f"must be 2 to 8, or 16 for bfloat16; found {value}")
    return value


Width: TypeAlias = Annotated[int, BeforeValidator(_width)]


class Mode(Schema):
    """Operand widths of a network: `bits` of weights and activations, `ends` of first and last."""

    bits: Width
    ends: Width | None = None

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantized to integers."""
        return self.bits == FLOAT_BITS


class Training(Schema):
    """How each network is trained; `seeds` times, with seeds 0, 1, ..."""

    data: Literal["digits"] = "digits"
    seeds: Annotated[int, Field(ge=1, le=100)] = 5
    epochs: Positive = 30
    batch: Positive = 64
    learning_rate: PositiveReal = 1e-2
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    calibrate_at: Annotated[float, Field(ge=0, le=1)] = 0.2


class On(Schema):
    """A machine of the study: a shipped name or a file, fields set, and what is minimised there.

    `operands` says whether the machine is built for each mode's widths (`built`: a law that prices
    what is multiplied) or is what it is and meets narrower operands (`given`).
    """

    base: Text
    set: dict[Text, Any] = Field(default_factory=dict)
    operands: Literal["built", "given"] = "given"
    objective: Metric = "energy_j"


class Study(Schema):
    """The networks: a `zoo:` name that takes `width`, its multipliers, and the modes of each."""

    network: Text
    multipliers: Annotated[list[PositiveReal], Field(min_length=1)]
    modes: Annotated[dict[Text, Mode], Field(min_length=1)]
    training: Training | None = None
    seed: NonNegative = 0

    @field_validator("multipliers")
    @classmethod
    def _each_once(cls, multipliers: list[float]) -> list[float]:
        if len(set(multipliers)) < len(multipliers):
            raise ValueError("must be different from each other")
        return multipliers


class StudySpec(Schema):
    """A whole study: its networks and the machines that price them."""

    name: Text
    study: Study
    machines: Annotated[dict[Text, On], Field(min_length=1)]

    @model_validator(mode="after")
    def _objectives_are_costs(self) -> "StudySpec":
        for name, on in self.machines.items():
            if on.objective not in ("latency_s", "energy_j", "edp", "cost", "cycles"):
                raise FieldError(
                    ("machines", name, "objective"),
                    f"must be latency_s, energy_j, edp, cycles or cost; found {on.objective}",
                )
        return self

    @property
    def networks(self) -> int:
        """Number of networks: multipliers times modes."""
        return len(self.study.multipliers) * len(self.study.modes)


def is_study(document: Document) -> bool:
    """Whether a sweep's YAML asks for a study."""
    return isinstance(document.root.plain(), dict) and "study" in document.root.plain()


def study_of(document: Document) -> StudySpec:
    """Check a study; raises BadConfig with one line a fault."""
    return validate(document, StudySpec)


def beside_study(path: Path, name: str) -> str:
    """A machine's file beside the study where there is one, else the name."""
    near = path.parent / name
    return str(near) if near.is_file() else name
