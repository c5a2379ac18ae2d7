"""A technology in a machine's document: written out, or named as one that was built before."""

from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import AfterValidator, Discriminator, Tag, ValidationInfo

from simulator.technology.model import Technology

BUILT: Final = "built technology "
"""How the text starts that stands for a technology which was built before."""


def _built(name: str, info: ValidationInfo) -> Technology:
    known = info.context or {}
    if name not in known:
        raise ValueError(f"must be a mapping of fields; found '{name}'")
    return cast(Technology, known[name])


def _form(value: Any) -> str:
    return "built" if isinstance(value, str) and value.startswith(BUILT) else "written"


AnyTechnology: TypeAlias = Annotated[
    Annotated[str, AfterValidator(_built), Tag("built")] | Annotated[Technology, Tag("written")],
    Discriminator(_form),
]
