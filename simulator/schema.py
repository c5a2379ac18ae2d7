"""The base of every configuration model: strict, frozen, no unknown field, every number finite.

A model states units in field names. Reading YAML into one, with file and line in every fault, is
`simulator.config.validate`.
"""

from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Schema(BaseModel):
    """Base of configuration models. Strict: text is no number and 1 is not true."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class FieldError(ValueError):
    """A rule broken by a field at `path` below the model whose validator found it."""

    def __init__(self, path: tuple[str | int, ...], text: str) -> None:
        super().__init__(text)
        self.path = path


def _one_source_for_all(value: Any) -> Any:
    return {"": value} if isinstance(value, str) else value


LARGEST: Final = 2**40
"""The largest count or size in a configuration: products of a few stay within 64 bits."""
Positive: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST)]
"""An integer from 1 to 2^40."""
NonNegative: TypeAlias = Annotated[int, Field(ge=0, le=LARGEST)]
"""An integer from 0 to 2^40."""
PositiveReal: TypeAlias = Annotated[float, Field(gt=0, le=float(LARGEST))]
"""A real number above 0, up to 2^40."""
Rate: TypeAlias = Annotated[float, Field(ge=2.0**-16, le=float(LARGEST))]
"""What moves or is done in a cycle: from 1/65536, the step in which rates are counted, to 2^40."""
Text: TypeAlias = Annotated[str, Field(min_length=1)]
"""Text that is not empty."""
Sources: TypeAlias = Annotated[
    dict[str, Text], BeforeValidator(_one_source_for_all), Field(min_length=1)
]
"""Where each number comes from: one text for all, or dotted-path prefix -> citation."""


def source_of(sources: dict[str, str], path: str) -> str | None:
    """The citation of the field at dotted `path`: the longest prefix that has one, or None."""
    parts = path.split(".")
    for count in range(len(parts), -1, -1):
        prefix = ".".join(parts[:count])
        if prefix in sources:
            return sources[prefix]
    return None
